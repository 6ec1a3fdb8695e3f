// Planning a clone: what is asked for, what the peer has, what is told in the end. The statements
// are made in clone_dialect.cpp. A description of tables, as sync_schema() gives it:
//
//   {"format": 1, "engine": "sqlite 3.40.1" | "postgresql 15.4",
//    "types": [{"name": ..., "schema": ..., "sql": ...}],      what columns need
//    "tables": [{"name": ..., "schema": ...,
//      "columns": [{"name", "type": logical type, null if it does not travel, "declared",
//                   "not_null", "default": SQL, "generated": SQL, "identity": bool}],
//      "key": [column...],
//      "sql": CREATE TABLE,                                    of SQLite
//      "constraints": [{"name", "kind": "p"|"u"|"f"|"c"|"x", "sql", "columns": [...],
//                       "parent", "parent_columns", "on_delete", "on_update"}],    of PostgreSQL
//      "indexes": [{"name", "sql", "unique", "columns": [...] or null}],
//      "triggers": [{"name", "sql"}]}]}
#include "syncline/clone.h"

#include <algorithm>

#include "clone_dialect.h"
#include "json_options.h"
#include "syncline/json.h"
#include "syncline/table.h"

namespace syncline {
namespace {

using Json = OrderedJson;

Status bad_schema(const std::string& what) {
  return Status(StatusCode::unsupported_version,
                "the peer describes its tables in a form that is not known here: " + what,
                "install the same release of syncline on both sides");
}

// The tables wanted, in the order of the description.
Status choose(const SortedJson& schema, const CloneOptions& options,
              std::vector<const SortedJson*>* out) {
  std::vector<std::string> names;
  for (const SortedJson& table : schema.at("tables"))
    names.push_back(table.at("name").get<std::string>());
  for (const std::string& wanted : options.tables) {
    if (std::find(names.begin(), names.end(), wanted) != names.end()) continue;
    const std::string near = nearest_name(wanted, names);
    return Status(StatusCode::invalid_argument,
                  "the peer does not track a table \"" + wanted + "\"",
                  near.empty() ? "SELECT sync_enable(...) there first"
                               : "did you mean \"" + near + "\"?");
  }
  for (const SortedJson& table : schema.at("tables")) {
    const std::string name = table.at("name").get<std::string>();
    const bool wanted = options.tables.empty() ||
                        std::find(options.tables.begin(), options.tables.end(), name) !=
                            options.tables.end();
    if (wanted) out->push_back(&table);
  }
  if (!out->empty()) return {};
  return Status(StatusCode::refused, "the peer tracks no table yet",
                "SELECT sync_enable('your_table') there first");
}

Json left_out_to_json(const ClonePlan& plan) {
  Json out = Json::array();
  for (const LeftOut& entry : plan.left_out)
    out.push_back({{"table", entry.table}, {"what", entry.what}, {"why", entry.why}});
  return out;
}

}  // namespace

Status clone_options_from_json(std::string_view json, CloneOptions* out) {
  JsonOptions in("sync_clone");
  SYNCLINE_TRY(in.parse(json));
  SYNCLINE_TRY(in.texts("tables", &out->tables));
  SYNCLINE_TRY(in.boolean("triggers", &out->triggers));
  SYNCLINE_TRY(in.boolean("ddl_only", &out->ddl_only));
  SYNCLINE_TRY(in.read_export(&out->session.export_options));
  return in.finish();
}

Status plan_clone(std::string_view schema_json, Dialect to, const CloneOptions& options,
                  ClonePlan* out) {
  *out = ClonePlan();
  const SortedJson schema = parse_json<SortedJson>(schema_json);
  if (!schema.is_object()) return bad_schema("it is no JSON object");
  try {
    if (schema.at("format").get<int>() != 1) return bad_schema("its format");
    const bool from_sqlite = schema.at("engine").get<std::string>().starts_with("sqlite");
    if (from_sqlite && to == Dialect::postgresql) {
      return Status(StatusCode::refused, "a server does not clone a SQLite database",
                    "make the tables on the server, and synchronise from the SQLite side");
    }
    std::vector<const SortedJson*> tables;
    SYNCLINE_TRY(choose(schema, options, &tables));
    std::vector<std::string> names;
    for (const SortedJson* table : tables) names.push_back(table->at("name").get<std::string>());
    for (const SortedJson* table : tables) {
      PlannedTable planned;
      if (from_sqlite) {
        copy_sqlite_table(*table, options, names, &planned, &out->left_out);
      } else if (to == Dialect::sqlite) {
        translate_table(*table, names, &planned, &out->left_out);
      } else {
        copy_postgres_table(*table, names, &planned, &out->left_out);
      }
      out->tables.push_back(std::move(planned));
    }
    if (!from_sqlite && to == Dialect::postgresql) plan_types(schema, *out, &out->before);
  } catch (const SortedJson::exception& error) {
    return bad_schema(error.what());
  }
  return {};
}

std::string plan_to_json(const ClonePlan& plan) {
  Json tables = Json::array();
  for (const PlannedTable& table : plan.tables) {
    Json columns = Json::array();
    for (const PlannedColumn& column : table.columns)
      columns.push_back({{"name", column.name}, {"type", column.type}});
    tables.push_back({{"name", table.name}, {"qualified", table.qualified}, {"columns", columns},
                      {"key", table.key}, {"make", table.make}, {"after", table.after}});
  }
  return Json({{"before", plan.before}, {"tables", tables}})
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string clone_report_to_json(const ClonePlan& plan, const SessionReport* session,
                                 double duration_ms) {
  Json out = Json::object(), tables = Json::array();
  for (const PlannedTable& table : plan.tables) tables.push_back(table.name);
  if (session != nullptr) {
    out["peer"] = session->peer_name;
    out["site"] = session->peer_site;
    out["engine"] = session->peer_engine;
  }
  out["tables"] = tables;
  out["rows"] = session == nullptr ? 0 : session->pulled.rows;
  out["bytes"] = session == nullptr ? 0 : session->pulled.bytes;
  out["chunks"] = session == nullptr ? 0 : session->pulled.chunks;
  out["conflicts"] = session == nullptr ? 0 : session->conflicts;
  out["quarantined"] = session == nullptr ? 0 : session->quarantined;
  out["left_out"] = left_out_to_json(plan);
  out["warnings"] = session == nullptr ? std::vector<std::string>() : session->warnings;
  out["duration_ms"] = static_cast<double>(static_cast<int64_t>(duration_ms * 10)) / 10;
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace syncline
