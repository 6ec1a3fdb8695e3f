// The join and the shown row, naively: every cell is a full set of versions with values, and every
// rule is written down once, straight from its definition. For reading, and to check the core by.
//
// Left out on purpose: `rest` as one set for many cells (here each column has its own, and the
// existence of the row is one more), packed storage, rows that travel in part, held rows, columns
// that one side does not know.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "support/owned_value.hpp"
#include "syncline/merge.h"

namespace syncline::test {

using Dot = std::pair<SiteIndex, uint64_t>;
inline Dot dot_of(const Version& v) {
  return {v.site, v.seq};
}

struct ReferenceVersion {
  Version version;
  OwnedValue value;
};
using ReferenceCell = std::map<Dot, ReferenceVersion>;
// One cell a column, then the existence of the row.
using ReferenceRow = std::vector<ReferenceCell>;

inline ReferenceRow reference_of(const RowState& row) {
  ReferenceRow out(row.column_count + 1);
  for (ColumnNumber c = 0; c <= row.column_count; ++c) {
    const auto exceptions =
        c < row.column_count ? row.exceptions(c) : std::span<const CellVersion>();
    for (const CellVersion& e : exceptions)
      out[c][dot_of(e.version)] = {e.version, e.value};
    if (!exceptions.empty()) continue;
    for (size_t i = 0; i < row.rest.size(); ++i) {
      const bool column = c < row.column_count;
      const Value value = column ? row.rest_values[i * row.column_count + c] : Value();
      out[c][dot_of(row.rest[i])] = {row.rest[i], value};
    }
  }
  return out;
}

// (a and b) + (versions of a not known there) + (versions of b not known here), where "there" is
// what the holder of b knows.
inline ReferenceCell reference_join(const ReferenceCell& a, const Known& knows_a,
                                    const ReferenceCell& b, const Known& knows_b) {
  ReferenceCell out;
  for (const auto& [dot, v] : a) {
    if (b.count(dot) > 0 || !knows_b.has(v.version)) out[dot] = v;
  }
  for (const auto& [dot, v] : b) {
    if (a.count(dot) > 0 || !knows_a.has(v.version)) out.try_emplace(dot, v);
  }
  return out;
}

inline ReferenceRow reference_join(const ReferenceRow& a, const Known& knows_a,
                                   const ReferenceRow& b, const Known& knows_b) {
  ReferenceRow out;
  for (size_t c = 0; c < a.size(); ++c) {
    out.push_back(reference_join(a[c], knows_a, b[c], knows_b));
  }
  return out;
}

inline bool same_versions(const ReferenceRow& a, const ReferenceRow& b) {
  const auto same_cell = [](const ReferenceCell& x, const ReferenceCell& y) {
    return std::equal(x.begin(), x.end(), y.begin(), y.end(),
                      [](const auto& v, const auto& w) { return v.first == w.first; });
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same_cell);
}

inline const ReferenceVersion* greatest(const ReferenceCell& cell, bool dead,
                                        const SiteTable& sites) {
  const ReferenceVersion* best = nullptr;
  for (const auto& [dot, v] : cell) {
    if (v.version.dead != dead) continue;
    if (best == nullptr || compare_versions(best->version, v.version, sites) < 0) best = &v;
  }
  return best;
}

struct ReferenceShown {
  bool alive = false;
  OwnedRow values;  // by column
};

inline ReferenceShown reference_show(const ReferenceRow& row, const SiteTable& sites,
                                     OnDelete on_delete) {
  ReferenceShown shown;
  ReferenceCell all;
  for (const ReferenceCell& cell : row)
    all.insert(cell.begin(), cell.end());
  const ReferenceVersion* live = greatest(all, false, sites);
  const ReferenceVersion* dead = greatest(all, true, sites);
  shown.alive = live != nullptr;
  if (dead != nullptr && on_delete == OnDelete::delete_wins) shown.alive = false;
  if (dead != nullptr && live != nullptr && on_delete == OnDelete::last_writer) {
    shown.alive = compare_versions(live->version, dead->version, sites) > 0;
  }
  for (size_t c = 0; c + 1 < row.size(); ++c) {
    const ReferenceVersion* v = greatest(row[c], false, sites);
    if (v == nullptr) v = greatest(row[c], true, sites);
    shown.values.push_back(v == nullptr ? OwnedValue() : v->value);
  }
  return shown;
}

// For failure messages: "c0{1:4 = 7, 2:3x = null}".
inline std::string describe(const ReferenceRow& row) {
  std::string out;
  for (size_t c = 0; c < row.size(); ++c) {
    out += (c + 1 == row.size() ? std::string(" e{") : " c" + std::to_string(c) + "{");
    for (const auto& [dot, v] : row[c]) {
      if (out.back() != '{') out += ", ";
      out += std::to_string(dot.first) + ":" + std::to_string(dot.second);
      out += (v.version.dead ? "x" : "");
      out += "@" + std::to_string(v.version.hlc) + " = " + describe(v.value.view());
    }
    out += "}";
  }
  return out;
}

}  // namespace syncline::test
