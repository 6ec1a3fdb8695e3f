// The port over a SQLite connection: what the core reads and writes through.
//
// Lives within one operation, whose transaction somebody else has begun. An operation that writes
// has folded the log and switched off triggers and foreign keys (transaction.h) before.
#pragma once

#include <memory>

#include "sqlite_ext/access_pool.h"
#include "sqlite_ext/change_scan.h"
#include "sqlite_ext/trigger_guard.h"
#include "syncline/port.h"

namespace syncline {

class SqlitePort : public Port {
 public:
  // `registry` must outlive the port; park and save_exchange change it. `foreign_keys`: whether the
  // application enforces them on this connection. `changes`: kept from chunk to chunk, or null.
  SqlitePort(sqlite3* db, Registry* registry, bool foreign_keys, ChangeList* changes)
      : db_(db),
        registry_(*registry),
        foreign_keys_(foreign_keys),
        guard_(db, *registry),
        pool_(db, *registry),
        scan_(db, *registry, &pool_, changes != nullptr ? changes : &own_changes_) {}

  Status load_site(SiteState* out) override;
  Status recognises(const VectorEntry& own, bool* yes) override;
  Status load_tables(std::vector<TableInfo>* out) override;
  Status park(const TableSchema& remote, std::vector<TableInfo>* tables) override;
  Status fetch(const TableInfo& table, std::span<const RowKey> keys, RowBatch* out) override;
  Status store(const TableInfo& table, std::span<const RowWrite> writes,
               std::vector<StoreOutcome>* outcomes) override;
  Status find_dangling(std::span<const RowRef> written, std::span<const RowRef> removed,
                       std::vector<RowRef>* out) override;
  Status list_held(std::vector<RowRef>* out) override;
  Status record_conflicts(std::span<const ConflictRecord> records) override;
  Status list_contested(const TableInfo& table, std::string_view after, size_t count_max,
                        RowBatch* out) override;
  Status list_keys(const TableInfo& table, std::string_view after, size_t count_max,
                   RowBatch* out) override;
  Status list_states(const TableInfo& table, std::string_view after, size_t count_max,
                     RowBatch* out) override;
  Status forget(const TableInfo& table, std::span<const RowKey> keys) override;
  Status new_dot(const TableInfo& table, RowKey key, Version* out) override;
  Status set_baseline(const TableInfo& table, const Version& baseline) override;
  Status load_acknowledgements(std::span<const SiteIndex> sites,
                               std::vector<Acknowledgement>* out) override;
  Status load_melting(MeltingState* out) override;
  Status save_melting(const SiteState& site, const MeltingState& state) override;
  Status prune(const SiteState& site) override;
  Status load_incoming(const SiteId& sender, Incoming* out) override;
  Status list_incoming(std::vector<std::pair<SiteId, std::string>>* out) override;
  Status save_exchange(const SiteState& site, const ExchangeUpdate& update) override;
  Status open_scan(const VersionVector& since, const ScanStart& start) override;
  Status scan(size_t count_max, RowBatch* out) override;
  Status check_interrupt() override { return {}; }  // SQLite's own calls report interrupts

  // The greatest own seq that a vector from outside showed to be shared; 0 if none did.
  uint64_t shared_seen() const { return shared_seen_; }
  // From now on prune drops at most so many entries; *left tells whether it left some.
  void limit_prune(uint64_t entries_max) { prune_limit_ = entries_max; }
  uint64_t log_dropped() const { return log_dropped_; }
  bool prune_left() const { return prune_left_; }

 private:
  Status list_stateful(const TableInfo& table, std::string_view after, size_t count_max,
                       bool contested, RowBatch* out);
  Status write_base(TableAccess* access, std::span<const RowWrite> writes,
                    std::vector<StoreOutcome>* outcomes);
  Status write_firing(TableAccess* access, const RowWrite& write, StoreOutcome* outcome);
  Status save_sites(const SiteTable& sites);
  Status save_knowledge(const SiteState& site, const ExchangeUpdate& update);
  Status save_contexts(const SiteState& site, const ExchangeUpdate& update);
  Status watch_fill(const ExchangeUpdate& update);

  sqlite3* db_;
  Registry& registry_;
  bool foreign_keys_;
  TriggerGuard guard_;
  AccessPool pool_;
  ChangeList own_changes_;
  ChangeScan scan_;
  SiteTable* sites_ = nullptr;  // the operation's, from load_site
  uint32_t vacant_ = 0;         // the table whose last fetch found no base row between its keys
  uint64_t shared_seen_ = 0;
  uint64_t prune_limit_ = UINT64_MAX, log_dropped_ = 0;
  bool prune_left_ = false;
};

}  // namespace syncline
