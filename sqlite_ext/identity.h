// A new identity for a database that was copied, restored or rolled back.
//
// Its dots would be used twice otherwise, and later writes vanish in silence. The log stays; its
// entries up to the last one known to be shared keep their dots, those after it are dots of the new
// site. What was lost with the restore comes back from the peers, under the old id.
#pragma once

#include "sqlite_ext/operation.h"

namespace syncline {

// REQUIRES: begin_write. ENSURES: registry().self() is a site nobody has seen.
Status take_new_identity(Operation* operation);

// The same as a call of its own.
Status take_new_identity(sqlite3* db);

// Remembers that own dots up to `seq` have reached another site. REQUIRES: a write transaction.
Status note_shared(sqlite3* db, Registry* registry, uint64_t seq);

}  // namespace syncline
