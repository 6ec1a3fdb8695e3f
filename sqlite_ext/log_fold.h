// Driving fold_row: bringing the change log into row state, in key order, in bulk.
#pragma once

#include <vector>

#include "sqlite_ext/access_pool.h"
#include "syncline/fold.h"

namespace syncline {

// What folding needs beside the row: kept from row to row for its memory.
struct FoldWork {
  RowState row;
  std::string packed;
  std::vector<LogEvent> settled;
  std::vector<ColumnNumber> unseen;  // what events of `settled` may point to
};

// Columns below this were known to the trigger that wrote entry `seq`.
ColumnNumber columns_known(const TableExtra& extra, uint64_t seq);

// Folds `events` of one row (suspects included, with mask kMaskSuspect) into the state that `row`
// holds: what fold_all does, without writing. Bytes go to `arena`; *changed is false if the events
// say nothing.
// Exporting uses it to overlay entries that are not folded yet.
Status overlay_row(TableAccess* access, const Registry& registry, std::span<const LogEvent> events,
                   bool exists, Arena* arena, LocalRow* row, FoldWork* work, bool* changed);

// Reads a row as it is now: base row and state, with what is not folded yet overlaid.
// *state has its values resolved; `row` and it view `arena`. Writes nothing.
Status read_current_row(TableAccess* access, const Registry& registry, RowKey key, Arena* arena,
                        LocalRow* row, RowState* state);

// Brings the records of a row's conflicts in step with `after`, what its state has become: opens
// those that it shows, closes those that it showed as `before` and does not any more.
Status settle_conflicts(sqlite3* db, TableAccess* access, const Registry& registry,
                        const LocalRow& before, const RowState& after, Arena* arena);

// Folds every entry not folded yet. REQUIRES: a write transaction. Cost: a sort of the new entries,
// then one pass in key order.
Status fold_all(sqlite3* db, Registry* registry);

// The same up to log position `last`. Rows are read as they are now, by later entries, too, so the
// state that this leaves is right only with those overlaid, as everyone does. REQUIRES: besides, no
// row is held, and no table has policies that want notes, or parked columns: what they need of a
// row is what it was between its entries.
Status fold_up_to(sqlite3* db, Registry* registry, uint64_t last);

}  // namespace syncline
