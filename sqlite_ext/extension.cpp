// The entry point of the loadable extension: .load syncline
#include <sqlite3ext.h>

SQLITE_EXTENSION_INIT1

#include "sqlite_ext/change_functions.h"
#include "sqlite_ext/check.h"
#include "sqlite_ext/conflict_views.h"
#include "sqlite_ext/functions.h"
#include "sqlite_ext/views.h"

// The oldest SQLite with everything that is used here (RETURNING, SQLITE_DIRECTONLY).
static constexpr int kVersionMin = 3035000;

extern "C" __attribute__((visibility("default"))) int sqlite3_syncline_init(
    sqlite3* db, char** error, const sqlite3_api_routines* api) {
  SQLITE_EXTENSION_INIT2(api);
  if (sqlite3_libversion_number() < kVersionMin) {
    *error =
        sqlite3_mprintf("syncline needs SQLite 3.35 or newer, this is %s", sqlite3_libversion());
    return SQLITE_ERROR;
  }
  int rc = syncline::register_functions(db);
  if (rc == SQLITE_OK) rc = syncline::register_change_functions(db);
  if (rc == SQLITE_OK) rc = syncline::register_views(db);
  if (rc == SQLITE_OK) rc = syncline::register_check(db);
  if (rc == SQLITE_OK) rc = syncline::register_conflict_views(db);
  // Never unloaded: callbacks and virtual tables may outlive the connection that loaded it.
  return rc == SQLITE_OK ? SQLITE_OK_LOAD_PERMANENTLY : rc;
}
