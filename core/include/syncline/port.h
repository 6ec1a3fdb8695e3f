// The port: what a host (SQLite, PostgreSQL, or memory in tests) provides to the core.
//
// Verbs of our domain, batch-shaped. The core decides; a host reads and writes. All calls of one
// operation happen inside one transaction that the host has begun and will commit or roll back;
// an error from any call makes the core stop and return it, and the host roll back.
//
// Order of calls in an apply: load_site, load_tables, (park), fetch and store in turns,
// find_dangling, list_held, record_conflicts, save_exchange. In an export: load_site, load_tables,
// open_scan, scan.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "syncline/port_types.h"

namespace syncline {

class Port {
 public:
  virtual ~Port() = default;

  virtual Status load_site(SiteState* out) = 0;
  // Does our own history have this hlc at this seq? False: another database uses our identity, or
  // this one was rolled back.
  virtual Status recognises(const VectorEntry& own, bool* yes) = 0;
  // All tables, present and parked, with their policies (apply_policies).
  virtual Status load_tables(std::vector<TableInfo>* out) = 0;
  // Registers what a peer has and we lack: the whole table, or columns (appended to `table`, not
  // present). Rows and values for it are kept in row state until the schema has a place for them.
  // On return `tables` is as load_tables would give it.
  virtual Status park(const TableSchema& remote, std::vector<TableInfo>* tables) = 0;

  // Reads rows by key, one result row for each key, in order; keys are sorted by compare_keys. In a
  // host with concurrent writers the rows are locked first and their log entries folded.
  virtual Status fetch(const TableInfo& table, std::span<const RowKey> keys, RowBatch* out) = 0;
  // Writes rows; outcomes come one a write, in order. Never fails because of a constraint.
  // Capture, user triggers and foreign key actions do not run.
  virtual Status store(const TableInfo& table, std::span<const RowWrite> writes,
                       std::vector<StoreOutcome>* outcomes) = 0;
  // Rows whose foreign keys point to nothing: children among `written`, and children of rows among
  // `removed`. Empty where foreign keys are not enforced.
  virtual Status find_dangling(std::span<const RowRef> written, std::span<const RowRef> removed,
                               std::vector<RowRef>* out) = 0;

  // Rows kept out of present base tables (kinds unique, foreign_key, constraint), oldest first.
  virtual Status list_held(std::vector<RowRef>* out) = 0;
  virtual Status record_conflicts(std::span<const ConflictRecord> records) = 0;
  // Rows of the table, after the key `after` (encode_key; empty: from the first) and in key order,
  // that may hold several versions of a cell: all that may_conflict, and others if that is easier.
  // At most `count_max`; none: the end.
  virtual Status list_contested(const TableInfo& table, std::string_view after, size_t count_max,
                                RowBatch* out) = 0;

  // The keys of all rows of the table that are in the base table or have state, after the key
  // `after` (encode_key; empty: from the first), in key order. Only `key` of each row is filled in.
  virtual Status list_keys(const TableInfo& table, std::string_view after, size_t count_max,
                           RowBatch* out) = 0;
  // Is the table without rows and without state? As list_keys would say it, where that is dear.
  virtual Status is_empty(const TableInfo& table, bool* yes);
  // As list_keys, for rows with state, with their state; `stored` and `values` are not filled in.
  virtual Status list_states(const TableInfo& table, std::string_view after, size_t count_max,
                             RowBatch* out) = 0;
  // Takes the state of rows away. The base rows stay as they are.
  virtual Status forget(const TableInfo& table, std::span<const RowKey> keys) = 0;
  // A new dot of this site for a version that the core is about to store at this row: its hlc is
  // the core's affair. A log has an entry with kMaskNoted for it.
  virtual Status new_dot(const TableInfo& table, RowKey key, Version* out) = 0;
  // From now on rows without state have this version, and the context that `table` has for them.
  // Its site may be new: save_exchange or save_melting follows.
  virtual Status set_baseline(const TableInfo& table, const Version& baseline) = 0;
  // What is known of `sites`; those of whom nothing was heard are left out. Empty: all of them.
  virtual Status load_acknowledgements(std::span<const SiteIndex> sites,
                                       std::vector<Acknowledgement>* out) = 0;
  // Where a pass of melt() stands.
  virtual Status load_melting(MeltingState* out) = 0;
  virtual Status save_melting(const SiteState& site, const MeltingState& state) = 0;
  // Drops what only holders of less than `site.melted` need: log entries, positions, growth.
  virtual Status prune(const SiteState& site) = 0;

  virtual Status load_incoming(const SiteId& sender, Incoming* out) = 0;
  // All exchanges that broke off here: sender and token.
  virtual Status list_incoming(std::vector<std::pair<SiteId, std::string>>* out) = 0;
  // Also persists sites interned since load_site.
  virtual Status save_exchange(const SiteState& site, const ExchangeUpdate& update) = 0;

  // Starts a scan over rows that may have news for a holder of `since`, in the order of table rank
  // and key. May give rows without news; never leaves one out.
  virtual Status open_scan(const VersionVector& since, const ScanStart& start) = 0;
  // The next rows, all of one table; none: the end. `out->table` points into load_tables' result of
  // this operation as the host keeps it, valid until the scan ends.
  virtual Status scan(size_t count_max, RowBatch* out) = 0;

  // Called every limits::rows_per_batch rows; an error stops the work.
  virtual Status check_interrupt() = 0;
};

}  // namespace syncline
