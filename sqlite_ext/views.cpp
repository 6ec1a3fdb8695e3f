// See views.h. Before the first sync_enable all of them are empty.
#include "sqlite_ext/views.h"

#include "peers/postgres_url.h"
#include "sqlite_ext/operation.h"
#include "sqlite_ext/peer_store.h"
#include "sqlite_ext/site_views.h"
#include "sqlite_ext/sync_start.h"
#include "syncline/json.h"

namespace syncline {

namespace {

using Json = OrderedJson;

Status has_companions(sqlite3* db, bool* yes) {
  int64_t there = 0;
  SYNCLINE_TRY(
      query_integer(db, "SELECT 1 FROM main.sqlite_schema WHERE name='sync_meta'", 0, &there));
  *yes = there != 0;
  return {};
}

class TablesSource : public RowSource {
 public:
  Status open(sqlite3* db) {
    db_ = db;
    return operation_.begin_in_snapshot(db, "sync_tables");
  }
  Status next(bool* row) override {
    *row = ++at_ < operation_.registry().tables.size();
    return {};
  }

  void column(int column, sqlite3_context* context) override {
    const TableInfo& table = operation_.registry().tables[at_];
    const TableExtra& extra = operation_.registry().extras[at_];
    const std::string number = std::to_string(table.number);
    switch (column) {
      case 0:
        give_text(context, table.name);
        break;
      case 1:
        give_names(context, table, true);
        break;
      case 2:
        give_names(context, table, false);
        break;
      case 3:
        if (!extra.enabled_at.empty()) give_text(context, extra.enabled_at);
        break;
      case 4:
        give_count(context, "SELECT count(*) FROM main.sync_state_" + number);
        break;
      case 5:
        give_count(context, "SELECT count(*) FROM main.sync_log WHERE t=" + number);
        break;
      case 6:
        give_count(context, metadata_bytes(table));
        break;
      case 7:
        give_text(context, status(table, extra));
        break;
      case 8:
        if (!extra.suspect.empty()) {
          give_text(context, extra.suspect);
        } else if (!table.present) {
          give_text(context, "only peers have it: create the table and sync_enable it");
        } else if (extra.fire) {
          give_text(context, "triggers fire on rows that arrive");
        }
        break;
      default:
        break;
    }
  }

 private:
  static const char* status(const TableInfo& table, const TableExtra& extra) {
    if (!table.present) return "parked";
    return extra.suspect.empty() ? "tracked" : "suspect";
  }

  // Payload of state, log and images; what pages add to it is not counted.
  static std::string metadata_bytes(const TableInfo& table) {
    const std::string number = std::to_string(table.number);
    std::string keys = "0";
    for (size_t i = 1; i <= table.key.size(); ++i) {
      keys += "+coalesce(length(CAST(k" + std::to_string(i) + " AS BLOB)),0)";
    }
    return "SELECT (SELECT coalesce(sum(18+" + keys +
           "+coalesce(length(cells),0)),0) FROM "
           "main.sync_state_" +
           number + ")+(SELECT coalesce(sum(14+" + keys +
           "),0) FROM main.sync_log WHERE t=" + number + ")";
  }

  static void give_names(sqlite3_context* context, const TableInfo& table, bool key) {
    Json names = Json::array();
    if (key) {
      for (ColumnNumber c : table.key)
        names.push_back(table.columns[c].name);
    } else {
      for (const ColumnInfo& column : table.columns) {
        if (!column.dropped && (column.present || !table.present)) names.push_back(column.name);
      }
    }
    give_text(context, json_text(names));
  }

  void give_count(sqlite3_context* context, const std::string& sql) {
    int64_t count = 0;
    const Status read = query_integer(db_, sql, 0, &count);
    if (read.ok()) {
      sqlite3_result_int64(context, count);
    } else {
      give_error(context, read);
    }
  }

  sqlite3* db_ = nullptr;
  Operation operation_;
  size_t at_ = static_cast<size_t>(-1);
};

Status open_tables(sqlite3* db, Arguments, std::unique_ptr<RowSource>* out) {
  bool there = false;
  SYNCLINE_TRY(has_companions(db, &there));
  *out = std::make_unique<EmptySource>();
  if (!there) return {};
  auto source = std::make_unique<TablesSource>();
  SYNCLINE_TRY(source->open(db));
  *out = std::move(source);
  return {};
}

const char* const kConflictColumns =
    "id, table_name, pk, column_name, kind, severity, status, base, local, remote, winner, "
    "policy, confidence, local_site, remote_site, local_at, remote_at, detected_at, resolved_at, "
    "resolved_by, note, local_actor, remote_actor, how, choice";

Status open_conflicts(sqlite3* db, Arguments, std::unique_ptr<RowSource>* out) {
  bool there = false;
  SYNCLINE_TRY(has_companions(db, &there));
  *out = std::make_unique<EmptySource>();
  if (!there) return {};
  auto source = std::make_unique<CopiedSource>();
  SYNCLINE_TRY(source->open(db, std::string("SELECT ") + kConflictColumns +
                                    " FROM main.sync_conflict ORDER BY detected_at,id"));
  *out = std::move(source);
  return {};
}

class PeersSource : public RowSource {
 public:
  static constexpr int kFailures = 8, kClockAhead = 10, kBackground = 11;

  Status open(sqlite3* db) {
    db_ = db;
    return load_peers(db, &peers_);
  }
  Status next(bool* row) override {
    *row = ++at_ < peers_.size();
    return {};
  }
  void column(int column, sqlite3_context* context) override {
    const Peer& peer = peers_[at_];
    if (column == kFailures) {
      sqlite3_result_int64(context, peer.failures);
    } else if (column == kClockAhead) {
      if (!peer.site.empty()) sqlite3_result_int64(context, peer.clock_ahead_ms);
    } else if (column == kBackground) {
      if (runs_in_background(db_, peer.name)) give_text(context, "running");
    } else {
      const std::string texts[] = {
          peer.name,   mask_password(peer.url), peer.site,         peer.site_name,
          peer.vector, peer.last_attempt,       peer.last_success, peer.last_error,
          "",          breaker_state(peer)};
      if (!texts[column].empty()) give_text(context, texts[column]);
    }
  }

 private:
  sqlite3* db_ = nullptr;
  std::vector<Peer> peers_;
  size_t at_ = static_cast<size_t>(-1);
};

Status open_peers(sqlite3* db, Arguments, std::unique_ptr<RowSource>* out) {
  bool there = false;
  SYNCLINE_TRY(has_companions(db, &there));
  *out = std::make_unique<EmptySource>();
  if (!there) return {};
  auto source = std::make_unique<PeersSource>();
  SYNCLINE_TRY(source->open(db));
  *out = std::move(source);
  return {};
}

const TableFunction kViews[] = {
    {"sync_tables",
     "table_name, primary_key, columns, tracked_since, rows_with_state, log_length, "
     "metadata_bytes, status, note",
     "", 9, 0, open_tables},
    {"sync_conflicts", kConflictColumns, "", 25, 0, open_conflicts},
    {"sync_peers",
     "name, url, site, site_name, vector, last_attempt, last_success, last_error, failures, "
     "breaker, clock_ahead_ms, background",
     "", 12, 0, open_peers},
};

}  // namespace

int register_views(sqlite3* db) {
  for (const TableFunction& view : kViews) {
    const int rc = register_table_function(db, &view);
    if (rc != SQLITE_OK) return rc;
  }
  return register_site_views(db);
}

}  // namespace syncline
