// sync_changes_since, sync_inspect and sync_changes.
#pragma once

#include "sqlite_ext/table_function.h"

namespace syncline {

// Returns SQLite's code.
int register_change_functions(sqlite3* db);

}  // namespace syncline
