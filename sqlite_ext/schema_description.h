// Describing the tracked tables of this database to one that wants to have them: sync_schema().
#pragma once

#include <string>

#include "sqlite_ext/functions.h"
#include "sqlite_ext/registry.h"

namespace syncline {

// The description, in the form of core/src/clone.cpp. REQUIRES: a transaction, a checked registry.
Status describe_tables(sqlite3* db, const Registry& registry, std::string* json);

// sync_schema()
Status call_sync_schema(Call* call);

}  // namespace syncline
