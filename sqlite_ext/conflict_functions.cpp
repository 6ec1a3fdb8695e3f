// sync_resolve, sync_resolve_all, sync_undo, sync_conflict_diff and sync_conflict_purge.

#include "sqlite_ext/decide.h"
#include "sqlite_ext/enable.h"
#include "sqlite_ext/functions.h"
#include "sqlite_ext/peer_store.h"
#include "syncline/json.h"

namespace syncline {

namespace {

using Json = OrderedJson;

// A write transaction in which everything so far is folded, and nothing is switched off.
Status begin_deciding(Operation* operation, sqlite3* db, const char* what) {
  SYNCLINE_TRY(operation->begin_write(db, what));
  SYNCLINE_TRY(refuse_beside_running_statement(db, what));
  SYNCLINE_TRY(operation->fold());
  operation->end_apply();
  return {};
}

Status check_table(const Registry& registry, const std::string& name) {
  if (name.empty() || find_table(registry.tables, name) >= 0) return {};
  return unknown_table(registry, name);
}

// A name of a site stands for its id.
Status find_site(sqlite3* db, const Registry& registry, std::string* site) {
  if (site->empty()) return {};
  if (*site == registry.name) *site = to_hex(registry.sites.id(registry.self()));
  std::vector<Peer> peers;
  SYNCLINE_TRY(load_peers(db, &peers));
  for (const Peer& peer : peers) {
    if ((peer.name == *site || peer.site_name == *site) && !peer.site.empty()) *site = peer.site;
  }
  if (site_id_from_hex(*site).ok()) return {};
  return {StatusCode::invalid_argument, "no site is known by the name \"" + *site + "\"",
          "give its id, see sync_conflicts.local_site and remote_site"};
}

// Decides one of many: what it has written so far goes if it is refused.
Status decide_one(Operation* operation, const std::string& id, Choice choice,
                  const std::string& note) {
  sqlite3* db = operation->db();
  const Registry before = operation->registry();
  SYNCLINE_TRY(execute(db, "SAVEPOINT sync_decide"));
  std::string json;
  Status decided = decide(operation, id, choice, Value(), note, &json);
  if (decided.ok()) return execute(db, "RELEASE sync_decide");
  operation->end_apply();
  SYNCLINE_TRY(execute(db, "ROLLBACK TO sync_decide; RELEASE sync_decide"));
  operation->registry() = before;
  return decided;
}

bool may_go_on(const Status& status) {
  return status.code() == StatusCode::refused || status.code() == StatusCode::invalid_argument;
}

Status decide_all(Operation* operation, const ConflictFilter& filter, Choice choice,
                  const std::string& note, Json* report) {
  sqlite3* db = operation->db();
  std::vector<std::string> ids;
  SYNCLINE_TRY(open_conflicts(db, &ids));
  int64_t matched = 0, resolved = 0;
  Json refused = Json::array();
  for (const std::string& id : ids) {
    StoredConflict conflict;
    SYNCLINE_TRY(load_conflict(db, id, &conflict));
    // An earlier decision may have settled it, too.
    if (conflict.text.status != "open" || !filter.matches(conflict.text, conflict.age_s)) continue;
    ++matched;
    const Status decided = decide_one(operation, id, choice, note);
    if (!decided.ok() && !may_go_on(decided)) return decided;
    if (decided.ok()) {
      ++resolved;
    } else {
      refused.push_back({{"id", id}, {"error", decided.message()}});
    }
  }
  *report = {{"matched", matched}, {"resolved", resolved}, {"refused", refused}};
  return {};
}

}  // namespace

Status call_resolve(Call* call) {
  std::string id, name, json;
  SYNCLINE_TRY(call->text(0, "the id of the conflict", &id));
  SYNCLINE_TRY(call->text(1, "the choice", &name));
  Choice choice;
  SYNCLINE_TRY(choice_from_name(name, &choice));
  if (choice == Choice::value && call->count() < 3) {
    return {StatusCode::invalid_argument, "choice \"value\" needs the value",
            "sync_resolve(id, 'value', <value>)"};
  }
  if (choice != Choice::value && call->given(2)) {
    return {StatusCode::invalid_argument, "choice \"" + name + "\" takes no value",
            "pass NULL as the value, and a note after it"};
  }
  Operation operation;
  SYNCLINE_TRY(begin_deciding(&operation, call->db(), "sync_resolve"));
  SYNCLINE_TRY(decide(&operation, id, choice, call->value(2), call->bytes(3), &json));
  SYNCLINE_TRY(operation.commit());
  call->give(json);
  return {};
}

Status call_resolve_all(Call* call) {
  std::string name;
  SYNCLINE_TRY(call->text(1, "the choice", &name));
  Choice choice;
  SYNCLINE_TRY(choice_from_name(name, &choice));
  if (choice == Choice::value) {
    return {StatusCode::invalid_argument, "sync_resolve_all takes no choice \"value\"",
            "call sync_resolve for each conflict"};
  }
  ConflictFilter filter;
  SYNCLINE_TRY(filter_from_json(call->bytes(0), &filter));
  Operation operation;
  SYNCLINE_TRY(begin_deciding(&operation, call->db(), "sync_resolve_all"));
  SYNCLINE_TRY(check_table(operation.registry(), filter.table));
  SYNCLINE_TRY(find_site(call->db(), operation.registry(), &filter.site));
  Json report;
  SYNCLINE_TRY(decide_all(&operation, filter, choice, call->bytes(2), &report));
  SYNCLINE_TRY(operation.commit());
  call->give(json_text(report));
  return {};
}

Status call_undo(Call* call) {
  std::string id, json;
  SYNCLINE_TRY(call->text(0, "the id of the conflict", &id));
  Operation operation;
  SYNCLINE_TRY(begin_deciding(&operation, call->db(), "sync_undo"));
  SYNCLINE_TRY(undo(&operation, id, &json));
  SYNCLINE_TRY(operation.commit());
  call->give(json);
  return {};
}

Status call_conflict_diff(Call* call) {
  std::string id;
  SYNCLINE_TRY(call->text(0, "the id of the conflict", &id));
  DiffFormat format;
  SYNCLINE_TRY(diff_format_from_name(call->bytes(1), &format));
  int64_t there = 0;
  SYNCLINE_TRY(query_integer(
      call->db(), "SELECT 1 FROM main.sqlite_schema WHERE name='sync_conflict'", 0, &there));
  if (there == 0) return unknown_conflict(id);
  StoredConflict conflict;
  SYNCLINE_TRY(load_conflict(call->db(), id, &conflict));
  call->give(conflict_diff(conflict.text, format));
  return {};
}

Status call_conflict_purge(Call* call) {
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(call->db(), "sync_conflict_purge"));
  int64_t count = 0;
  SYNCLINE_TRY(purge_conflicts(call->db(), call->bytes(0), &count));
  SYNCLINE_TRY(operation.commit());
  call->give(count);
  return {};
}

}  // namespace syncline
