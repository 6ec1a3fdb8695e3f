// Invariants: queries of the application's that must hold, checked on demand and after each
// exchange that ends.
//
// A query holds if it returns no rows or, with `expect` "true", one true value. It is a read-only
// SELECT, and may only call functions that SQLite lets a view call: a database file from somewhere
// else must not make this process write files.
#pragma once

#include <string>
#include <vector>

#include "sqlite_ext/statement.h"
#include "syncline/check.h"

namespace syncline {

struct Invariant {
  std::string name, sql;
  bool expects_true = false;
  bool refuse = false;    // what breaks it is not applied
  std::string broken_at;  // since when it does not hold; empty: it does
};

Status load_invariants(sqlite3* db, std::vector<Invariant>* out);
// Evaluates. *holds is false, and *why says so, for a query that fails, too. Errors: cancelled.
Status evaluate(sqlite3* db, const Invariant& invariant, bool* holds, std::string* why);

// After an exchange has ended, before its commit: notes which invariants hold. Errors: refused, if
// one that is to be enforced does not, and did before. REQUIRES: a write transaction.
Status check_invariants_after_apply(sqlite3* db);
// Adds a finding for each one that does not hold.
Status report_invariants(sqlite3* db, std::vector<Finding>* out);

}  // namespace syncline
