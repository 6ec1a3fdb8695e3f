// A new identity for a database that was copied, restored or rolled back.
//
// Its dots would be used twice otherwise, and later writes vanish in silence. The log stays; its
// entries up to the last one known to be shared keep their dots, those after it are dots of the new
// site. What was lost with the restore comes back from the peers, under the old id.
#pragma once

#include "sqlite_ext/operation.h"

namespace syncline {

// Of the registry only who this database is and was: all that was_copied looks at.
Status load_lives(sqlite3* db, Registry* out);
// Whether the file shows that this database is a copy, or was put back in an older state
// (file_witness.h). What stood in row state before, our id still made.
Status was_copied(sqlite3* db, const Registry& registry, bool* yes);
// From now on the database belongs to this file. REQUIRES: a write transaction.
Status remember_file(sqlite3* db, const Registry& registry);
// Where the clock's floor is ahead of the clock, two copies of a database stamp alike, and no
// vector tells them apart: ends what is to be folded with an entry of random clock. REQUIRES: a
// write transaction.
Status mark_head(sqlite3* db, const Registry& registry);

// Remembers beside the file that our changes up to now leave it. REQUIRES: they are durable.
Status note_what_leaves(sqlite3* db, const Registry& registry);

// Whether our own history has this hlc at this seq.
Status has_made(sqlite3* db, const Registry& registry, const VectorEntry& own, bool* yes);

// Whether something written here, or the clock's floor, is further ahead of the clock than peers
// accept: it was set to the future once.
Status clock_was_ahead(sqlite3* db, bool* yes);

// Takes a new id. Own dots up to `certain`, or known to be shared, keep the old one. With
// `set_clock`, if the clock was ahead, what is beyond them is stamped anew, and the clock's floor
// falls back to the latest version that came from others. REQUIRES: a write transaction; the log is
// folded; for `set_clock`, somebody says that the clock is right. ENSURES: registry->self() is a
// site nobody has seen.
Status give_up_identity(sqlite3* db, Registry* registry, uint64_t certain, bool set_clock);

// Folds, takes a new id and sets the clock right, in a transaction of its own.
Status take_new_identity(sqlite3* db);

// Remembers that own dots up to `seq` have reached another site. REQUIRES: a write transaction.
Status note_shared(sqlite3* db, Registry* registry, uint64_t seq);

}  // namespace syncline
