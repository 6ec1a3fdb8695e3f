// See table_function.h. Every callback is a boundary: no exception leaves it.
#include "sqlite_ext/table_function.h"

#include <new>

namespace syncline {

std::string error_text(const Status& status) {
  return status.hint().empty() ? status.message() : status.message() + "; " + status.hint();
}

int error_code(const Status& status) {
  switch (status.code()) {
    case StatusCode::busy:
      return SQLITE_BUSY;
    case StatusCode::cancelled:
      return SQLITE_INTERRUPT;
    case StatusCode::limit_exceeded:
      return SQLITE_TOOBIG;
    default:
      return SQLITE_ERROR;
  }
}

void give_text(sqlite3_context* context, std::string_view text) {
  sqlite3_result_text64(context, text.data() != nullptr ? text.data() : "", text.size(),
                        SQLITE_TRANSIENT, SQLITE_UTF8);
}

void give_blob(sqlite3_context* context, std::string_view bytes) {
  sqlite3_result_blob64(context, bytes.data() != nullptr ? bytes.data() : "", bytes.size(),
                        SQLITE_TRANSIENT);
}

void give_error(sqlite3_context* context, const Status& status) {
  const std::string text = error_text(status);
  sqlite3_result_error(context, text.data(), static_cast<int>(text.size()));
  sqlite3_result_error_code(context, error_code(status));
}

CopiedSource::~CopiedSource() {
  for (sqlite3_value* value : values_) sqlite3_value_free(value);
}

Status CopiedSource::open(sqlite3* db, const std::string& sql) {
  Statement statement;
  SYNCLINE_TRY(statement.prepare(db, sql));
  columns_ = static_cast<size_t>(statement.column_count());
  for (bool row = true;;) {
    SYNCLINE_TRY(statement.next(&row));
    if (!row) return {};
    for (int c = 0; c < statement.column_count(); ++c) {
      values_.push_back(sqlite3_value_dup(sqlite3_column_value(statement.raw(), c)));
      if (values_.back() == nullptr) return {StatusCode::host_failed, "out of memory"};
    }
  }
}

namespace {

struct Table {
  sqlite3_vtab base{};  // first: SQLite sees nothing else
  sqlite3* db = nullptr;
  const TableFunction* function = nullptr;
};

struct Cursor {
  sqlite3_vtab_cursor base{};
  std::unique_ptr<RowSource> source;
  bool live = false;
  sqlite3_int64 rowid = 0;
};

int fail(sqlite3_vtab* table, const Status& status) {
  sqlite3_free(table->zErrMsg);
  table->zErrMsg = sqlite3_mprintf("%s", error_text(status).c_str());
  return error_code(status);
}

// Runs `body`, a function that returns a Status, and turns failures into SQLite's.
template <typename Body>
int guarded(sqlite3_vtab* table, Body body) {
  try {
    const Status status = body();
    return status.ok() ? SQLITE_OK : fail(table, status);
  } catch (const std::bad_alloc&) {
    return SQLITE_NOMEM;
  } catch (...) {
    return SQLITE_ERROR;
  }
}

int connect(sqlite3* db, void* data, int, const char* const*, sqlite3_vtab** out, char** error) {
  try {
    const auto* function = static_cast<const TableFunction*>(data);
    std::string hidden = function->arguments;
    std::string declaration = std::string("CREATE TABLE x(") + function->columns;
    if (!hidden.empty()) {
      for (size_t at = 0; (at = hidden.find(',', at)) != std::string::npos; at += 8) {
        hidden.insert(at, " HIDDEN");
      }
      declaration += ", " + hidden + " HIDDEN";
    }
    const int rc = sqlite3_declare_vtab(db, (declaration + ")").c_str());
    if (rc != SQLITE_OK) {
      *error = sqlite3_mprintf("%s", sqlite3_errmsg(db));
      return rc;
    }
    auto table = std::make_unique<Table>();
    table->db = db;
    table->function = function;
    *out = &table.release()->base;
    return SQLITE_OK;
  } catch (...) {
    return SQLITE_NOMEM;
  }
}

int disconnect(sqlite3_vtab* table) {
  std::unique_ptr<Table> owned(reinterpret_cast<Table*>(table));
  return SQLITE_OK;
}

// Bit i of idxNum: argument i is given; arguments arrive in that order.
int best_index(sqlite3_vtab* table, sqlite3_index_info* info) {
  const TableFunction* function = reinterpret_cast<Table*>(table)->function;
  info->idxNum = 0;
  int next = 1;
  for (int argument = 0; argument < function->argument_count; ++argument) {
    for (int i = 0; i < info->nConstraint; ++i) {
      const auto& constraint = info->aConstraint[i];
      if (constraint.iColumn != function->column_count + argument) continue;
      if (constraint.op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
      if (!constraint.usable) return SQLITE_CONSTRAINT;  // another join order gives the argument
      info->aConstraintUsage[i].argvIndex = next++;
      info->aConstraintUsage[i].omit = 1;
      info->idxNum |= 1 << argument;
      break;
    }
  }
  info->estimatedCost = 1000;
  return SQLITE_OK;
}

int open_cursor(sqlite3_vtab*, sqlite3_vtab_cursor** out) {
  try {
    *out = &std::make_unique<Cursor>().release()->base;
    return SQLITE_OK;
  } catch (...) {
    return SQLITE_NOMEM;
  }
}

int close_cursor(sqlite3_vtab_cursor* cursor) {
  std::unique_ptr<Cursor> owned(reinterpret_cast<Cursor*>(cursor));
  return SQLITE_OK;
}

int step_cursor(sqlite3_vtab_cursor* base) {
  auto* cursor = reinterpret_cast<Cursor*>(base);
  return guarded(base->pVtab, [&] {
    ++cursor->rowid;
    cursor->live = false;
    return cursor->source->next(&cursor->live);
  });
}

int filter(sqlite3_vtab_cursor* base, int given, const char*, int, sqlite3_value** values) {
  auto* cursor = reinterpret_cast<Cursor*>(base);
  const auto* table = reinterpret_cast<Table*>(base->pVtab);
  const int opened = guarded(base->pVtab, [&] {
    Arguments arguments(static_cast<size_t>(table->function->argument_count));
    int next = 0;
    for (size_t i = 0; i < arguments.size(); ++i) {
      if ((given & (1 << i)) == 0) continue;
      sqlite3_value* value = values[next++];
      const int type = sqlite3_value_type(value);
      if (type == SQLITE_NULL) continue;
      arguments[i].given = true;
      arguments[i].blob = type == SQLITE_BLOB;
      arguments[i].integer = type == SQLITE_INTEGER;
      const void* bytes = arguments[i].blob ? sqlite3_value_blob(value)
                                            : static_cast<const void*>(sqlite3_value_text(value));
      const auto size = static_cast<size_t>(sqlite3_value_bytes(value));
      if (size > 0) arguments[i].bytes.assign(static_cast<const char*>(bytes), size);
    }
    cursor->source.reset();
    cursor->live = false;
    cursor->rowid = 0;
    return table->function->open(table->db, std::move(arguments), &cursor->source);
  });
  return opened == SQLITE_OK ? step_cursor(base) : opened;
}

int at_end(sqlite3_vtab_cursor* cursor) {
  return !reinterpret_cast<Cursor*>(cursor)->live;
}

int read_column(sqlite3_vtab_cursor* base, sqlite3_context* context, int column) {
  auto* cursor = reinterpret_cast<Cursor*>(base);
  const auto* table = reinterpret_cast<Table*>(base->pVtab);
  if (column >= table->function->column_count) return SQLITE_OK;  // an argument: NULL
  return guarded(base->pVtab, [&] {
    cursor->source->column(column, context);
    return Status();
  });
}

int read_rowid(sqlite3_vtab_cursor* cursor, sqlite3_int64* out) {
  *out = reinterpret_cast<Cursor*>(cursor)->rowid;
  return SQLITE_OK;
}

// No xCreate: eponymous only, nobody can CREATE VIRTUAL TABLE with it.
sqlite3_module make_module() {
  sqlite3_module module{};
  module.xConnect = connect;
  module.xBestIndex = best_index;
  module.xDisconnect = disconnect;
  module.xOpen = open_cursor;
  module.xClose = close_cursor;
  module.xFilter = filter;
  module.xNext = step_cursor;
  module.xEof = at_end;
  module.xColumn = read_column;
  module.xRowid = read_rowid;
  return module;
}

// SELECT sync_check(): the same name as a scalar function says how it is called.
void explain_call(sqlite3_context* context, int, sqlite3_value**) try {
  const auto* function = static_cast<const TableFunction*>(sqlite3_user_data(context));
  const std::string name = function->name;
  const bool view = function->argument_count == 0;
  give_error(context, Status(StatusCode::invalid_argument,
                             name + (view ? " is a view" : " gives rows, as a table does"),
                             "SELECT * FROM " + name + (view ? "" : "(...)")));
} catch (const std::bad_alloc&) {
  sqlite3_result_error_nomem(context);
}

}  // namespace

int register_table_function(sqlite3* db, const TableFunction* function) {
  static const sqlite3_module module = make_module();
  auto* self = const_cast<TableFunction*>(function);
  const int rc = sqlite3_create_function_v2(db, function->name, -1, SQLITE_UTF8 | SQLITE_DIRECTONLY,
                                            self, explain_call, nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return rc;
  return sqlite3_create_module_v2(db, function->name, &module, self, nullptr);
}

}  // namespace syncline
