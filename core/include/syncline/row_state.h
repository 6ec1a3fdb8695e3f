// The known versions of one row.
//
// Every column of the row is a cell: the set of its current versions, those that nothing known
// supersedes. Most rows were written at once, so the set is stored once as `rest`, which stands for
// every column not listed as an exception: for the existence of the row, and for columns this
// database does not know. An insert and a delete are one version in `rest` and no exceptions; an
// update of two columns adds two exceptions.
//
//   rest {(A,7)}                                    inserted by A
//   rest {(A,7)}  2: {(B,3)}                        then B changed column 2
//   rest {(A,7)}  2: {(B,3),(C,9)}                  and so did C, without having seen B's change
//   rest {(C,10)x}  2: {(C,10)x,(B,4)}              C deleted it while B changed column 2 again
//
// A version has a value at each cell it stands in. A tombstone's value is what the deleter saw.
//
// In storage (see pack) the value that the base row shows is not stored again: it is Value::same().
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "syncline/table.h"
#include "syncline/types.h"
#include "syncline/value.h"

namespace syncline {

struct CellVersion {
  ColumnNumber column = 0;
  Version version;
  Value value;
};

// What the writer of a version has to say beside its value: at a column, what its policy needs
// (cell_merge.h); at kRowNote, who wrote it and why (origin.h). Almost no row has any.
struct VersionNote {
  ColumnNumber column = 0;
  SiteIndex site = 0;
  uint64_t seq = 0;
  std::string_view bytes;
};
inline constexpr ColumnNumber kRowNote = 0xffff'ffff;

struct RowState {
  // Versions of every column that has no exception, in version order (compare_versions), with
  // their values: rest_values[i * column_count + c] is the value of rest[i] at column c.
  std::vector<Version> rest;
  std::vector<Value> rest_values;
  ColumnNumber column_count = 0;
  // Exceptions, sorted by column, then version order. No exception equals `rest`.
  std::vector<CellVersion> cells;
  // Sorted by column, site, seq; each of a version that stands in its cell (kRowNote: anywhere).
  std::vector<VersionNote> notes;
  // What is known of this row beyond the site's knowledge; 0 none.
  ContextId context = 0;
  // The row should be in the base table but is not: a constraint, or the table is parked.
  bool held = false;
  // The row is deleted, but stands in the base table: rows refer to it that would not let it go.
  bool kept = false;
  // The base row shows NULL or a default in foreign key columns whose parent is gone.
  bool adjusted = false;

  void clear();
  bool empty() const { return rest.empty() && cells.empty(); }
  // Makes one version, a new one, stand for the whole row. `values` has one value a column.
  void write_all(const Version& version, std::span<const Value> values);
  // Makes one version the only one of a column.
  void write_cell(ColumnNumber column, const Version& version, const Value& value);
  // Exceptions of one column, as a range of `cells`; empty if the column is covered by `rest`.
  std::span<const CellVersion> exceptions(ColumnNumber column) const;
  // Does the cell (kRowNote: some cell) hold this dot?
  bool holds(ColumnNumber column, SiteIndex site, uint64_t seq) const;
  // The note of a version at a column; empty if it has none.
  std::string_view note(ColumnNumber column, const Version& version) const;
  // Adds or replaces. REQUIRES: bytes outlive the row. Empty: takes it away.
  void set_note(ColumnNumber column, const Version& version, std::string_view bytes);
  // Drops notes whose version is gone.
  void drop_stale_notes();
  // The current versions of one cell with their notes, in version order. Reuses *out.
  void cell(ColumnNumber column, std::vector<NotedVersion>* out) const;
};

// Row state as a host stores it, one row beside each user row that has any. `site`, `seq` and `hlc`
// are those of the only version of `rest`; `cells` is empty when there is nothing else to say.
struct PackedRow {
  SiteIndex site = 0;
  uint64_t seq = 0;
  Hlc hlc = 0;
  uint32_t flags = 0;  // kPackedDead, kPackedHeld, ...
  ContextId context = 0;
  std::string_view cells;
};
inline constexpr uint32_t kPackedDead = 1;  // the only version of `rest` is a tombstone
inline constexpr uint32_t kPackedHeld = 2;
inline constexpr uint32_t kPackedMany = 4;  // `rest` has not one version: all are in `cells`
inline constexpr uint32_t kPackedKept = 8;
inline constexpr uint32_t kPackedAdjusted = 16;

// What a row looks like, computed from its versions.
struct ShownRow {
  bool alive = false;
  // By column: the value to be seen and the version it comes from. Absent where no version has one.
  std::vector<Value> values;
  std::vector<Version> versions;
  Arena arena;  // bytes of values that policies made
};

// Computes what is shown. A pure function of the versions and the table's policies: under
// update_wins a row lives while any cell holds a version that is no tombstone; a cell with one live
// version shows it, with several what its policy makes of them, with none the image of its greatest
// tombstone. `versions` has the greatest live version of a cell, whatever the policy.
// REQUIRES: with concurrent versions, values are resolved (no Value::same()).
void show_row(const RowState& row, const TableInfo& table, const SiteTable& sites, ShownRow* out);

// Whether some version of the row satisfies `test`.
template <typename Test>
bool any_version(const RowState& row, Test test) {
  for (const Version& v : row.rest) {
    if (test(v)) return true;
  }
  for (const CellVersion& c : row.cells) {
    if (test(c.version)) return true;
  }
  return false;
}

// Whether the row exists, as show_row says it.
bool row_lives(const RowState& row, const SiteTable& sites, OnDelete on_delete);

// Packs a state whose shown row is `shown`. With `stored`, the shown row is in the base table and
// values identical to it are left out for columns that `table` has. The result's `cells` points
// into `buffer`, which is overwritten. Values that are Value::same() stay so.
PackedRow pack_row(const RowState& row, const TableInfo& table, const ShownRow* shown, bool stored,
                   std::string* buffer);

// Unpacks. Values left out become Value::same(). Views point into packed.cells. Errors:
// corrupt_input, unsupported_version.
Status unpack_row(const PackedRow& packed, ColumnNumber column_count, RowState* out);

// The state of a row that has none: its table's baseline version, values as the base row shows.
void make_baseline(const TableInfo& table, RowState* out);

// Replaces Value::same() by what the base row shows; `base` has one value a column (absent where
// the base table lacks it).
void resolve_same(std::span<const Value> base, RowState* row);

// Replaces absent values of columns that are here by what the column shows where nobody wrote it,
// ColumnInfo::missing: an insert that says nothing of a column gives it its default, whether the
// column was there or came later. So a version reads alike wherever the column is.
void fill_missing(const TableInfo& table, RowState* row);
bool lacks_values(const TableInfo& table, const RowState& row);  // would that change anything?

// Both: what the values of an unpacked row mean. `base`: the base row; none if it is not stored.
void resolve_values(const TableInfo& table, std::span<const Value> base, RowState* row);

// The versions of `from` beyond seq `after` go to the site `to`, under the same seqs. Clocks beyond
// `latest` become `latest`: what a clock that was wrong has stamped.
struct Relabel {
  SiteIndex from = 0;
  uint64_t after = 0;
  SiteIndex to = 0;
  Hlc latest = ~Hlc{0};
};

// An id to give them to: `random`, moved to where `old` stands among the known ids. So the version
// order, in which ids decide between equal clocks, and what rows show stay as they are.
SiteId site_id_beside(const SiteId& old, const SiteTable& known, const SiteId& random);

// Returns whether there were any.
bool relabel_versions(const Relabel& relabel, const SiteTable& sites, RowState* row);

}  // namespace syncline
