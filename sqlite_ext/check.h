// sync_check: this database's own integrity.
#pragma once

#include "sqlite_ext/statement.h"

namespace syncline {

// Registers the table-valued function. Returns SQLite's code.
int register_check(sqlite3* db);

}  // namespace syncline
