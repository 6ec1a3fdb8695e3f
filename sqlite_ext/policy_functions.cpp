// sync_set_policy, sync_set_actor and sync_set_context.
#include <algorithm>


#include "sqlite_ext/enable.h"
#include "sqlite_ext/functions.h"
#include "sqlite_ext/operation.h"
#include "sqlite_ext/peer_store.h"
#include "syncline/apply.h"
#include "syncline/json.h"
#include "syncline/limits.h"
#include "syncline/origin.h"
#include "syncline/policy_report.h"

namespace syncline {

namespace {

// This site's own name, and those of stored peers.
std::optional<SiteId> site_by_name(const Registry& registry, const std::vector<Peer>& peers,
                                   const std::string& name) {
  if (!name.empty() && name == registry.name) return registry.sites.id(registry.self());
  for (const Peer& peer : peers) {
    if (peer.name != name && peer.site_name != name) continue;
    const Result<SiteId> id = site_id_from_hex(peer.site);
    if (id.ok()) return id.value();
  }
  return std::nullopt;
}

bool is_local(const TableExtra& extra, const std::string& column) {
  return std::any_of(extra.local.begin(), extra.local.end(), [&](const std::string& name) {
    return sqlite3_stricmp(name.c_str(), column.c_str()) == 0;
  });
}

Status change_local(Operation* operation, const std::string& table, const std::string& column,
                    bool local, std::string* json) {
  SYNCLINE_TRY(operation->fold());
  operation->end_apply();
  SYNCLINE_TRY(set_local(operation, table, column, local));
  Setting none;
  none.value = local ? R"({"policy": "local"})" : "";
  const int64_t at = find_table(operation->registry().tables, table);
  TableInfo named = operation->registry().tables[static_cast<size_t>(at)];
  ColumnInfo info;
  info.name = column;
  if (find_column(named.columns, column) < 0) named.columns.push_back(info);
  *json = policy_to_json(named, column, none, 0);
  return {};
}

Status make_and_store(Operation* operation, size_t position, const std::string& column,
                      const std::string& policy, const std::string& options, std::string* json) {
  sqlite3* db = operation->db();
  Registry& registry = operation->registry();
  std::vector<Peer> peers;
  SYNCLINE_TRY(load_peers(db, &peers));
  const std::string translated =
      options.empty() ? options : translate_site_names(options, [&](const std::string& name) {
        return site_by_name(registry, peers, name);
      });
  const TableInfo table = registry.tables[position];
  Setting setting;
  SYNCLINE_TRY(
      make_policy_setting(table, column, policy, translated, registry.settings, &setting));
  uint64_t now_ms = 0;
  SYNCLINE_TRY(clock_ms(db, &now_ms));
  setting.hlc = registry.settings.next_hlc(setting.key, hlc_from_ms(now_ms));
  setting.site = registry.sites.id(registry.self());
  SYNCLINE_TRY(operation->fold());
  SYNCLINE_TRY(operation->begin_apply("sync_set_policy"));
  ApplyReport report;
  SYNCLINE_TRY(change_settings(&operation->port(), {&setting, 1}, &report));
  // A change of this site's, without a row: peers see that there is something to fetch.
  uint64_t seq = 0;
  SYNCLINE_TRY(append_marker(db, table.number, &seq));
  *json = policy_to_json(table, column, setting, report.applied);
  return {};
}

// Changes who writes from the next log entry on.
Status change_origin(Call* call, const char* what, const std::function<void(Origin*)>& change) {
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(call->db(), what));
  const std::vector<OriginSpan>& spans = operation.registry().origins;
  Origin origin = spans.empty() ? Origin() : origin_from_text(spans.back().origin);
  change(&origin);
  VectorEntry head;
  SYNCLINE_TRY(log_head(call->db(), &head));
  SYNCLINE_TRY(save_origin(call->db(), head.seq + 1, origin_to_text(origin)));
  SYNCLINE_TRY(trim_origins(call->db(), operation.registry().folded));
  return operation.commit();
}

}  // namespace

Status call_set_policy(Call* call) {
  std::string name;
  SYNCLINE_TRY(call->text(0, "the name of the table", &name));
  const std::string column = call->bytes(1), policy = call->bytes(2), options = call->bytes(3);
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(call->db(), "sync_set_policy"));
  const Registry& registry = operation.registry();
  const int64_t at = find_table(registry.tables, name);
  if (at < 0) return unknown_table(registry, name);
  const auto position = static_cast<size_t>(at);
  const std::string table = registry.tables[position].name;
  std::string json;
  const bool was_local = !column.empty() && is_local(registry.extras[position], column);
  if (policy == "local") {
    if (!options.empty() && options != "{}") {
      return {StatusCode::invalid_argument, "policy \"local\" takes no options"};
    }
    SYNCLINE_TRY(change_local(&operation, table, column, true, &json));
  } else if (was_local && policy == "default") {
    SYNCLINE_TRY(change_local(&operation, table, column, false, &json));
  } else if (was_local) {
    return {StatusCode::refused, "column \"" + column + "\" of " + table + " is local",
            "sync_set_policy(table, column, 'default') makes it travel again"};
  } else {
    SYNCLINE_TRY(make_and_store(&operation, position, column, policy, options, &json));
  }
  SYNCLINE_TRY(operation.commit());
  call->give(json);
  return {};
}

Status call_set_actor(Call* call) {
  const std::string actor = call->bytes(0);
  if (actor.size() > limits::label_bytes_max) {
    return {StatusCode::invalid_argument,
            "the actor's name is longer than " + std::to_string(limits::label_bytes_max) +
                " bytes"};
  }
  SYNCLINE_TRY(
      change_origin(call, "sync_set_actor", [&](Origin* origin) { origin->actor = actor; }));
  if (actor.empty()) {
    call->give_null();
  } else {
    call->give(actor);
  }
  return {};
}

Status call_set_context(Call* call) {
  const std::string context = call->bytes(0);
  if (context.size() > limits::context_bytes_max) {
    return {StatusCode::invalid_argument,
            "the context is longer than " + std::to_string(limits::context_bytes_max) + " bytes"};
  }
  if (!context.empty() && parse_json<SortedJson>(context).is_discarded()) {
    return {StatusCode::invalid_argument, "the context is not JSON",
            "pass something like '{\"request\": 7}', or NULL for none"};
  }
  SYNCLINE_TRY(change_origin(call, "sync_set_context",
                             [&](Origin* origin) { origin->context = context; }));
  if (context.empty()) {
    call->give_null();
  } else {
    call->give(context);
  }
  return {};
}

}  // namespace syncline
