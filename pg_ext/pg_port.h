// Port over the leaves of sl_exchange.h: one operation, between sl_merge_begin and sl_merge_end.
//
//   pg_port.cpp       the site, the registry, what an exchange leaves behind
//   pg_port_rows.cpp  fetching and storing rows
//   pg_melting.cpp    metadata that melts
//   pg_scan.cpp       scanning for an export
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pg_ext/pg_scan.h"
#include "pg_ext/pg_site.h"
#include "pg_ext/sl_exchange.h"
#include "pg_ext/sl_melting.h"
#include "syncline/apply.h"
#include "syncline/exporter.h"
#include "syncline/port.h"

namespace syncline::pg {

// A base table open for this operation. Closed by close() only: after an error the transaction is
// to be rolled back, and the server closes it then.
class BaseTable {
 public:
  BaseTable() = default;
  BaseTable(const BaseTable&) = delete;
  BaseTable& operator=(const BaseTable&) = delete;

  // Errors: host_failed, also for missing privileges.
  Status open(uint32_t number, bool write);
  Status close();
  void* get() const { return base_; }
  uint32_t number() const { return number_; }

  // Names the rows of the following calls; `keys` must outlive them. Keys that the column types
  // cannot hold have no row.
  Status set_keys(const std::vector<const SlValue*>& keys);

 private:
  void* base_ = nullptr;
  uint32_t number_ = 0;
};

// Calls a leaf in a subtransaction; *failed tells an error that was rolled back. Errors:
// host_failed.
Status attempt(void (*leaf)(void*), void* argument, SlFailure* failure, bool* failed);

class PgPort final : public Port {
 public:
  // `write`: tables are opened for writing and rows are locked.
  explicit PgPort(bool write) : write_(write) {}
  // Ends the operation; not to be called after an error.
  Status finish();
  // What prune() has dropped: entries of bookkeeping.
  uint64_t pruned() const { return pruned_; }

  // A plan left by the last chunk of this session, if the export goes on from `resume_hex`.
  void resume_plan(std::string_view resume_hex) { resume_hex_ = resume_hex; }
  void keep_plan(std::string_view resume_hex);
  // The same of list_keys, for the apply of the chunk that follows.
  void keep_list();

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
  Status is_empty(const TableInfo& table, bool* yes) override;
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
  Status check_interrupt() override;

 private:
  // A row of the last fetch: its key, and where its state stands.
  struct Fetched {
    const Value* key = nullptr;
    std::string encoded;
    uint64_t place = 0;
    int64_t position = 0;
    bool known = true;  // false: the state was written since
  };

  // --- pg_port_rows.cpp
  Status open_base(const TableInfo& table);
  Status see_everything(bool* changed);
  Status read_rows(const TableInfo& table, RowBatch* out, const uint64_t* places = nullptr);
  Status read_states(const TableInfo& table, RowBatch* out);
  Status find_fetched(const TableInfo& table, std::span<const RowWrite> writes,
                      std::vector<size_t>* rows);
  Status write_base(const TableInfo& table, std::span<const RowWrite> writes,
                    const std::vector<size_t>& rows, std::vector<StoreOutcome>* outcomes);
  Status run_writes(SlWriteBatch* batch, void (*step)(void*));
  Status write_states(const TableInfo& table, std::span<const RowWrite> writes,
                      const std::vector<size_t>& rows,
                      const std::vector<StoreOutcome>& outcomes);
  // --- pg_port.cpp
  Status save_knowledge(const SiteState& site, const ExchangeUpdate& update);
  Status save_new_sites(const SiteTable& sites);
  // --- pg_melting.cpp
  Status save_acknowledgements(const SiteState& site, const ExchangeUpdate& update);
  Status note_dots();
  void put_key(std::string_view encoded, RowKey key);
  // --- pg_scan.cpp
  Status enter_table();
  Status take_kept_plan(const TableInfo& table, bool* taken);
  Status take_kept_list(const TableInfo& table, std::string_view after, bool* taken);
  Status take(std::unique_ptr<KeptPlan>* from, std::string_view token, const TableInfo& table,
              std::string_view after, bool extend, ScanPlan* plan, bool* taken);
  Status plan_table(const TableInfo& table, std::string_view after);
  Status collect_keys(const TableInfo& table, int64_t begin, bool base, ScanPlan* plan);

  const bool write_;
  SiteTable* sites_ = nullptr;  // the operation's, from load_site
  const Settings* settings_ = nullptr;
  SiteIndex sites_known_ = 0;
  SiteIndex self_ = 0;
  uint64_t now_ms_ = 0;
  uint64_t random_ = 0;
  VersionVector melted_;
  std::vector<TableInfo> tables_;
  BaseTable base_;
  uint64_t completions_ = 0;
  bool fresh_ = false;  // a snapshot was taken by see_everything
  uint32_t filled_ = 0;  // number of the table that was told of rows that are not listed

  uint32_t fetched_table_ = 0;
  std::vector<Fetched> fetched_;
  std::vector<RowKey> fetched_keys_;

  std::optional<int64_t> dots_begin_;  // our position before new_dot gave the first one
  uint64_t dot_last_ = 0;
  uint64_t pruned_ = 0;
  SlStateList state_list_ = {};
  ScanPlan key_list_;           // of list_keys
  std::string incoming_token_;  // of the exchange that a chunk is applied of, before and after
  std::string incoming_next_;

  std::string resume_hex_;
  VersionVector since_;
  int64_t begin_ = 0;
  bool everything_ = false;
  size_t table_at_ = 0;  // in tables_
  std::string scan_after_;
  ScanPlan plan_;
};

// One step of an exchange, inside an operation begun by sl_merge_begin: pg_exchange.cpp.
Status export_next(std::string_view vector, const ExportOptions& options,
                   std::string_view resume_hex, ExportedChunk* out);
Status apply_now(std::string_view chunk, const ApplyOptions& options, ApplyReport* report);

// Stores a setting of this site's, with the next change of its own, inside such an operation: its
// hlc and site are filled in. pg_member.cpp.
Status store_setting(const SiteState& site, Setting* setting, ApplyReport* report);
// Retires sites that hold the horizon and were not heard of for so many days.
Status retire_unseen(uint64_t days);

}  // namespace syncline::pg
