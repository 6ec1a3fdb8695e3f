// See schema_description.h.
#include "sqlite_ext/schema_description.h"

#include <algorithm>

#include "sqlite_ext/catalog.h"
#include "sqlite_ext/sqlite_endpoint.h"
#include "syncline/json.h"

namespace syncline {

namespace {

using Json = OrderedJson;

// What belongs to the table and has a text of its own: indexes that no constraint made, triggers.
Status list_objects(sqlite3* db, const std::string& table, const char* type, Json* out) {
  *out = Json::array();
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT name,sql FROM main.sqlite_schema WHERE type=?1 AND "
                         "tbl_name=?2 COLLATE NOCASE AND sql IS NOT NULL AND "
                         "name NOT GLOB 'sync_[0-9]*' ORDER BY rowid"));
  s.bind(1, std::string_view(type));
  s.bind(2, std::string_view(table));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    out->push_back({{"name", s.text(0)}, {"sql", s.text(1)}});
  }
}

Status describe_one(sqlite3* db, const TableInfo& table, Json* out) {
  BaseTable base;
  SYNCLINE_TRY(describe_table(db, table.name, &base));
  Json columns = Json::array(), key = Json::array(), parents = Json::array(), indexes, triggers;
  for (const ColumnInfo& column : table.columns) {
    if (column.present) columns.push_back({{"name", column.name}, {"type", column.type}});
  }
  for (const ColumnNumber part : table.key) key.push_back(table.columns[part].name);
  std::vector<ForeignKey> foreign;
  SYNCLINE_TRY(foreign_keys(db, base.name, &foreign));
  for (const ForeignKey& one : foreign) {
    if (std::find(parents.begin(), parents.end(), Json(one.parent)) == parents.end()) {
      parents.push_back(one.parent);
    }
  }
  SYNCLINE_TRY(list_objects(db, base.name, "index", &indexes));
  SYNCLINE_TRY(list_objects(db, base.name, "trigger", &triggers));
  *out = {{"name", table.name}, {"columns", columns},   {"key", key},
          {"sql", base.sql},    {"parents", parents},   {"indexes", indexes},
          {"triggers", triggers}};
  return {};
}

}  // namespace

Status describe_tables(sqlite3* db, const Registry& registry, std::string* json) {
  Json tables = Json::array();
  for (const TableInfo& table : registry.tables) {
    if (!table.present) continue;
    Json one;
    SYNCLINE_TRY(describe_one(db, table, &one));
    tables.push_back(std::move(one));
  }
  *json = Json({{"format", 1}, {"engine", engine_name()}, {"tables", tables}})
              .dump(-1, ' ', false, Json::error_handler_t::replace);
  return {};
}

Status call_sync_schema(Call* call) {
  SqliteEndpoint endpoint(call->db(), "", limits::drift_ms_max_default);
  std::string json;
  SYNCLINE_TRY(endpoint.schema(&json));
  call->give(json);
  return {};
}

}  // namespace syncline
