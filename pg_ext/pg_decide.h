// Deciding conflicts: what core decision.h plans, written as the calling role through the
// application's tables, with capture, triggers and foreign keys as they are for everybody.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pg_ext/pg_port.h"
#include "pg_ext/sl_decide.h"
#include "syncline/decision.h"

namespace syncline::pg {

// A conflict on record.
struct StoredConflict {
  ConflictText text;
  uint32_t table = 0;
  std::string key;      // encode_key
  std::string reopens;  // origin text of a decision taken back: core decision.h, reopened_of
  std::string moved;    // rows that a decision about a held row moved: see pg_held.cpp
  int64_t age_s = 0;    // since it was detected
};
// Errors: unknown_conflict, also for tables that the caller may not read.
Status load_conflict(std::string_view id, StoredConflict* out);

// A row as it is now. Lives as long as its batch.
struct CurrentRow {
  RowBatch batch;
  std::vector<Value> key;
  RowState state;
  const LocalRow& local() const { return batch.rows[0]; }
};

// One decision, from reading to the log entry. Inside an operation begun by sl_merge_begin, after a
// fold; on error the caller rolls back.
class Decider {
 public:
  explicit Decider(const SlDecide& call) : call_(call) {}

  // Reads conflict and row. Errors: unknown_conflict; refused if the table is tracked no longer.
  Status load();
  // *json is what sync_resolve and sync_undo return.
  Status decide(std::string* json);
  Status undo(std::string* json);
  Status preview(std::vector<PreviewLine>* out);
  bool is_open() const { return stored_.text.status == "open"; }

 private:
  DecisionInput input() const;
  const TableInfo* table_by_number(uint32_t number) const;
  Status read_row(const TableInfo& table, std::string_view key, CurrentRow* out);
  // Brings the row to what the plan says. *outcome tells a refusal.
  Status write(const TableInfo& table, std::string_view key, const LocalRow& local,
               const Decision& plan, StoreOutcome* outcome);
  Status log(const TableInfo& table, std::string_view key, int64_t mask,
             std::span<const Value> image, const Origin& origin);
  // Who writes now, without a decision.
  Origin writer() const;
  Status carry_out(const Decision& plan, const Origin& origin);
  // Folds what was written: the conflict closes, or opens again, by what the row then holds.
  Status fold_written(const char* wanted);

  // --- pg_held.cpp
  Status write_held(Choice choice, const Decision& plan);
  Status undo_held();
  Status settle_children();
  Status hold_again(std::span<const Value> values);
  Status record_held(std::span<const Value> values);
  Status find_rivals(const TableInfo& table, RowKey key, std::span<const Value> values,
                     std::vector<std::string>* rivals);
  Status move_row(uint32_t table, std::string_view key, bool exists, StoreOutcome* outcome);
  Status restore_parents(const TableInfo& child, std::span<const Value> values);

  const SlDecide& call_;
  SiteState site_;
  std::vector<TableInfo> tables_;
  PgPort port_{false};
  StoredConflict stored_;
  const TableInfo* table_ = nullptr;
  CurrentRow row_;
  Arena arena_;
  std::string moved_;
};

// The error of a write that a constraint or a trigger refused.
Status refused_write(const TableInfo& table, const StoreOutcome& outcome, const char* hint);

}  // namespace syncline::pg
