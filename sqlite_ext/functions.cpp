// See functions.h.
#include "sqlite_ext/functions.h"

#include <iterator>
#include <new>

#include "peers/postgres_url.h"
#include "sqlite_ext/enable.h"
#include "sqlite_ext/file_peer.h"
#include "sqlite_ext/identity.h"
#include "sqlite_ext/members.h"
#include "sqlite_ext/operation.h"
#include "sqlite_ext/peer_store.h"
#include "sqlite_ext/schema_description.h"
#include "sqlite_ext/simulate/functions.h"
#include "sqlite_ext/sqlite_endpoint.h"
#include "sqlite_ext/sync_now.h"
#include "sqlite_ext/sync_start.h"
#include "sqlite_ext/table_function.h"
#include "syncline/json.h"
#include "syncline/limits.h"
#include "syncline/version_vector.h"

namespace syncline {

std::string Call::bytes(int argument) const {
  if (!given(argument)) return {};
  sqlite3_value* value = values_[argument];
  const void* data = sqlite3_value_type(value) == SQLITE_BLOB
                         ? sqlite3_value_blob(value)
                         : static_cast<const void*>(sqlite3_value_text(value));
  const auto size = static_cast<size_t>(sqlite3_value_bytes(value));
  return size == 0 ? std::string() : std::string(static_cast<const char*>(data), size);
}

Value Call::value(int argument) const {
  if (argument >= count_) return Value();
  sqlite3_value* value = values_[argument];
  switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER: return Value::integer(sqlite3_value_int64(value));
    case SQLITE_FLOAT: return Value::real(sqlite3_value_double(value));
    case SQLITE_NULL: return Value::null();
    default: break;
  }
  const bool blob = sqlite3_value_type(value) == SQLITE_BLOB;
  const void* data = blob ? sqlite3_value_blob(value)
                          : static_cast<const void*>(sqlite3_value_text(value));
  const auto size = static_cast<size_t>(sqlite3_value_bytes(value));
  const std::string_view bytes(size == 0 ? "" : static_cast<const char*>(data), size);
  return blob ? Value::blob(bytes) : Value::text(bytes);
}

Status Call::text(int argument, const char* what, std::string* out) const {
  *out = bytes(argument);
  if (!out->empty() && out->find('\0') == std::string::npos) return {};
  return {StatusCode::invalid_argument, std::string(what) + " is missing or NULL"};
}

void Call::give(std::string_view text) const {
  give_text(context_, text);
}

namespace {

using Json = OrderedJson;

Status call_enable(Call* call) {
  std::string name;
  SYNCLINE_TRY(call->text(0, "the name of the table to track", &name));
  EnableOptions options;
  SYNCLINE_TRY(enable_options_from_json(call->bytes(1), &options));
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(call->db(), "sync_enable"));
  EnableReport report;
  SYNCLINE_TRY(enable_table(call->db(), name, options, &operation.registry(), &report));
  if (report.adopted || !options.local.empty()) SYNCLINE_TRY(operation.fold());
  operation.end_apply();
  if (report.skipped.empty()) {
    SYNCLINE_TRY(register_member(call->db(), &operation.registry(), report.already));
  }
  for (const std::string& column : options.local) {
    SYNCLINE_TRY(set_local(&operation, report.table, column, true));
    std::erase_if(report.columns, [&](const std::string& name) {
      return sqlite3_stricmp(name.c_str(), column.c_str()) == 0;
    });
  }
  SYNCLINE_TRY(operation.commit());
  call->give(report_to_json(report));
  return {};
}

Status call_disable(Call* call) {
  std::string name, table;
  SYNCLINE_TRY(call->text(0, "the name of the table", &name));
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(call->db(), "sync_disable"));
  SYNCLINE_TRY(disable_table(call->db(), name, &operation.registry(), &table));
  SYNCLINE_TRY(operation.commit());
  call->give(json_text(Json{{"table", table}, {"tracked", false}}));
  return {};
}

Status call_alter(Call* call) {
  std::string name, ddl;
  SYNCLINE_TRY(call->text(0, "the name of the table to alter", &name));
  SYNCLINE_TRY(call->text(1, "the ALTER TABLE statement", &ddl));
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(call->db(), "sync_alter"));
  SYNCLINE_TRY(operation.fold());
  SYNCLINE_TRY(alter_table(call->db(), name, ddl, &operation.registry()));
  SYNCLINE_TRY(operation.commit());
  call->give(json_text(Json{{"table", name}, {"altered", true}}));
  return {};
}

