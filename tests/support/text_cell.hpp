// One text cell on several sites: a tiny exact dot store around text_note and text_value. Sites
// write, join each other's versions by what each knows, and show the merge.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "syncline/cell_merge.h"

namespace syncline::test {

using Dot = std::pair<SiteIndex, uint64_t>;

struct StoredText {
  Version version;
  std::string text;
  bool null = false;
  std::string note;
  std::set<Dot> past;  // the truth: every version its writer knew, itself included

  Dot dot() const { return {version.site, version.seq}; }
  NotedVersion noted() const { return {version, null ? Value::null() : Value::text(text), note}; }
};

struct Shown {
  std::string text;
  bool null = false;
  std::vector<bool> lost;
  bool any_lost() const { return std::find(lost.begin(), lost.end(), true) != lost.end(); }
};

inline std::vector<NotedVersion> noted(const std::vector<StoredText>& versions) {
  std::vector<NotedVersion> out;
  for (const StoredText& v : versions)
    out.push_back(v.noted());
  return out;
}

inline Shown merged(const std::vector<StoredText>& versions, const SiteTable& sites) {
  const std::vector<NotedVersion> all = noted(versions);
  Arena arena;
  MergeResult result;
  text_value({LogicalKind::text, all, &sites, {}}, &arena, &result);
  Shown shown{{}, !result.value.is(ValueKind::text), result.lost};
  if (!shown.null) shown.text = result.value.bytes();
  return shown;
}

class TextSites {
 public:
  explicit TextSites(size_t count) : cells_(count) {
    for (size_t i = 0; i < count; ++i) {
      SiteId id;
      id.bytes[0] = static_cast<uint8_t>((i * 5 + 3) % 7);  // not in the order of indexes
      id.bytes[1] = static_cast<uint8_t>(i);
      sites.intern(id);
    }
  }

  const std::vector<StoredText>& versions(size_t site) const { return cells_[site].versions; }
  Shown show(size_t site) const { return merged(cells_[site].versions, sites); }

  void assign(size_t site, const std::string& text) {
    write(site, WriteKind::assign, Value(), Value::text(text));
  }
  void assign_null(size_t site) { write(site, WriteKind::assign, Value(), Value::null()); }
  // An update by someone who looks at what the cell shows.
  void edit(size_t site, const std::string& text) { edit_seeing(site, show(site), text); }
  void edit_seeing(size_t site, const Shown& before, const std::string& text) {
    const Value seen = before.null ? Value::null() : Value::text(before.text);
    write(site, WriteKind::change, seen, Value::text(text));
  }

  void pull(size_t to, size_t from) {
    Cell& ours = cells_[to];
    const Cell& theirs = cells_[from];
    const auto has = [](const Cell& cell, const StoredText& v) {
      return std::any_of(cell.versions.begin(), cell.versions.end(),
                         [&](const StoredText& other) { return other.dot() == v.dot(); });
    };
    std::vector<StoredText> joined;
    for (const StoredText& v : ours.versions) {
      if (has(theirs, v) || !theirs.known.contains(v.dot())) joined.push_back(v);
    }
    for (const StoredText& v : theirs.versions) {
      if (!has(ours, v) && !ours.known.contains(v.dot())) joined.push_back(v);
    }
    std::sort(joined.begin(), joined.end(), [this](const StoredText& a, const StoredText& b) {
      return compare_versions(a.version, b.version, sites) < 0;
    });
    ours.versions = std::move(joined);
    ours.known.insert(theirs.known.begin(), theirs.known.end());
  }
  void meet(size_t a, size_t b) {
    pull(a, b);
    pull(b, a);
  }
  void meet_all() {
    for (int round = 0; round < 2; ++round) {
      for (size_t i = 1; i < cells_.size(); ++i)
        meet(0, i);
    }
  }

  SiteTable sites;

 private:
  struct Cell {
    std::vector<StoredText> versions;
    std::set<Dot> known;
    uint64_t seq = 0;
  };

  void write(size_t site, WriteKind kind, const Value& before, const Value& after) {
    Cell& cell = cells_[site];
    StoredText made;
    made.version.site = static_cast<SiteIndex>(site);
    made.version.seq = ++cell.seq;
    made.version.hlc = hlc_from_ms(1000) + ++clock_;
    made.null = !after.is(ValueKind::text);
    if (!made.null) made.text = after.bytes();
    const std::vector<NotedVersion> replaced = noted(cell.versions);
    NoteInput input{LogicalKind::text, replaced, kind, before, after, made.version, &sites};
    text_note(input, &made.note);
    cell.known.insert(made.dot());
    made.past = cell.known;
    cell.versions.assign(1, std::move(made));
  }

  std::vector<Cell> cells_;
  uint64_t clock_ = 0;
};

}  // namespace syncline::test
