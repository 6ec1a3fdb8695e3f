// Transactions of one call, and the switches that keep capture and foreign keys out of an apply.
#pragma once

#include "sqlite_ext/statement.h"

namespace syncline {

// Refuses `what` while a statement that writes is running on the connection (our caller is part of
// it): its COMMIT would fail and leave the application inside a transaction.
Status refuse_inside_writing_statement(sqlite3* db, const char* what);
// Refuses `what` while any statement other than the caller runs: switching triggers aborts it.
Status refuse_beside_running_statement(sqlite3* db, const char* what);
// Refuses if the database is read-only. BEGIN IMMEDIATE alone does not notice.
Status refuse_read_only(sqlite3* db, const char* what);

// BEGIN IMMEDIATE in autocommit, a savepoint inside the application's transaction. Rolled back
// unless committed.
class WriteTransaction {
 public:
  WriteTransaction() = default;
  WriteTransaction(const WriteTransaction&) = delete;
  WriteTransaction& operator=(const WriteTransaction&) = delete;
  ~WriteTransaction() { roll_back(); }

  // Errors: refused (see above), busy.
  Status begin(sqlite3* db, const char* what);
  Status commit();
  void roll_back();
  // To be called when settings of the connection have changed, which spoils what `begin` prepared.
  Status renew();

 private:
  sqlite3* db_ = nullptr;
  bool savepoint_ = false;
  // Prepared in advance: without memory for it, a transaction could not be ended, and would swallow
  // what the application writes next.
  Statement undo_, release_;
  int64_t last_rowid_ = 0;  // the application's last_insert_rowid() stays as it was
};

// One snapshot for several statements. Inside the application's transaction there already is one.
class ReadTransaction {
 public:
  ReadTransaction() = default;
  ReadTransaction(const ReadTransaction&) = delete;
  ReadTransaction& operator=(const ReadTransaction&) = delete;
  ~ReadTransaction() { end(); }

  Status begin(sqlite3* db);
  void end();

 private:
  sqlite3* db_ = nullptr;
  Statement commit_;  // in advance, as above
};

// Triggers and foreign key enforcement off while it lives; whatever happens, both are restored.
// REQUIRES: no other statement runs on the connection.
class ApplySwitches {
 public:
  explicit ApplySwitches(sqlite3* db);
  ApplySwitches(const ApplySwitches&) = delete;
  ApplySwitches& operator=(const ApplySwitches&) = delete;
  ~ApplySwitches();

 private:
  sqlite3* db_;
  int triggers_ = 1, foreign_keys_ = 0;
};

// A larger page cache while it lives, for going through a table in key order: each row lies on
// another page, and SQLite's 2 MB make that a read from the file a row, and a page written to the
// WAL a row. For updates of a fifth of 100,000 rows, their receiver's 56,000 reads and writes of
// files are 33,000 with it.
class LargeCache {
 public:
  LargeCache() = default;
  LargeCache(const LargeCache&) = delete;
  LargeCache& operator=(const LargeCache&) = delete;
  ~LargeCache();

  // Does nothing if the cache is as large already.
  Status enlarge(sqlite3* db);

 private:
  sqlite3* db_ = nullptr;
  int64_t before_ = 0;
};

// True if the connection enforces foreign keys.
bool enforces_foreign_keys(sqlite3* db);

// Brings every commit up to now onto the disk, as a commit with synchronous=FULL would: in WAL with
// synchronous=NORMAL a commit is not there yet, and what leaves must not be lost here. Writes
// nothing.
Status make_durable(sqlite3* db);

}  // namespace syncline
