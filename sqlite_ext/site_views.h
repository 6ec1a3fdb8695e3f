// The views sync_sites and sync_site_matrix, and sync_site_history(id).
#pragma once

#include <sqlite3ext.h>

namespace syncline {

// Returns SQLite's code.
int register_site_views(sqlite3* db);

}  // namespace syncline
