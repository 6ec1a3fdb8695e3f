// sync_maintain in a transaction of its own, for the function and for the end of a sync_now.
#pragma once

#include "sqlite_ext/statement.h"
#include "syncline/maintain.h"

namespace syncline {

// Drops a bounded part of what is over, as the options say. REQUIRES: something is tracked.
// Errors: refused, busy (see WriteTransaction).
Status maintain_database(sqlite3* db, const MaintainOptions& options, MaintainReport* report);

}  // namespace syncline
