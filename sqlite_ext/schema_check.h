// Keeping the registry and the triggers in step with the user's schema.
//
// Every call compares PRAGMA schema_version with the one of the last check. If it moved:
// - new columns get new numbers, columns that went are marked dropped, renamed ones keep theirs;
// - a renamed table is followed by its triggers; a dropped one is forgotten;
// - triggers are made again where their text or place (newest) is not what it should be;
// - a table that lost its triggers (create, copy, drop, rename) is captured again, counts as
//   written anew, and is marked suspect.
#pragma once

#include <utility>
#include <vector>

#include "sqlite_ext/catalog.h"
#include "sqlite_ext/registry.h"

namespace syncline {

struct SchemaChanges {
  bool any = false;
  // Parked columns that now have a place: table number and column.
  std::vector<std::pair<uint32_t, ColumnNumber>> appeared;
};

// Brings `registry` up to date; with `write`, the companions and triggers too. REQUIRES: a
// transaction, for writing with `write`. Cost: one pragma if nothing changed.
Status check_schema(sqlite3* db, bool write, Registry* registry, SchemaChanges* changes);

// What capture of a table needs to know. Columns of `table` must be in step with `base`.
Status plan_capture(sqlite3* db, const TableInfo& table, const BaseTable& base, CapturePlan* plan);
// Makes triggers again where policies, or an exchange that brings rows without state, want other
// ones; of all tables, or of one. REQUIRES: a write transaction.
Status renew_triggers(sqlite3* db, Registry* registry);
Status renew_triggers(sqlite3* db, const TableInfo& table);
// Drops and creates the triggers of a table.
Status make_triggers(sqlite3* db, const CapturePlan& plan);
Status drop_triggers(sqlite3* db, uint32_t table);
// Gives every table its place: parents before children, then by name.
Status rank_tables(sqlite3* db, Registry* registry);
// Remembers the schema as it is now. REQUIRES: a write transaction.
Status note_schema_version(sqlite3* db, Registry* registry);

}  // namespace syncline
