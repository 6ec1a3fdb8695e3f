// Starting and stopping to track a table.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sqlite_ext/registry.h"

namespace syncline {

class Operation;

struct EnableOptions {
  std::string on_delete;  // becomes a setting, which replicates; empty: as it is
  std::vector<std::string> local;  // columns; also for a tracked table
  std::optional<bool> fire;  // whether triggers run on rows that arrive; also for a tracked table
};

// Parses sync_enable's options: {"on_delete": "update_wins"|"delete_wins"|"last_writer",
// "triggers": "off"|"fire", "local": [column, ...]}. Errors:
// invalid_argument, naming an unknown key or value and the nearest known one.
Status enable_options_from_json(std::string_view json, EnableOptions* out);

struct EnableReport {
  std::string table;
  std::string skipped;  // not empty: one of our own or SQLite's tables, nothing was done
  bool already = false;
  bool adopted = false;  // a peer's rows were waiting for this table
  std::vector<std::string> key, columns;
  std::vector<std::string> warnings;  // what capture cannot see here
};
std::string report_to_json(const EnableReport& report);

// Tracks a table. Existing rows get one common baseline version: no row is read or written. A
// table known from peers only is adopted. REQUIRES: a write transaction, a checked registry.
// Errors: refused (view, virtual or temporary table, no primary key); invalid_argument (no such
// table, with the nearest name).
Status enable_table(sqlite3* db, std::string_view name, const EnableOptions& options,
                    Registry* registry, EnableReport* report);

// Makes a column local, or lets it travel again. REQUIRES: a write transaction, a folded log.
// Errors: invalid_argument (unknown table or column); refused (key, NOT NULL without default).
Status set_local(Operation* operation, const std::string& table, const std::string& column,
                 bool local);

// Drops triggers and companions; the user's rows stay as they are. REQUIRES: as above, and that no
// statement reads on this connection. Errors: invalid_argument if the table is not tracked.
Status disable_table(sqlite3* db, std::string_view name, Registry* registry, std::string* table);

// The error for a table that is not tracked: names it and the nearest one that is.
Status unknown_table(const Registry& registry, std::string_view name);

// Runs DDL that capture's triggers stand in the way of (ALTER TABLE ... DROP COLUMN), on one
// tracked table: capture is dropped, the DDL runs, capture is restored. REQUIRES: as above.
Status alter_table(sqlite3* db, std::string_view name, const std::string& ddl, Registry* registry);

}  // namespace syncline
