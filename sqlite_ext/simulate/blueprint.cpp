// See blueprint.h.
#include "sqlite_ext/simulate/blueprint.h"

#include <algorithm>

#include "sqlite_ext/catalog.h"
#include "sqlite_ext/operation.h"
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

}  // namespace syncline::simulate