// Loads the registry, and makes one if the database has none.
Status ensure_registry(sqlite3* db, const char* what, Registry* out) {
  SYNCLINE_TRY(load_registry(db, out));
  if (out->exists) return {};
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(db, what));
  *out = operation.registry();
  return operation.commit();
}

Status call_site_id(Call* call) {
  Registry registry;
  SYNCLINE_TRY(ensure_registry(call->db(), "sync_site_id", &registry));
  call->give(to_hex(registry.sites.id(registry.self())));
  return {};
}

Status call_site_name(Call* call) {
  if (!call->given(0)) {
    Registry registry;
    SYNCLINE_TRY(load_registry(call->db(), &registry));
    call->give(registry.name);
    return {};
  }
  const std::string name = call->bytes(0);  // empty: no name
  if (name.size() > limits::label_bytes_max) {
    return {StatusCode::invalid_argument,
            "the site's name is longer than " + std::to_string(limits::label_bytes_max) + " bytes"};
  }
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(call->db(), "sync_site_name"));
  SYNCLINE_TRY(save_meta(call->db(), "name", Value::text(name)));
  operation.registry().name = name;
  if (is_member(operation.registry())) {
    SYNCLINE_TRY(register_member(call->db(), &operation.registry(), true));
  }
  SYNCLINE_TRY(operation.commit());
  call->give(name);
  return {};
}

Status refuse_uncommitted(sqlite3* db, const char* what) {
  if (sqlite3_get_autocommit(db) != 0 || sqlite3_txn_state(db, "main") != SQLITE_TXN_WRITE) {
    return {};
  }
  return {StatusCode::refused,
          std::string(what) + " cannot speak for a transaction that has written",
          "COMMIT first: what is not committed must not be told"};
}

Status call_version_vector(Call* call) {
  sqlite3* db = call->db();
  SYNCLINE_TRY(refuse_uncommitted(db, "sync_version_vector"));
  Registry registry;
  SYNCLINE_TRY(load_registry(db, &registry));
  if (!registry.exists) {
    call->give("{}");
    return {};
  }
  std::string vector;
  SYNCLINE_TRY(read_version_vector(db, "sync_version_vector", &vector));
  call->give(vector);
  return {};
}

Status call_apply(Call* call) {
  if (!call->given(0)) {
    return {StatusCode::invalid_argument, "sync_apply needs a chunk, not NULL",
            "give it the column changes of sync_changes_since"};
  }
  ApplyOptions options;
  SYNCLINE_TRY(apply_options_from_json(call->bytes(1), &options));
  ApplyReport report;
  LargeCache cache;
  SYNCLINE_TRY(cache.enlarge(call->db()));
  SYNCLINE_TRY(apply_to(call->db(), call->bytes(0), options, &report));
  call->give(report_to_json(report));
  return {};
}

Status call_add_peer(Call* call) {
  Peer peer;
  SYNCLINE_TRY(call->text(0, "the peer's name", &peer.name));
  SYNCLINE_TRY(call->text(1, "the peer's URL", &peer.url));
  if (is_postgres_url(peer.name)) {
    return {StatusCode::invalid_argument, "the name of a peer cannot be a URL",
            "the arguments are a name, then a URL"};
  }
  peer.options = call->bytes(2);
  SessionOptions options;
  SYNCLINE_TRY(session_options_from_json(peer.options, &options));
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(call->db(), "sync_add_peer"));
  SYNCLINE_TRY(save_peer(call->db(), peer));
  SYNCLINE_TRY(operation.commit());
  call->give(json_text(Json{{"peer", peer.name}, {"url", mask_password(peer.url)}}));
  return {};
}

Status call_remove_peer(Call* call) {
  std::string name;
  SYNCLINE_TRY(call->text(0, "the peer's name", &name));
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(call->db(), "sync_remove_peer"));
  SYNCLINE_TRY(remove_peer(call->db(), name));
  SYNCLINE_TRY(operation.commit());
  call->give(json_text(Json{{"peer", name}, {"removed", true}}));
  return {};
}

Status call_hello(Call* call) {
  SYNCLINE_TRY(refuse_uncommitted(call->db(), "sync_hello"));
  Hello hello;
  SqliteEndpoint endpoint(call->db(), "", limits::drift_ms_max_default);
  SYNCLINE_TRY(endpoint.hello(&hello));
  call->give(hello_to_json(hello));
  return {};
}

