// sync_changes_since, sync_inspect and sync_changes: what changed, as chunks and in words.
#include "sqlite_ext/change_functions.h"

#include <ctime>

#include "sqlite_ext/identity.h"
#include "sqlite_ext/operation.h"
#include "syncline/chunk.h"
#include "syncline/exporter.h"

namespace syncline {

namespace {

// ------------------------------------------------------------------------- sync_changes_since

// Each row is a chunk, made when it is asked for. A statement that reads keeps the snapshot.
class ChunkSource : public RowSource {
 public:
  Status open(sqlite3* db, const Arguments& arguments) {
    db_ = db;
    if (!arguments[0].given) {
      return {StatusCode::invalid_argument, "sync_changes_since needs the receiver's vector",
              "for example: SELECT * FROM sync_changes_since('{}')"};
    }
    vector_ = arguments[0].bytes;
    if (arguments[1].given) {
      SYNCLINE_TRY(export_options_from_json(arguments[1].bytes, &options_, &resume_));
    }
    if (sqlite3_get_autocommit(db) == 0 && sqlite3_txn_state(db, "main") == SQLITE_TXN_WRITE) {
      return {StatusCode::refused,
              "sync_changes_since cannot read inside a transaction that has written",
              "COMMIT first: what is not committed must not leave"};
    }
    return {};
  }

  Status next(bool* row) override {
    *row = !done_;
    if (done_) return {};
    Operation operation;
    operation.share_changes(&changes_);
    SYNCLINE_TRY(pin());
    SYNCLINE_TRY(cache_.enlarge(db_));
    SYNCLINE_TRY(operation.begin_in_snapshot(db_, "sync_changes_since"));
    SYNCLINE_TRY(refuse_copy(operation.registry()));
    SYNCLINE_TRY(export_chunk(&operation.port(), vector_, options_, resume_, &chunk_));
    if (!durable_) {
      SYNCLINE_TRY(make_durable(db_));
      SYNCLINE_TRY(note_what_leaves(db_, operation.registry()));
    }
    durable_ = true;
    resume_ = chunk_.resume_hex;
    done_ = chunk_.last;
    return {};
  }

  void column(int column, sqlite3_context* context) override {
    switch (column) {
      case 0:
        sqlite3_result_int64(context, static_cast<sqlite3_int64>(chunk_.number));
        break;
      case 1:
        give_blob(context, chunk_.bytes);
        break;
      case 2:
        sqlite3_result_int64(context, static_cast<sqlite3_int64>(chunk_.row_count));
        break;
      case 3:
        sqlite3_result_int(context, chunk_.last ? 1 : 0);
        break;
      default:
        break;
    }
  }

 private:
  // Nothing is written here, a new id neither; what cannot be written has no changes of its own.
  Status refuse_copy(const Registry& registry) {
    bool copied = false;
    if (durable_ || sqlite3_db_readonly(db_, "main") == 1) return {};
    SYNCLINE_TRY(was_copied(db_, registry, &copied));
    if (!copied) return {};
    return {StatusCode::identity,
            "this database is a copy, or was put back from a backup, and has the site id of the "
            "original",
            "SELECT sync_new_identity() first; sync_now and sync_apply do so themselves"};
  }

  Status pin() {
    if (pin_.prepared()) return {};
    int64_t there = 0;
    SYNCLINE_TRY(
        query_integer(db_, "SELECT 1 FROM main.sqlite_schema WHERE name='sync_meta'", 0, &there));
    if (there == 0) return nothing_tracked("sync_changes_since");
    SYNCLINE_TRY(pin_.prepare(db_, "SELECT 1 FROM main.sync_meta"));
    bool row = false;
    return pin_.next(&row);
  }

