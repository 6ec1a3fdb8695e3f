// A database in memory: the third host, beside SQLite and PostgreSQL.
//
// It does what a real host does, in the plainest way: base tables with unique, foreign key and
// CHECK constraints, an append-only log of local changes that is folded into packed row state, a
// relay log, growth of knowledge, contexts, incoming exchanges, held rows and conflicts. It departs
// from a real host in two things: a transaction is a copy of everything, and each log entry keeps
// what was written, so that tests know the truth. Nothing that the core sees depends on that.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/owned_value.hpp"
#include "support/prng.hpp"
#include "syncline/fold.h"
#include "syncline/horizon.h"
#include "syncline/port.h"

namespace syncline::test {

struct ForeignKeyRule {
  std::vector<std::string> columns;  // refer to the parent's primary key, in its order
  std::string parent;
  ForeignAction on_delete = ForeignAction::cascade;
};

// What a CREATE TABLE says.
struct TableRules {
  TableSchema schema;
  std::vector<std::vector<std::string>> uniques;
  std::vector<ForeignKeyRule> foreign_keys;
  // CHECK: the integers in these columns add up to at most sum_max.
  std::vector<std::string> sum_columns;
  int64_t sum_max = 0;
  OnDelete on_delete = OnDelete::update_wins;
};

enum class ChangeKind : uint8_t { insert, update, erase };

struct LogEntry {  // its seq is its position in the log, from 1
  uint32_t table = 0;
  std::string key;  // encode_key; empty for the entry that stands for a table's baseline
  OwnedRow key_values;
  Hlc hlc = 0;
  int64_t mask = 0;
  ColumnNumber columns_known = 0;
  // What a real log does not have: what happened, and the row after it (erase: before it).
  ChangeKind kind = ChangeKind::update;
  OwnedRow values;
};

struct StoredState {
  OwnedRow key;
  SiteIndex site = 0;
  uint64_t seq = 0;
  Hlc hlc = 0;
  uint32_t flags = 0;
  ContextId context = 0;
  std::string cells;
  PackedRow packed() const { return {site, seq, hlc, flags, context, cells}; }
};

struct BaseRow {
  OwnedRow key;
  OwnedRow values;  // by column number; absent where the table lacks the column
};

struct MemoryTable {
  TableInfo info;
  TableRules rules;
  std::map<std::string, BaseRow> base;       // by encode_key
  std::map<std::string, StoredState> state;  // by encode_key
  std::map<std::string, OwnedRow> images;    // of rows deleted since the last fold
  std::map<std::string, OwnedRow> seen;      // what the first update since then saw
};

struct OpenConflict {
  uint32_t table = 0;
  std::string key;
  Conflict conflict;
  std::string reason;
  uint64_t age = 0;  // the smaller, the older
};

// Everything that a transaction may change.
struct MemoryData {
  SiteTable sites;
  SiteIndex self = 0;
  std::vector<std::pair<uint64_t, SiteIndex>> incarnations;  // from which seq, who we were
  VersionVector knowledge;  // own entry excluded; those of earlier incarnations included
  std::map<uint32_t, MemoryTable> tables;
  std::vector<LogEntry> log;
  uint64_t folded = 0;  // entries of `log` that are in row state
  Hlc floor = 0;
  std::vector<std::pair<uint32_t, std::string>> relay;  // its position is its index + 1
  struct Growth {
    SiteIndex site;
    uint64_t seq, begin;
  };
  std::vector<Growth> growth;
  std::map<ContextId, VersionVector> contexts;
  ContextId next_context = 1;
  std::map<SiteId, Incoming> incoming;
  std::map<std::string, OpenConflict> conflicts;  // by id
  uint64_t conflicts_closed = 0;
  uint64_t conflict_clock = 0;
  Settings settings;
  VersionVector melted;
  MeltingState melting;
  std::map<SiteIndex, Acknowledgement> heard;
  uint64_t log_pruned = 0;    // entries of `log` up to here are forgotten
  uint64_t relay_pruned = 0;  // and of `relay`
  // For tests alone: what rows without state, or without trace, had when it went. By column number,
  // existence last.
  using Dots = std::vector<std::pair<SiteIndex, uint64_t>>;
  std::map<std::pair<uint32_t, std::string>, std::vector<Dots>> stood;
  std::map<uint32_t, Version> baselines;  // of tables whose baseline melted
};

class MemoryPort;

// What an observer of the fold is told: the row before, and what happened to it since.
struct FoldedRow {
  const MemoryPort* port = nullptr;
  const SiteTable* sites = nullptr;
  SiteIndex self = 0;
  const TableInfo* table = nullptr;
  const OwnedRow* key = nullptr;
  const RowState* before = nullptr;                          // may be empty
  std::vector<std::pair<uint64_t, const LogEntry*>> events;  // seq and entry
};

class MemoryPort final : public Port {
 public:
  MemoryPort(const SiteId& id, std::string name, uint64_t seed);

