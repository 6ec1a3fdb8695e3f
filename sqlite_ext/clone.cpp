// sync_clone: making a peer's tables here, tracking them, and filling them by a session.
//
// Tables, companions and triggers are made in one transaction: an error leaves nothing. What is
// filled then is a session like any other: where it breaks off, it goes on with the next.
#include <algorithm>
#include <chrono>
#include <cctype>

#include "sqlite_ext/enable.h"
#include "sqlite_ext/members.h"
#include "sqlite_ext/operation.h"
#include "sqlite_ext/peer_link.h"
#include "sqlite_ext/sync_now.h"
#include "syncline/clone.h"

namespace syncline {

namespace {

// Runs one statement that makes something. A peer's file could hold anything as text of its schema.
Status make(sqlite3* db, const std::string& table, const std::string& sql) {
  std::string start = sql.substr(0, 7);
  for (char& c : start) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  int rc = start == "CREATE " ? sqlite3_prepare_v2(db, sql.c_str(), -1, &raw, &tail) : SQLITE_OK;
  const bool alone = tail != nullptr &&
                     std::string_view(tail).find_first_not_of(" \t\n\r;") == std::string_view::npos;
  if (rc == SQLITE_OK && raw != nullptr && alone) {
    rc = sqlite3_step(raw);
  } else if (rc == SQLITE_OK) {
    rc = SQLITE_MISUSE;
  }
  const std::string why = rc == SQLITE_MISUSE ? "it is not one CREATE statement"
                                              : sqlite3_errmsg(db);
  sqlite3_finalize(raw);
  if (rc == SQLITE_DONE) return {};
  return {StatusCode::refused,
          "table \"" + table + "\" of the peer cannot be made here: " + why + ": " + sql,
          "leave it out with the option \"tables\", or make it by hand and call sync_clone again"};
}

class Tables {
 public:
  Tables(Operation* operation, const ClonePlan& plan, bool unfinished)
      : operation_(*operation), db_(operation->db()), plan_(plan), unfinished_(unfinished) {}

  Status make_all() {
    std::vector<const PlannedTable*> made, found;
    for (const PlannedTable& table : plan_.tables) {
      bool exists = false;
      SYNCLINE_TRY(look(table, &exists));
      (exists ? found : made).push_back(&table);
      if (exists) continue;
      for (const std::string& sql : table.make) SYNCLINE_TRY(make(db_, table.name, sql));
    }
    for (const PlannedTable* table : made) {
      for (const std::string& sql : table->after) SYNCLINE_TRY(make(db_, table->name, sql));
    }
    bool adopted = false;
    for (const PlannedTable& table : plan_.tables) {
      EnableReport report;
      SYNCLINE_TRY(enable_table(db_, table.name, {}, &operation_.registry(), &report));
      adopted = adopted || report.adopted;
    }
    if (adopted) SYNCLINE_TRY(operation_.fold());  // rows that waited for their table
    operation_.end_apply();
    for (const PlannedTable* table : found) SYNCLINE_TRY(compare(*table));
    return {};
  }

 private:
  const TableInfo* tracked(const std::string& name) const {
    const int64_t at = find_table(operation_.registry().tables, name);
    if (at < 0) return nullptr;
    const TableInfo& table = operation_.registry().tables[static_cast<size_t>(at)];
    return table.present ? &table : nullptr;
  }

  // Is there a table of this name? Refuses one that has rows, unless they are ours to go on with.
  Status look(const PlannedTable& table, bool* exists) const {
    BaseTable base;
    SYNCLINE_TRY(describe_table(db_, table.name, &base));
    *exists = base.exists;
    if (!base.exists) return {};
    if (base.type != "table") {
      return {StatusCode::refused, "\"" + base.name + "\" exists here and is a " + base.type,
              "rename it, or leave the table out with the option \"tables\""};
    }
    bool rows = false;
    Statement s;
    SYNCLINE_TRY(s.prepare(db_, "SELECT 1 FROM main." + quote_name(base.name) + " LIMIT 1"));
    SYNCLINE_TRY(s.next(&rows));
    if (!rows || (unfinished_ && tracked(base.name) != nullptr)) return {};
    const std::string call = tracked(base.name) != nullptr
                                 ? "sync_now() brings what is new"
                                 : "SELECT sync_enable(" + quote_text(base.name) +
                                       ") and sync_now() merge both";
    return {StatusCode::refused, "table \"" + base.name + "\" exists here and has rows",
            "sync_clone fills tables that are empty or not there; " + call};
  }

