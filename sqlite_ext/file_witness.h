// What the file system says about a database file: whether it was copied, or put back.
//
// Two hints. When the file was made (statx): a copy is made later than its original. And an
// extended attribute of the file that names the last change which left it: an old state written
// into the same file does not take it away. Both go by the file's name: to open it a second time,
// and close it, would drop this process's locks on it.
//
// Where the file system knows neither, or the database is no file, nothing is known, and nothing
// fails. The guarantee is another: every vector carries a witness of our own changes
// (docs/merge_rules.md, "Identity"). Hints only find a copy before anything leaves it.
#pragma once

#include <string>

#include <sqlite3ext.h>

#include "syncline/types.h"
#include "syncline/version_vector.h"

namespace syncline {

// When the file was made, in nanoseconds since the Unix epoch. 0: unknown.
int64_t file_birth(sqlite3* db);

// The last change that left the file, and the site that made it; false: no site is known. With seq
// 0 nothing of that site has left yet.
bool read_departure(sqlite3* db, std::string* site_hex, VectorEntry* last);
// Notes it, unless a later one of that site is noted. What a transaction writes here stays when it
// is rolled back: then a site is noted that the database does not know, and it takes a new id.
void note_departure(sqlite3* db, const SiteId& site, const VectorEntry& last);

}  // namespace syncline
