// sync_policies, sync_suggest_policies, sync_preview, sync_conflict_stats, sync_events and
// sync_explain.
#pragma once

#include "sqlite_ext/table_function.h"

namespace syncline {

// Returns SQLite's code.
int register_conflict_views(sqlite3* db);

}  // namespace syncline