  // A table that was here has to have the columns that travel.
  Status compare(const PlannedTable& table) const {
    const TableInfo* ours = tracked(table.name);
    if (ours == nullptr) return {StatusCode::internal, "table " + table.name + " is not tracked"};
    const auto differs = [&](const std::string& how) {
      return Status(StatusCode::schema_mismatch,
                    "table \"" + table.name + "\" exists here and differs: " + how,
                    "drop the empty table, or give it the columns of the peer's");
    };
    for (const PlannedColumn& column : table.columns) {
      const int64_t at = find_column(ours->columns, column.name);
      if (at < 0 || !ours->columns[static_cast<size_t>(at)].present) {
        return differs("it lacks column \"" + column.name + "\"");
      }
      const std::string loss = type_loss(column.type, ours->columns[static_cast<size_t>(at)].type);
      if (!loss.empty()) return differs("column \"" + column.name + "\": " + loss);
    }
    const auto same = [](const std::string& a, const std::string& b) {
      return sqlite3_stricmp(a.c_str(), b.c_str()) == 0;
    };
    std::vector<std::string> key;
    for (const ColumnNumber part : ours->key) key.push_back(ours->columns[part].name);
    const bool keys = std::equal(key.begin(), key.end(), table.key.begin(), table.key.end(), same);
    return keys ? Status() : differs("its primary key is another");
  }

  Operation& operation_;
  sqlite3* db_;
  const ClonePlan& plan_;
  const bool unfinished_;
};

Status make_tables(sqlite3* db, const ClonePlan& plan, const std::string& peer_site) {
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(db, "sync_clone"));
  SYNCLINE_TRY(operation.fold());
  std::vector<std::pair<SiteId, std::string>> incoming;
  SYNCLINE_TRY(operation.port().list_incoming(&incoming));
  const bool unfinished = std::any_of(incoming.begin(), incoming.end(), [&](const auto& entry) {
    return to_hex(entry.first) == peer_site;
  });
  SYNCLINE_TRY(Tables(&operation, plan, unfinished).make_all());
  SYNCLINE_TRY(register_member(db, &operation.registry(), is_member(operation.registry())));
  return operation.commit();
}

// The URL of a stored peer, or `target` itself.
Status resolve(sqlite3* db, const std::string& target, std::vector<Peer>* peers, int64_t* place,
               std::string* url) {
  Registry registry;
  SYNCLINE_TRY(load_registry(db, &registry));
  if (registry.exists) SYNCLINE_TRY(load_peers(db, peers));
  SYNCLINE_TRY(find_peer(*peers, target, place));
  *url = *place >= 0 ? (*peers)[static_cast<size_t>(*place)].url : target;
  return {};
}

}  // namespace

Status call_sync_clone(Call* call) {
  sqlite3* db = call->db();
  SYNCLINE_TRY(refuse_session(db, "sync_clone"));
  std::string target, url, description;
  SYNCLINE_TRY(call->text(0, "the database to clone", &target));
  CloneOptions options;
  SYNCLINE_TRY(clone_options_from_json(call->bytes(1), &options));
  const auto begin = std::chrono::steady_clock::now();
  std::vector<Peer> peers;
  int64_t place = -1;
  SYNCLINE_TRY(resolve(db, target, &peers, &place, &url));
  ClonePlan plan;
  {
    PeerLink link;
    SYNCLINE_TRY(link.open(db, url, options.session.drift_ms_max, call->kept_peers()));
    Hello theirs;
    SYNCLINE_TRY(link.endpoint()->schema(&description));
    SYNCLINE_TRY(link.endpoint()->hello(&theirs));
    SYNCLINE_TRY(plan_clone(description, Dialect::sqlite, options, &plan));
    SYNCLINE_TRY(make_tables(db, plan, theirs.site));
    link.keep();
  }
  SessionReport report;
  if (!options.ddl_only) {
    Peer* peer = place >= 0 ? &peers[static_cast<size_t>(place)] : nullptr;
    SYNCLINE_TRY(sync_with(call, url, options.session, peer, &report));
  }
  const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
  call->give(clone_report_to_json(plan, options.ddl_only ? nullptr : &report, spent.count()));
  return {};
}

}  // namespace syncline
