// The alternating fixpoint, and what is done about circles. Graphs are small: nothing is clever.
#include "syncline/placement.h"

#include <algorithm>

namespace syncline {
namespace {

using Rows = std::span<const PlacementRow>;
using Set = std::vector<bool>;

bool all_in(const std::vector<size_t>& rows, const Set& set) {
  return std::all_of(rows.begin(), rows.end(), [&](size_t row) { return set[row]; });
}

bool any_in(const std::vector<size_t>& rows, const Set& set) {
  return std::any_of(rows.begin(), rows.end(), [&](size_t row) { return set[row]; });
}

// The living rows of `set`, and the dead ones that are kept for their sake, one for another.
Set supported(Rows rows, const Set& set) {
  Set out(rows.size());
  std::vector<size_t> todo;
  const auto add = [&](size_t row) {
    if (!set[row] || out[row]) return;
    out[row] = true;
    todo.push_back(row);
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].dead) add(i);
  }
  while (!todo.empty()) {
    const size_t row = todo.back();
    todo.pop_back();
    for (const size_t kept : rows[row].keeps)
      add(kept);
  }
  return out;
}

// The greatest set of which each row has all it needs in the set, each dead one is kept by it, and
// none has a rival among `against` that goes before it. The greater `against`, the smaller it is.
Set fitting(Rows rows, const Set& struck, const Set& against) {
  Set set(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    set[i] = !struck[i] && !rows[i].barred && !any_in(rows[i].beaten_by, against);
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (!set[i] || all_in(rows[i].needs, set)) continue;
      set[i] = false;
      changed = true;
    }
    Set kept = supported(rows, set);
    changed = changed || kept != set;
    set.swap(kept);
  }
  return set;
}

Certainty certain(Rows rows, const Set& struck) {
  Certainty out;
  for (out.sure.resize(rows.size());;) {
    out.possible = fitting(rows, struck, out.sure);
    Set next = fitting(rows, struck, out.possible);
    if (next == out.sure) return out;
    out.sure.swap(next);
  }
}

// The row with all that it needs and is not sure of.
Set with_needs(Rows rows, const Set& sure, size_t row) {
  Set out(rows.size());
  std::vector<size_t> todo{row};
  out[row] = true;
  while (!todo.empty()) {
    const size_t at = todo.back();
    todo.pop_back();
    for (const size_t need : rows[at].needs) {
      if (sure[need] || out[need]) continue;
      out[need] = true;
      todo.push_back(need);
    }
  }
  return out;
}

// Strikes what keeps the least of the open rows out; itself, if what it needs cannot be in at once.
void decide(Rows rows, const Certainty& known, Set* struck) {
  std::vector<size_t> open;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (known.possible[i] && !known.sure[i]) open.push_back(i);
  }
  std::sort(open.begin(), open.end(),
            [&](size_t a, size_t b) { return rows[a].name < rows[b].name; });
  for (const size_t row : open) {
    const Set group = with_needs(rows, known.sure, row);
    Set all = known.sure;
    for (size_t i = 0; i < rows.size(); ++i)
      all[i] = all[i] || group[i];
    // One that is dead, or needs one whom only a row outside would keep, comes in with that row.
    if (supported(rows, all) != all) continue;
    Set rivals(rows.size());
    bool at_odds = false;
    for (size_t i = 0; i < rows.size(); ++i) {
      if (!group[i]) continue;
      for (const size_t rival : rows[i].beaten_by) {
        at_odds = at_odds || group[rival];
        rivals[rival] = true;
      }
    }
    if (at_odds) {
      (*struck)[row] = true;
    } else {
      for (size_t i = 0; i < rows.size(); ++i)
        (*struck)[i] = (*struck)[i] || rivals[i];
    }
    return;
  }
  (*struck)[open.front()] = true;
}

}  // namespace

Certainty find_certain(std::span<const PlacementRow> rows) {
  return certain(rows, Set(rows.size()));
}

std::vector<bool> place_rows(std::span<const PlacementRow> rows) {
  for (Set struck(rows.size());;) {
    Certainty known = certain(rows, struck);
    if (known.sure == known.possible) return std::move(known.sure);
    decide(rows, known, &struck);
  }
}

}  // namespace syncline
