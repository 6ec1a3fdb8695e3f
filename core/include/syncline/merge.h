// The join: a row as the sender knows it, into the same row as known here.
//
//   (a and b) + (versions of a not known here) + (versions of b not known there)
//
// per cell, where a is the sender's set and b ours. What a side knows and no longer has, it
// superseded. Almeida, Shoker, Baquero, "Delta State Replicated Data Types", 2018, section 7
// (causal CRDTs, dot stores); the knowledge of a whole replica in place of a context per object is
// WinFS's (Malkhi, Terry, "Concise Version Vectors in WinFS", 2005). docs/merge_rules.md explains.
//
// Pure: no clock, no order of arrival, no engine. Commutative, associative and idempotent as long
// as both sides' knowledge is true.
#pragma once

#include "syncline/row_state.h"
#include "syncline/version_vector.h"

namespace syncline {

// Melted versions (Version::melted) have no dot to compare. One stands for something that its
// side's `melted` vector covers: whoever covers that vector knows it, under whatever name; for
// whoever does not, it is news (docs/merge_rules.md, "Melting").

// What is known of one row: a site's knowledge, raised by the row's context.
struct Known {
  const VersionVector* knowledge = nullptr;
  const VersionVector* context = nullptr;  // may be null
  const VersionVector* melted = nullptr;   // what its melted versions stand for; null: it has none

  uint64_t seq(SiteIndex site) const;
  bool covers(const VersionVector* vector) const;  // null: nothing, which everybody covers
  // What `other` has melted, as far as it knows of it: in the middle of a full exchange its vector
  // is ahead of the rows that have not been reached.
  bool covers_of(const Known& other) const;

  bool has(const Version& v) const {
    return knowledge->knows(v) || (context != nullptr && context->knows(v));
  }
};

// A row as it travels: all its cells (`whole`), or only those with news for the receiver. A cell is
// always complete. Values of versions the receiver knows may be absent.
struct RowChange {
  RowState state;  // with !whole, `rest` is empty and says nothing
  bool whole = true;
};

// Joins `theirs` into `ours`. `here` and `there` are what each side knows of this row. `out` must
// not alias the arguments; its values are views into theirs. Its context and held flag are ours.
// REQUIRES: both count the same columns, and values are resolved (no Value::same()).
// Cost: linear in the number of exceptions and, where `rest` changes, of columns.
void join_rows(const RowState& ours, const Known& here, const RowChange& theirs,
               const Known& there, const SiteTable& sites, RowState* out);

// True if both hold the same versions in every cell.
bool same_versions(const RowState& a, const RowState& b);

// True if some version of the row is not known to `vector`.
bool has_news(const RowState& row, const VersionVector& vector);

}  // namespace syncline
