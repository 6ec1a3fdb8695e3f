// Columns that never leave this database. They are hidden from everything that tracks: not in
// TableInfo, so not captured, exported or written when rows arrive; an UPDATE of ours leaves them,
// an INSERT gives them their default.
#include <algorithm>

#include "sqlite_ext/enable.h"
#include "sqlite_ext/operation.h"

namespace syncline {

namespace {

Status refuse_local(const std::string& table, const std::string& column, const std::string& why,
                    const std::string& hint) {
  return {StatusCode::refused, "column \"" + column + "\" of " + table + " cannot be local: " + why,
          hint};
}

Status check_can_be_local(sqlite3* db, const TableInfo& table, const BaseTable& base,
                          const std::string& column) {
  const BaseColumn* found = base.find(column);
  if (found == nullptr) {
    std::vector<std::string> names;
    for (const BaseColumn& c : base.columns)
      names.push_back(c.name);
    const std::string near = nearest_name(column, names);
    return {StatusCode::invalid_argument,
            "table " + table.name + " has no column \"" + column + "\"",
            near.empty() ? "" : "did you mean \"" + near + "\"?"};
  }
  if (std::find(base.key.begin(), base.key.end(), found->name) != base.key.end()) {
    return refuse_local(table.name, found->name, "it is part of the primary key",
                        "rows of two databases are matched by it");
  }
  int64_t required = 0;
  SYNCLINE_TRY(query_integer(db,
                             "SELECT 1 FROM pragma_table_info(" + quote_text(base.name) +
                                 ",'main') WHERE name=" + quote_text(found->name) +
                                 " AND \"notnull\" AND dflt_value IS NULL",
                             0, &required));
  if (required == 0) return {};
  return refuse_local(table.name, found->name, "it is NOT NULL and has no default",
                      "a row that arrives has no value for it: give it a DEFAULT");
}

Status hide_column(Operation* operation, size_t position, const std::string& name) {
  Registry& registry = operation->registry();
  TableInfo& table = registry.tables[position];
  const int64_t column = find_column(table.columns, name);
  registry.extras[position].local.push_back(name);
  SYNCLINE_TRY(save_local(operation->db(), registry));
  if (column < 0) return {};
  table.columns[static_cast<size_t>(column)].present = false;
  table.columns[static_cast<size_t>(column)].dropped = true;
  SYNCLINE_TRY(save_table(operation->db(), registry, position));
  return renew_triggers(operation->db(), &registry);
}

}  // namespace

Status set_local(Operation* operation, const std::string& name, const std::string& column,
                 bool local) {
  Registry& registry = operation->registry();
  const int64_t at = find_table(registry.tables, name);
  if (at < 0 || !registry.tables[static_cast<size_t>(at)].present) {
    return unknown_table(registry, name);
  }
  const auto position = static_cast<size_t>(at);
  if (column.empty()) {
    return {StatusCode::invalid_argument, "\"local\" is said of a column, not of a table",
            "name the column"};
  }
  BaseTable base;
  SYNCLINE_TRY(describe_table(operation->db(), registry.tables[position].name, &base));
  std::vector<std::string>& names = registry.extras[position].local;
  const auto same = [&](const std::string& n) {
    return sqlite3_stricmp(n.c_str(), column.c_str()) == 0;
  };
  const auto found = std::find_if(names.begin(), names.end(), same);
  if (local) {
    if (found != names.end()) return {};
    SYNCLINE_TRY(
        check_can_be_local(operation->db(), registry.tables[position], base, column));
    return hide_column(operation, position, base.find(column)->name);
  }
  if (found == names.end()) return {};
  names.erase(found);
  SYNCLINE_TRY(save_local(operation->db(), registry));
  return operation->check_schema_again();  // which finds a new column
}

}  // namespace syncline
