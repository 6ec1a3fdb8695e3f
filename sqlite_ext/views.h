// sync_tables, sync_conflicts and sync_peers.
#pragma once

#include "sqlite_ext/table_function.h"

namespace syncline {

// Returns SQLite's code.
int register_views(sqlite3* db);

}  // namespace syncline