Status call_new_identity(Call* call) {
  SYNCLINE_TRY(take_new_identity(call->db()));
  return call_site_id(call);
}

Status call_version(Call* call) {
  call->give(SYNCLINE_VERSION);
  return {};
}

struct Function {
  const char* name;
  int arguments_min, arguments_max;
  Status (*call)(Call* call);
};

constexpr Function kFunctions[] = {
    {"sync_enable", 1, 2, call_enable},       {"sync_disable", 1, 1, call_disable},
    {"sync_alter", 2, 2, call_alter},         {"sync_site_id", 0, 0, call_site_id},
    {"sync_site_name", 0, 1, call_site_name}, {"sync_version_vector", 0, 0, call_version_vector},
    {"sync_apply", 1, 2, call_apply},         {"sync_now", 0, 2, call_sync_now},
    {"sync_add_peer", 2, 3, call_add_peer},   {"sync_remove_peer", 1, 1, call_remove_peer},
    {"sync_hello", 0, 0, call_hello},         {"sync_new_identity", 0, 0, call_new_identity},
    {"sync_version", 0, 0, call_version},     {"sync_set_policy", 3, 4, call_set_policy},
    {"sync_set_actor", 1, 1, call_set_actor}, {"sync_set_context", 1, 1, call_set_context},
    {"sync_resolve", 2, 4, call_resolve},     {"sync_resolve_all", 2, 3, call_resolve_all},
    {"sync_undo", 1, 1, call_undo},           {"sync_conflict_diff", 1, 2, call_conflict_diff},
    {"sync_conflict_purge", 1, 1, call_conflict_purge},
    {"sync_clone", 1, 2, call_sync_clone},    {"sync_schema", 0, 0, call_sync_schema},
    {"sync_digest", 1, 1, call_sync_digest},
    {"sync_verify", 1, 2, call_sync_verify},  {"sync_repair", 1, 2, call_sync_repair},
    {"sync_invariant", 2, 3, call_sync_invariant},
    {"sync_maintain", 0, 1, call_maintain},   {"sync_retire_site", 1, 2, call_retire_site},
    {"sync_simulate", 0, 1, call_simulate},
    {"sync_start", 1, 2, call_sync_start},    {"sync_stop", 0, 1, call_sync_stop},
};

// What the functions of one connection share. It goes with the last of them: when the connection is
// closed, or an application has put its own functions in their place.
struct Shared {
  ~Shared() { stop_background_of(&kept_peers); }
  struct Entry {
    const Function* function;
    Shared* shared;
  };
  KeptPeers kept_peers;
  Entry entries[std::size(kFunctions)];
  int references = 0;
};

void release(void* entry) {
  Shared* shared = static_cast<Shared::Entry*>(entry)->shared;
  if (--shared->references == 0) delete shared;
}

void run(sqlite3_context* context, int count, sqlite3_value** values) {
  try {
    const auto* entry = static_cast<const Shared::Entry*>(sqlite3_user_data(context));
    Call call(context, count, values, &entry->shared->kept_peers);
    const Status status = entry->function->call(&call);
    if (!status.ok()) give_error(context, status);
  } catch (const std::bad_alloc&) {
    sqlite3_result_error_nomem(context);
  } catch (const std::exception& e) {
    sqlite3_result_error(context, e.what(), -1);
  } catch (...) {
    sqlite3_result_error(context, "syncline: internal error", -1);
  }
}

}  // namespace

int register_functions(sqlite3* db, KeptPeers** kept_peers) {
  auto* shared = new (std::nothrow) Shared();
  if (shared == nullptr) return SQLITE_NOMEM;
  int rc = SQLITE_OK;
  shared->references = 1;  // ours, until all are registered
  for (size_t i = 0; i < std::size(kFunctions); ++i) {
    const Function& function = kFunctions[i];
    shared->entries[i] = {&function, shared};
    for (int count = function.arguments_min; count <= function.arguments_max; ++count) {
      if (rc != SQLITE_OK) break;
      ++shared->references;  // given back by `release`, also if this fails
      rc = sqlite3_create_function_v2(db, function.name, count, SQLITE_UTF8 | SQLITE_DIRECTONLY,
                                      &shared->entries[i], run, nullptr, nullptr, release);
    }
  }
  if (kept_peers != nullptr && rc == SQLITE_OK) *kept_peers = &shared->kept_peers;
  release(&shared->entries[0]);
  return rc;
}

}  // namespace syncline
