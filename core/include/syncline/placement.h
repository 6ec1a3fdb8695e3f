// Which rows have a place in the base tables, where unique keys and foreign keys tie rows to each
// other. A pure function of the rows: it sees neither what is stored now nor the order of arrival.
//
// A row is in if the rows it needs are in and no rival that goes before it is: what follows from
// that alone is certain (the well-founded semantics of Van Gelder, Ross and Schlipf 1991, by the
// alternating fixpoint). It says nothing about a circle, such as
//
//   a goes before b, c needs b, c goes before d, a needs d:  {a, d} or {b, c}
//
// There the row with the least name comes in, with all that it needs, and the rivals of these stay
// out; what follows from that is certain again, and so on. docs/merge_rules.md, "What concurrent
// edits give".
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace syncline {

// A row that may have a place. Rows refer to each other by position.
struct PlacementRow {
  std::string name;     // no two have one; the same on every site
  bool barred = false;  // it needs a row that is in for none
  bool dead = false;    // deleted: in only while a living row that is in keeps it, or a kept one
  std::vector<size_t> needs;      // rows without which it is out
  std::vector<size_t> keeps;      // those of `needs` that, if dead, stay for the sake of this one
  std::vector<size_t> beaten_by;  // rivals that go before it; of two rivals one goes before
};

// For each row whether it is in. No two rivals are, and each row that is in has all it needs.
std::vector<bool> place_rows(std::span<const PlacementRow> rows);

// What is certain: the rows that are in whatever is made of circles, and those that may be.
struct Certainty {
  std::vector<bool> sure, possible;
};
Certainty find_certain(std::span<const PlacementRow> rows);

}  // namespace syncline
