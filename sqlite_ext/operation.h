// One call on one database: a transaction, the registry in step with the schema, and a port.
//
//   Operation operation;
//   SYNCLINE_TRY(operation.begin_write(db, "sync_apply"));
//   SYNCLINE_TRY(operation.fold());
//   ... operation.port() ...
//   return operation.commit();
//
// Whatever is not committed is rolled back, and switches are restored.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "sqlite_ext/registry.h"
#include "sqlite_ext/schema_check.h"
#include "sqlite_ext/sqlite_port.h"
#include "sqlite_ext/transaction.h"

namespace syncline {

class Operation {
 public:
  ~Operation();
  // Creates the companions if there are none. Errors: refused, busy (see WriteTransaction).
  Status begin_write(sqlite3* db, const char* what);
  // The same with triggers and foreign keys off from before its first statement. What rolls it back
  // is prepared then: where memory runs out, nothing can be prepared any more until the statement
  // that called us has ended. Switching in its middle spoils what was prepared.
  Status begin_write_to_apply(sqlite3* db, const char* what);
  // One snapshot, nothing written. Errors: refused on a database without companions.
  Status begin_read(sqlite3* db, const char* what);
  // The same inside a snapshot that the caller holds open.
  Status begin_in_snapshot(sqlite3* db, const char* what);
  // Exports of this operation use and keep `changes`, which must outlive it.
  void share_changes(ChangeList* changes) { changes_kept_ = changes; }

  // Folds the log, and stores what a change of the schema has made room for. If the file shows that
  // this database is a copy or was put back, it takes a new id.
  Status fold();
  // The same, but of a long log the beginning only; *more: call again in a transaction of its own.
  // Folding a million entries at once keeps every other writer out for seconds.
  Status fold_part(bool* more);
  // Switches triggers and foreign keys off until the end. REQUIRES: begin_write.
  Status begin_apply(const char* what);
  // Switches them on again.
  void end_apply();
  // Looks at the schema again, whether or not it moved: something that it is matched with has.
  Status check_schema_again();
  Status commit();

  sqlite3* db() const { return db_; }
  Registry& registry() { return registry_; }
  SqlitePort& port();

 private:
  Status fold_log();
  // Whether nothing speaks against folding a part of the log; see fold_up_to.
  Status may_fold_part(bool* may);

  sqlite3* db_ = nullptr;
  WriteTransaction write_;
  ReadTransaction read_;
  Registry registry_;
  SchemaChanges changes_;
  ChangeList* changes_kept_ = nullptr;
  bool foreign_keys_ = false;
  std::optional<ApplySwitches> switches_;
  std::unique_ptr<SqlitePort> port_;
};

// Folds the whole log, each part of it in a transaction of its own, between which others can write.
// REQUIRES: no transaction is open. `what`: the function that is called, for messages.
Status fold_in_parts(sqlite3* db, const char* what);

// What the database holds, as JSON, in a snapshot of its own. Errors: as begin_read.
Status read_version_vector(sqlite3* db, const char* what, std::string* json);

// The error for a database that has no companions.
Status nothing_tracked(const char* what);

}  // namespace syncline