  sqlite3* db_ = nullptr;
  std::string vector_, resume_;
  ExportOptions options_;
  ChangeList changes_;
  LargeCache cache_;
  Statement pin_;
  ExportedChunk chunk_;
  bool done_ = false, durable_ = false;
};

Status open_changes_since(sqlite3* db, Arguments arguments, std::unique_ptr<RowSource>* out) {
  auto source = std::make_unique<ChunkSource>();
  SYNCLINE_TRY(source->open(db, arguments));
  *out = std::move(source);
  return {};
}

// ------------------------------------------------------------------------- changes in words

// One version of one cell; without a column: of the whole row.
struct Line {
  std::string table, pk, column, value, site;
  bool has_column = false, has_value = false;
  Version version;
};

std::string iso_time(Hlc hlc) {
  const uint64_t ms = hlc_to_ms(hlc);
  const auto seconds = static_cast<std::time_t>(ms / 1000);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::string fraction = std::to_string(1000 + ms % 1000);
  return std::string(text, size) + "." + fraction.substr(1) + "Z";
}

class LineSource : public RowSource {
 public:
  Status next(bool* row) override {
    ++at_;
    while (at_ >= lines_.size()) {
      lines_.clear();
      at_ = 0;
      bool more = false;
      SYNCLINE_TRY(fill(&more));
      if (!more && lines_.empty()) {
        *row = false;
        return {};
      }
    }
    *row = true;
    return {};
  }

  void column(int column, sqlite3_context* context) override {
    const Line& line = lines_[at_];
    switch (column) {
      case 0:
        give_text(context, line.table);
        break;
      case 1:
        give_text(context, line.pk);
        break;
      case 2:
        if (line.has_column) give_text(context, line.column);
        break;
      case 3:
        if (line.has_value) give_text(context, line.value);
        break;
      case 4:
        give_text(context, line.site);
        break;
      case 5:
        sqlite3_result_int64(context, static_cast<sqlite3_int64>(line.version.seq));
        break;
      case 6:
        sqlite3_result_int64(context, static_cast<sqlite3_int64>(line.version.hlc));
        break;
      case 7:
        if (line.version.hlc != 0) give_text(context, iso_time(line.version.hlc));
        break;
      default:
        break;
    }
  }

 protected:
  // Adds lines to `lines_`; *more: there may be further ones.
  virtual Status fill(bool* more) = 0;

  void add_row(const TableInfo& table, RowKey key, const RowState& row, const SiteTable& sites) {
    Line line;
    line.table = table.name;
    line.pk = key_to_json(table, key);
    auto add = [&](const Version& version, int64_t column, const Value* value) {
      line.version = version;
      line.site = to_hex(sites.id(version.site));
      line.has_column = column >= 0;
      line.column = column >= 0 ? table.columns[static_cast<size_t>(column)].name : "";
      line.has_value = value != nullptr;
      line.value = value != nullptr ? value_to_json(*value) : "";
      lines_.push_back(line);
    };
    for (size_t i = 0; i < row.rest.size(); ++i) {
      if (row.rest[i].dead) {
        add(row.rest[i], -1, nullptr);
        continue;
      }
      const size_t before = lines_.size();
      for (ColumnNumber c = 0; c < row.column_count; ++c) {
        const Value& value = row.rest_values[i * row.column_count + c];
        const bool shown = !value.is(ValueKind::absent) && !value.is(ValueKind::same);
        if (shown && !table.is_key(c)) add(row.rest[i], c, &value);
      }
      if (lines_.size() == before) add(row.rest[i], -1, nullptr);
    }
    for (const CellVersion& cell : row.cells) {
      const bool shown = !cell.version.dead && !cell.value.is(ValueKind::absent);
      add(cell.version, cell.column, shown ? &cell.value : nullptr);
    }
  }

  std::vector<Line> lines_;

 private:
  size_t at_ = static_cast<size_t>(-1);
};

class InspectSource : public LineSource {
 public:
  Status open(Arguments arguments) {
    if (!arguments[0].given) {
      return {StatusCode::invalid_argument, "sync_inspect needs a chunk, not NULL",
              "give it the column changes of sync_changes_since"};
    }
    bytes_ = std::move(arguments[0].bytes);
    return ChunkReader::open(bytes_, &sites_, &reader_);
  }

