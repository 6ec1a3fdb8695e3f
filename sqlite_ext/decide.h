// Carrying decisions about conflicts out: what core decision.h plans, written through the
// application's tables with capture, triggers and foreign keys as they are for everybody.
#pragma once

#include <string>
#include <string_view>

#include "sqlite_ext/conflict_store.h"
#include "sqlite_ext/operation.h"
#include "syncline/decision.h"

namespace syncline {

// A conflict, and the row it is about as it is now. Everything views `arena`.
struct DecisionScene {
  StoredConflict stored;
  size_t position = 0;  // of the table in the registry
  Arena arena;
  std::vector<Value> key;
  LocalRow local;
  RowState row;

  DecisionInput input(const Registry& registry) const;
};
// Reads both; the log is overlaid, so nothing needs to be folded. Errors: unknown_conflict; refused
// if the table is not tracked any more.
Status load_scene(sqlite3* db, const Registry& registry, AccessPool* pool, std::string_view id,
                  DecisionScene* out);

// Decides one conflict; *json is what sync_resolve returns. REQUIRES: operation->fold() has run,
// and operation->end_apply(). Errors: see plan_decision; refused with what a constraint or a
// trigger said. On error the caller rolls back.
Status decide(Operation* operation, std::string_view id, Choice choice, const Value& given,
              std::string_view note, std::string* json);

// Takes the decision back. REQUIRES, errors: as above.
Status undo(Operation* operation, std::string_view id, std::string* json);

// --- shared with held_decision.cpp

// Writes base rows and log entries for one decision.
class DecisionWriter {
 public:
  explicit DecisionWriter(Operation* operation)
      : operation_(*operation), pool_(operation->db(), operation->registry()) {}

  AccessPool& pool() { return pool_; }
  sqlite3* db() const { return operation_.db(); }
  // Brings the row to what the plan says. *outcome tells a refusal.
  Status write(TableAccess* access, const LocalRow& local, const Decision& plan,
               StoreOutcome* outcome);
  // Appends the entry that makes it a new version, with `origin`, and goes on as who wrote before.
  Status log(TableAccess* access, RowKey key, int64_t mask, std::span<const Value> image,
             const Origin& origin);
  // The actor and context of whoever writes now.
  Origin writer() const;

 private:
  Operation& operation_;
  AccessPool pool_;
};

// The error of a write that a constraint or a trigger refused.
Status refused_write(const TableInfo& table, const StoreOutcome& outcome, const char* hint);

// Stores the held row of `plan` in the place of its rivals, or gives it up; *places says which rows
// had to move.
Status write_held(DecisionWriter* writer, const Registry& registry, TableAccess* access,
                  const DecisionScene& scene, Choice choice, const Decision& plan,
                  std::string* places);
// Takes that back: the row is held again, what it took the place of returns.
Status undo_held(Operation* operation, DecisionWriter* writer, DecisionScene* scene);

}  // namespace syncline
