// The schema a simulation runs on: what every site is made from.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "sqlite_ext/invariant.h"
#include "sqlite_ext/statement.h"

namespace syncline::simulate {

// A change of the schema that sites make one after another.
struct Alteration {
  std::string table, sql;
  std::string adds, drops;  // columns
  bool everywhere = false;  // a rename: all sites at once, after everyone has everything
};

struct Blueprint {
  struct Table {
    std::string name, options;  // of sync_enable
  };
  std::vector<std::string> schema;    // of tracked tables: must succeed
  std::vector<std::string> others;    // other tables, indexes, views, triggers: may fail
  std::vector<Table> tables;
  std::vector<std::string> policies;  // SELECT sync_set_policy(...)
  std::vector<Invariant> invariants;
  std::vector<Alteration> alterations;

  // Whether the column is not there from the beginning. Conflicts of whole rows have no column: ""
  // is none that an alteration which only drops one would add.
  bool adds(const std::string& table, const std::string& column) const {
    const auto adds_it = [&](const Alteration& a) { return a.table == table && a.adds == column; };
    return !column.empty() && std::any_of(alterations.begin(), alterations.end(), adds_it);
  }
};

struct BlueprintOptions {
  bool invariants = true, triggers = true;
};

// That of a database: its tracked tables, with options, policies and invariants in force. Reads the
// schema and bookkeeping, no row of the application's. Errors: refused if nothing is tracked.
Status read_blueprint(sqlite3* db, const BlueprintOptions& options, Blueprint* out);

// What has to be called, once the tables are there.
std::vector<std::string> tracking_calls(const Blueprint& blueprint);

// Makes one site from it and throws it away. What of `others` cannot be made there is left out,
// with a warning. Errors: refused, if a table or a policy cannot be made.
Status try_blueprint(Blueprint* blueprint, std::vector<std::string>* warnings);

}  // namespace syncline::simulate