 protected:
  Status fill(bool* more) override {
    *more = false;
    while (!done_) {
      if (in_table_) {
        std::vector<ChunkRow> rows;
        SYNCLINE_TRY(reader_->next_rows(256, &rows));
        for (const ChunkRow& row : rows)
          add_row(table_, row.key, row.change.state, sites_);
        if (!rows.empty()) {
          *more = true;
          return {};
        }
      }
      const TableSchema* schema = nullptr;
      uint64_t count = 0;
      SYNCLINE_TRY(reader_->next_table(&schema, &count, &in_table_));
      done_ = !in_table_;
      if (in_table_) describe(*schema);
    }
    return {};
  }

 private:
  void describe(const TableSchema& schema) {
    table_ = TableInfo();
    table_.name = schema.name;
    for (const ColumnSchema& column : schema.columns) {
      ColumnInfo info;
      info.name = column.name;
      info.type = column.type;
      info.kind = logical_kind(column.type);
      table_.columns.push_back(std::move(info));
    }
    table_.key.assign(schema.key.begin(), schema.key.end());
  }

  std::string bytes_;
  SiteTable sites_;
  std::unique_ptr<ChunkReader> reader_;
  TableInfo table_;
  bool in_table_ = false, done_ = false;
};

Status open_inspect(sqlite3*, Arguments arguments, std::unique_ptr<RowSource>* out) {
  auto source = std::make_unique<InspectSource>();
  SYNCLINE_TRY(source->open(std::move(arguments)));
  *out = std::move(source);
  return {};
}

// Everything this database has versions of, unfolded entries included; baseline rows left out.
class HeldChangesSource : public LineSource {
 public:
  Status open(sqlite3* db) {
    SYNCLINE_TRY(operation_.begin_in_snapshot(db, "sync_changes"));
    SYNCLINE_TRY(operation_.port().load_site(&site_));
    ScanStart start;
    start.everything = true;  // the log does not name all rows with state
    return operation_.port().open_scan(VersionVector(), start);
  }

 protected:
  Status fill(bool* more) override {
    RowBatch batch;
    SYNCLINE_TRY(operation_.port().scan(256, &batch));
    *more = !batch.rows.empty();
    for (const LocalRow& local : batch.rows) {
      if (!local.has_state) continue;
      RowState row;
      SYNCLINE_TRY(load_row(local, *batch.table, &row));
      add_row(*batch.table, local.key, row, site_.sites);
    }
    return {};
  }

 private:
  Operation operation_;
  SiteState site_;
};

Status open_changes(sqlite3* db, Arguments, std::unique_ptr<RowSource>* out) {
  int64_t there = 0;
  SYNCLINE_TRY(
      query_integer(db, "SELECT 1 FROM main.sqlite_schema WHERE name='sync_meta'", 0, &there));
  if (there == 0) {
    *out = std::make_unique<EmptySource>();
    return {};
  }
  auto source = std::make_unique<HeldChangesSource>();
  SYNCLINE_TRY(source->open(db));
  *out = std::move(source);
  return {};
}

const char* const kLineColumns = "table_name, pk, column_name, value, site, seq, hlc, changed_at";

const TableFunction kFunctions[] = {
    {"sync_changes_since", "chunk, changes, row_count, last", "vector, options", 4, 2,
     open_changes_since},
    {"sync_inspect", kLineColumns, "changes", 8, 1, open_inspect},
    {"sync_changes", kLineColumns, "", 8, 0, open_changes},
};

}  // namespace

int register_change_functions(sqlite3* db) {
  for (const TableFunction& function : kFunctions) {
    const int rc = register_table_function(db, &function);
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

}  // namespace syncline
