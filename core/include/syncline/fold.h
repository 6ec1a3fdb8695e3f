// Folding: bringing what the change log says about one row into its state.
//
// The log says which row, which columns and when, never values. Whether the row exists, and what
// it holds, is read from the base table: a user's trigger that undoes a change can make the log
// tell things in the wrong order.
#pragma once

#include <span>
#include <string_view>

#include "syncline/row_state.h"

namespace syncline {

// Column masks of a log entry. Bits 0..61 are column numbers; kMaskMany means "some column from 62
// on"; a structural entry (insert, delete) has kMaskAll.
inline constexpr int64_t kMaskAll = -1;
// An update of every cell of the row, parked ones included: a decision about the row.
inline constexpr int64_t kMaskEvery = -3;
// An entry for a version that is in row state already (Port::new_dot): it folds to nothing.
inline constexpr int64_t kMaskNoted = -5;
inline constexpr int64_t kMaskMany = int64_t{1} << 62;
inline constexpr ColumnNumber kMaskColumns = 62;

struct LogEvent {
  uint64_t seq = 0;  // the dot of the change
  Hlc hlc = 0;
  int64_t mask = 0;
  // Columns numbered from here on were unknown to the trigger that wrote the entry: they count as
  // changed, since nothing says that they were not.
  ColumnNumber columns_known = 0;
  // Who wrote it, and why (origin.h); empty: nobody said.
  std::string_view origin = {};
  // A decision of someone who saw what is held: it replaces held versions, too.
  bool decides = false;
  // Columns that are there now and were not when this was written: it says nothing of them.
  std::span<const ColumnNumber> unseen = {};
};

struct FoldInput {
  SiteIndex self = 0;
  std::span<const LogEvent> events;  // of one row, in the order they happened
  bool exists = false;               // in the base table, now
  // By column: the base row, or the last image if it does not exist. May be empty if it exists and
  // no column has a policy that needs notes.
  std::span<const Value> image = {};
  // By column: what the first of these events saw in columns whose policy needs notes; absent where
  // nobody looked. May be empty.
  std::span<const Value> before = {};
};

// Applies the events to `row`, whose values may be Value::same() for what the base row shows.
// After it, live values written here are Value::same() and a tombstone carries the image.
// - an insert or delete, or a row whose existence disagrees with its state, writes every cell;
// - an insert over a held row stands beside the held versions, since its writer could not see them.
// - with row_grain an update writes every cell.
// hlc: raised above every version replaced, so that a later write never sorts before an earlier.
// Notes are made for columns whose policy needs them; their bytes live in `arena`.
void fold_row(const FoldInput& input, const TableInfo& table, const SiteTable& sites, Arena* arena,
              RowState* row);

}  // namespace syncline
