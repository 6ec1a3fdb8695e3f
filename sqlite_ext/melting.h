// What was dropped of metadata, and what others are known to have: the tables sync_melt, sync_ack.
//
//   sync_melt  one row: `melted` is what rows without state stand for, `under` what the pass goes
//              up to that is going on, or did last; t and key are where it stands
//
// The verbs of the port that melt are in melting.cpp, too.
#pragma once

#include <span>

#include "sqlite_ext/registry.h"
#include "syncline/port.h"

namespace syncline {

Status load_melted(sqlite3* db, SiteTable* sites, VersionVector* out);
Status save_melted(sqlite3* db, const SiteTable& sites, const VersionVector& melted);
// Stores each in place of what its site had.
Status save_acknowledgements(sqlite3* db, const SiteTable& sites,
                             std::span<const Acknowledgement> acknowledgements);
// Whether the log has no entry for this own dot since all others had it.
Status is_pruned(sqlite3* db, const Registry& registry, uint64_t seq, bool* yes);

}  // namespace syncline
