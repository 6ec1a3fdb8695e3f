// sync_maintain: dropping metadata that every site has seen, and what else has become old.
#include "sqlite_ext/maintain.h"

#include "sqlite_ext/functions.h"
#include "sqlite_ext/members.h"
#include "sqlite_ext/operation.h"

namespace syncline {

namespace {

Status retire_unseen(Operation* operation, uint64_t days) {
  if (days == 0) return {};
  SiteState site;
  std::vector<Acknowledgement> heard;
  SYNCLINE_TRY(operation->port().load_site(&site));
  SYNCLINE_TRY(operation->port().load_acknowledgements({}, &heard));
  for (const SiteId& id : find_unseen(list_sites(&site, heard), site.now_ms, days)) {
    SYNCLINE_TRY(retire(operation->db(), &operation->registry(), id,
                        "not heard of for " + std::to_string(days) + " days"));
  }
  return {};
}

// Drops rows of `table` that are older than `days`, at most `rows_max`.
Status drop_old(sqlite3* db, const std::string& table, const std::string& key,
                const std::string& at, uint64_t days, uint64_t rows_max, uint64_t* dropped) {
  SYNCLINE_TRY(execute(db, "DELETE FROM main." + table + " WHERE " + key + " IN (SELECT " + key +
                               " FROM main." + table + " WHERE " + at +
                               "<strftime('%Y-%m-%dT%H:%M:%fZ','now','-" + std::to_string(days) +
                               " days') LIMIT " + std::to_string(rows_max) + ")"));
  *dropped = static_cast<uint64_t>(sqlite3_changes(db));
  return {};
}

Status drop_closed(sqlite3* db, const MaintainOptions& options, MaintainReport* report) {
  SYNCLINE_TRY(drop_old(db, "sync_conflict", "id",
                        "status='closed' AND coalesce(resolved_at,detected_at)",
                        options.keep_closed_days, options.rows_max, &report->conflicts_dropped));
  // The last event stays: numbers are never given twice.
  SYNCLINE_TRY(drop_old(db, "sync_event", "event",
                        "event<(SELECT max(event) FROM main.sync_event) AND at",
                        options.keep_closed_days, options.rows_max, &report->events_dropped));
  const bool more =
      report->conflicts_dropped >= options.rows_max || report->events_dropped >= options.rows_max;
  report->melting.done = report->melting.done && !more;
  return {};
}

// Payload of row state, log, positions and images: what pages add to it is not counted.
Status metadata_bytes(sqlite3* db, const Registry& registry, uint64_t* out) {
  const auto sum = [](const std::string& table, size_t keys, int fixed, const char* more) {
    std::string one = std::to_string(fixed);
    for (size_t i = 1; i <= keys; ++i) {
      one += "+coalesce(length(CAST(k" + std::to_string(i) + " AS BLOB)),0)";
    }
    return "(SELECT coalesce(sum(" + one + more + "),0) FROM main." + table + ")";
  };
  int64_t total = 0;
  const auto add = [&](const std::string& one) -> Status {
    int64_t bytes = 0;
    SYNCLINE_TRY(query_integer(db, "SELECT " + one, 0, &bytes));
    total += bytes;
    return {};
  };
  SYNCLINE_TRY(add(sum("sync_log", registry.key_columns, 14, "")));
  SYNCLINE_TRY(add(sum("sync_relay", registry.key_columns, 6, "")));
  for (const TableInfo& table : registry.tables) {
    SYNCLINE_TRY(add(sum("sync_state_" + std::to_string(table.number), table.key.size(), 18,
                         "+coalesce(length(cells),0)")));
  }
  *out = static_cast<uint64_t>(total);
  return {};
}

Status maintain(Operation* operation, const MaintainOptions& options, MaintainReport* report) {
  sqlite3* db = operation->db();
  SYNCLINE_TRY(operation->fold());
  SYNCLINE_TRY(retire_unseen(operation, options.retire_unseen_days));
  SYNCLINE_TRY(drop_retired_exchanges(db, operation->registry()));
  SqlitePort& port = operation->port();
  port.limit_prune(options.rows_max);
  SYNCLINE_TRY(melt(&port, options.rows_max, &report->melting));
  if (report->melting.done && !port.prune_left()) {
    // What the last pass left, or what an exchange held that has ended since.
    SiteState site;
    SYNCLINE_TRY(port.load_site(&site));
    if (site.melted.covered_by(site.knowledge)) SYNCLINE_TRY(port.prune(site));
  }
  report->melting.done = report->melting.done && !port.prune_left();
  report->log_dropped = port.log_dropped();
  SYNCLINE_TRY(drop_closed(db, options, report));
  return metadata_bytes(db, operation->registry(), &report->bytes_metadata);
}

}  // namespace

Status maintain_database(sqlite3* db, const MaintainOptions& options, MaintainReport* report) {
  if (sqlite3_get_autocommit(db) != 0) SYNCLINE_TRY(fold_in_parts(db, "sync_maintain"));
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(db, "sync_maintain"));
  SYNCLINE_TRY(maintain(&operation, options, report));
  return operation.commit();
}

Status call_maintain(Call* call) {
  MaintainOptions options;
  SYNCLINE_TRY(maintain_options_from_json(call->bytes(0), &options));
  Registry registry;
  SYNCLINE_TRY(load_registry(call->db(), &registry));
  if (!registry.exists) return nothing_tracked("sync_maintain");
  MaintainReport report;
  SYNCLINE_TRY(maintain_database(call->db(), options, &report));
  call->give(report_to_json(report));
  return {};
}

}  // namespace syncline
