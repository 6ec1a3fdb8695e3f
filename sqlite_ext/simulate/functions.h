// sync_simulate(options): a table-valued function.
#pragma once

#include "sqlite_ext/table_function.h"

namespace syncline {

int register_simulate(sqlite3* db);

}  // namespace syncline
