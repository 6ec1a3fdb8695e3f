// The tables sync_conflict and sync_event: what sync_conflicts and sync_events show.
//
// A conflict keeps its id, and its `local` and `remote` sides, however often it is recorded. Each
// opening, closing and opening again is an event.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "sqlite_ext/registry.h"
#include "syncline/conflict_text.h"
#include "syncline/port.h"

namespace syncline {

// A conflict on record.
struct StoredConflict {
  ConflictText text;
  uint32_t table = 0;
  std::string key;      // encode_key; empty: a row without identity
  std::string reopens;  // origin text of a decision taken back: core decision.h, reopened_of
  std::string places;   // rows that a decision about a held row moved: see held_decision.h
  int64_t age_s = 0;    // since it was detected
};
// Errors: invalid_argument if there is none of this id.
Status load_conflict(sqlite3* db, std::string_view id, StoredConflict* out);
// Ids of open conflicts, those of parents first, then by age.
Status open_conflicts(sqlite3* db, std::vector<std::string>* ids);
Status save_note(sqlite3* db, std::string_view id, std::string_view note);
// Forgets closed conflicts that were resolved before `before` (a time as SQLite reads it), and
// their events. Errors: invalid_argument if that is no time.
Status purge_conflicts(sqlite3* db, std::string_view before, int64_t* count);

// Opens and closes conflicts. Opening one that is open brings it up to date.
Status record_conflicts(sqlite3* db, const SiteTable& sites,
                        std::span<const ConflictRecord> records);
// Rows that a constraint keeps out of the base tables, oldest first.
Status list_held(sqlite3* db, std::vector<RowRef>* out);

// After a local write that made `after`: closes the row's open conflicts that are not among
// `still_open`.
Status close_superseded(sqlite3* db, const TableInfo& table, const std::string& key,
                        const std::vector<std::string>& still_open, const RowState& after,
                        const SiteTable& sites);
// Forgets the open conflicts of a row's versions, as if they had never been seen.
Status forget_open_conflicts(sqlite3* db, uint32_t table, const std::string& key);
// Lists a row with NULL in its key, which has no identity and stays in this database; or, if none
// `exists` any more, closes the entry.
Status record_null_key(sqlite3* db, const TableInfo& table, RowKey key, bool exists);

}  // namespace syncline
