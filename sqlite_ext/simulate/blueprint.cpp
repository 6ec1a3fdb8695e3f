// See blueprint.h.
#include "sqlite_ext/simulate/blueprint.h"

#include <algorithm>

#include "sqlite_ext/catalog.h"
#include "sqlite_ext/operation.h"
#include "sqlite_ext/simulate/site.h"
#include "syncline/json.h"

namespace syncline::simulate {

namespace {

Status read_policies(sqlite3* db, Blueprint* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT table_name,column_name,policy,options FROM sync_policies "
                         "WHERE source<>'local'"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    const std::string column = s.is_null(1) ? "NULL" : quote_text(s.text(1));
    const std::string policy = s.is_null(2) ? "''" : quote_text(s.text(2));
    out->policies.push_back("SELECT sync_set_policy(" + quote_text(s.text(0)) + ", " + column +
                            ", " + policy + ", " + quote_text(s.text(3)) + ")");
  }
}

}  // namespace

Status read_blueprint(sqlite3* db, const BlueprintOptions& options, Blueprint* out) {
  Operation operation;
  SYNCLINE_TRY(operation.begin_in_snapshot(db, "sync_simulate"));
  const Registry& registry = operation.registry();
  std::vector<std::string> tracked;
  for (size_t i = 0; i < registry.tables.size(); ++i) {
    if (!registry.tables[i].present) continue;
    const TableExtra& extra = registry.extras[i];
    OrderedJson json = OrderedJson::object();
    if (extra.fire) json["triggers"] = "fire";
    if (!extra.local.empty()) json["local"] = extra.local;
    out->tables.push_back({registry.tables[i].name, json.empty() ? "" : json.dump()});
    tracked.push_back(registry.tables[i].name);
  }
  if (tracked.empty()) return nothing_tracked("sync_simulate");
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT type,name,tbl_name,sql FROM main.sqlite_schema WHERE sql "
                         "IS NOT NULL ORDER BY type='trigger',type='index',rowid"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    const std::string type = s.text(0), name = s.text(1), table = s.text(2);
    const bool ours = is_companion(table) || (type == "trigger" && is_companion(name)) ||
                      (type == "trigger" && name.rfind("sync_", 0) == 0);
    if (ours || (type == "trigger" && !options.triggers)) continue;
    const bool needed = std::find(tracked.begin(), tracked.end(), table) != tracked.end() &&
                        type != "trigger";
    (needed ? out->schema : out->others).push_back(s.text(3));
  }
  SYNCLINE_TRY(read_policies(db, out));
  return options.invariants ? load_invariants(db, &out->invariants) : Status();
}

std::vector<std::string> tracking_calls(const Blueprint& blueprint) {
  std::vector<std::string> out;
  for (const Blueprint::Table& table : blueprint.tables) {
    out.push_back("SELECT sync_enable(" + quote_text(table.name) +
                  (table.options.empty() ? "" : ", " + quote_text(table.options)) + ")");
  }
  out.insert(out.end(), blueprint.policies.begin(), blueprint.policies.end());
  for (const Invariant& invariant : blueprint.invariants) {
    out.push_back("SELECT sync_invariant(" + quote_text(invariant.name) + ", " +
                  quote_text(invariant.sql) + ", '{\"expect\": \"" +
                  (invariant.expects_true ? "true" : "none") + "\"}')");
  }
  return out;
}

Status try_blueprint(Blueprint* blueprint, std::vector<std::string>* warnings) {
  Site site(1);
  SYNCLINE_TRY(site.open(Connection()));
  const auto needed = [&](const std::string& sql) -> Status {
    const Status status = site.run(sql);
    if (status.ok()) return {};
    return {StatusCode::refused,
            "sync_simulate cannot do in memory what this database has: " + status.message() +
                ": " + sql,
            "collations and functions that only this connection has cannot be simulated"};
  };
  for (const std::string& sql : blueprint->schema)
    SYNCLINE_TRY(needed(sql));
  std::erase_if(blueprint->others, [&](const std::string& sql) {
    const Status status = site.run(sql);
    if (!status.ok()) warnings->push_back("left out: " + status.message() + ": " + sql);
    return !status.ok();
  });
  for (const std::string& sql : tracking_calls(*blueprint))
    SYNCLINE_TRY(needed(sql));
  return {};
}

}  // namespace syncline::simulate
