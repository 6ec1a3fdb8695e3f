// See column_defaults.h. What is stored: (table:varint column:varint value)*, values as
// append_value writes them, of all columns that show something else than NULL; absent: no constant.
#include "sqlite_ext/column_defaults.h"

#include "sqlite_ext/table_access.h"
#include "syncline/codec.h"

namespace syncline {
namespace {

// The value of a default as a column of this affinity stores it: a CAST that changes nothing but
// the class compares as equal.
std::string as_stored(const std::string& literal, Affinity affinity) {
  const auto cast = [&](const char* type) {
    const std::string value = "CAST(" + literal + " AS " + type + ")";
    return "WHEN " + value + "=" + literal + " THEN " + value + " ";
  };
  std::string cases;
  if (affinity == Affinity::text) cases = cast("TEXT");
  if (affinity == Affinity::real) cases = cast("REAL");
  if (affinity == Affinity::integer || affinity == Affinity::numeric) {
    cases = cast("INTEGER") + cast("NUMERIC");
  }
  return cases.empty() ? literal : "CASE " + cases + "ELSE " + literal + " END";
}

Status read_default(sqlite3* db, const BaseColumn& base, ColumnInfo* column) {
  column->set_missing(Value::null());
  if (base.default_sql == "NULL") return {};
  column->set_missing(Value());
  const std::string literal = literal_default(base.default_sql);
  if (literal.empty()) return {};
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT " + as_stored(literal, base.affinity)));
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  Arena arena;
  if (row) column->set_missing(value_to_wire(column->kind, s.value(0), &arena));
  return {};
}

}  // namespace

Status read_defaults(sqlite3* db, const BaseTable& base, TableInfo* table) {
  for (ColumnInfo& column : table->columns) {
    const BaseColumn* found = column.present ? base.find(column.name) : nullptr;
    if (found != nullptr) SYNCLINE_TRY(read_default(db, *found, &column));
  }
  return {};
}

Status load_defaults(const std::optional<std::string>& stored, Registry* registry) {
  for (TableInfo& table : registry->tables) {
    for (ColumnInfo& column : table.columns)
      column.missing = stored ? Value::null() : Value();
  }
  if (!stored) return {};
  const Status damaged(StatusCode::corrupt_input, "sync_meta, entry \"missing\", is damaged");
  ByteReader in(*stored);
  int64_t at = -1;  // of the table that the entry before was about: they are in its order
  while (!in.at_end()) {
    uint64_t number = 0, column = 0;
    Value value;
    if (!in.varint(&number) || !in.varint(&column)) return damaged;
    std::string_view rest = in.rest();
    if (!read_value(&rest, &value).ok()) return damaged;
    in = ByteReader(rest);
    if (at < 0 || registry->tables[static_cast<size_t>(at)].number != number) {
      at = registry->position(static_cast<uint32_t>(number));
    }
    if (at < 0) continue;  // not tracked any more
    TableInfo& table = registry->tables[static_cast<size_t>(at)];
    if (column < table.column_count()) table.columns[column].set_missing(value);
  }
  return {};
}

Status save_defaults(sqlite3* db, const Registry& registry) {
  std::string stored;
  for (const TableInfo& table : registry.tables) {
    for (ColumnNumber c = 0; c < table.column_count(); ++c) {
      if (!table.columns[c].present || table.columns[c].missing.is(ValueKind::null)) continue;
      append_varint(&stored, table.number);
      append_varint(&stored, c);
      append_value(&stored, table.columns[c].missing);
    }
  }
  return save_meta(db, "missing", Value::blob(stored));
}

}  // namespace syncline