  // --- what an application and an administrator do ---
  // Creates the table with the columns of `rules`, and `rows` in it that nobody tracked, then
  // tracks it. Takes over a parked table of that name.
  void enable(const TableRules& rules, const std::vector<OwnedRow>& rows = {});
  // ALTER TABLE ADD COLUMN. Takes over a parked column of that name.
  void add_column(const std::string& table, const ColumnSchema& column);
  // False: a constraint refused the write, and nothing was written. Columns of `values` are in the
  // order of the table's present columns.
  bool insert(const std::string& table, RowKey values);
  bool update(const std::string& table, RowKey key,
              const std::vector<std::pair<std::string, Value>>& values);
  bool erase(const std::string& table, RowKey key);
  // sync_set_policy; `column` empty: the table. The error of a bad one.
  Status set_policy(const std::string& table, const std::string& column, const std::string& policy,
                    const std::string& options = {});
  // Enters this site among the members; another one, of which it heard elsewhere; retires one.
  void join_members();
  void know_member(const SiteId& id);
  void retire(const SiteId& id);
  // sync_maintain: drops state below the horizon.
  Status maintain(uint64_t rows_max, MeltReport* report);
  // This database was copied or restored: from now on it is another site.
  void take_identity(const SiteId& id);
  void set_clock(uint64_t unix_ms) { now_ms_ = unix_ms; }
  uint64_t now_ms() const { return now_ms_; }

  // --- transactions ---
  // Folds, then runs `body`. An error rolls back what `body` did.
  Status transaction(const std::function<Status()>& body);
  void fold();
  // Folds, then runs `body`, which writes nothing: what an export does.
  Status reading(const std::function<Status()>& body);
  std::function<void(const FoldedRow&)> on_fold;
  // The count-th call of the port from now on fails, as a host's would; 0: none does.
  void fail_at(uint64_t count) { calls_until_failure_ = count; }

  // --- looking at it ---
  const MemoryData& data() const { return data_; }
  const MemoryTable* table(const std::string& name) const;
  SiteId id() const { return data_.sites.id(data_.self); }
  VersionVector knowledge() const;
  // A row's versions with their values; empty if there are none. Values live in `arena`.
  RowState row(const MemoryTable& table, const std::string& key, Arena* arena) const;
  // The dots that a melted version in the cell stands for; column_count: existence.
  MemoryData::Dots stood_for(const MemoryTable& table, const std::string& key,
                             ColumnNumber column) const;
  // Empty, or a stored row that refers to nothing.
  std::string dangling() const;
  // Keys (encode_key) that have a row or state.
  std::set<std::string> keys(const MemoryTable& table) const;

  // --- Port ---
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
  Status check_interrupt() override;

 private:
  // Cells that the merge has written anew: a change that on_fold is told of.
  struct Renewal {
    uint32_t table;
    std::optional<StoredState> before;
    uint64_t seq;
    LogEntry entry;
  };

  Status called(const char* verb);
  void note_renewal(const MemoryTable& table, const RowWrite& write);
  void tell_renewals();
  MemoryTable* find(const std::string& name);
  void append_log(MemoryTable* table, const BaseRow& row, ChangeKind kind, int64_t mask);
  void fold_one(uint32_t table_number, const std::string& key,
                std::vector<std::pair<uint64_t, const LogEntry*>> events);
  void refresh_conflicts(const MemoryTable& table, const OwnedRow& key, const RowState& row);
  void settle_held();
  void append_marker();
  void rank_tables();
  void renew_policies();  // of all tables, from the settings
  void fill(const MemoryTable& table, const std::string& key, RowBatch* out, LocalRow* row) const;
  // The constraint that `values` would break; stored if none.
  StoreOutcome check_row(const MemoryTable& table, const std::string& key,
                         const OwnedRow& values) const;
  bool parents_exist(const MemoryTable& table, const OwnedRow& values, std::string* reason) const;
  std::vector<std::string> children_of(const MemoryTable& child, const ForeignKeyRule& rule,
                                       const std::string& parent_key) const;
  void set_null(const MemoryTable& parent, const std::string& key);
  bool cascade(const MemoryTable& table, const std::string& key,
               std::vector<std::pair<uint32_t, std::string>>* rows) const;
  uint64_t scan_begin(const VersionVector& since) const;
  SiteIndex owner(uint64_t seq) const;

  MemoryData data_;
  std::string name_;
  Prng prng_;
  uint64_t now_ms_ = 1'700'000'000'000;
  uint64_t calls_until_failure_ = 0;
  std::vector<std::pair<uint32_t, std::string>> scan_rows_;
  size_t scan_next_ = 0;
  std::vector<Renewal> renewals_;  // of the transaction
};

}  // namespace syncline::test
