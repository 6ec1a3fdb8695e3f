// Several sites that share one cell of a column whose merge needs notes. Sites write what they
// like over what they see, and join each other's cells as the core does: sets of versions, with
// what each side knows. Who replaced what is kept, so that a test can tell what the truth is.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/generators.hpp"
#include "support/owned_value.hpp"
#include "support/prng.hpp"
#include "syncline/cell_merge.h"

namespace syncline::test {

struct NotedPolicy {
  LogicalKind kind = LogicalKind::any;
  std::string array_key;
  std::function<void(const NoteInput&, std::string*)> note;
  std::function<void(const MergeInput&, Arena*, MergeResult*)> value;
};

// One write of the history. `past`: the writes it knew of, itself included.
struct CellWrite {
  WriteKind kind = WriteKind::assign;
  Version version;
  OwnedValue before, after;  // of an erase, after is the image
  std::string note;
  std::vector<size_t> replaced;  // in version order
  std::set<size_t> past;
};

struct ShownCell {
  bool alive = false;
  OwnedValue value;  // of a dead cell: the image of the greatest tombstone, if there is any
  std::vector<bool> lost;
  std::vector<size_t> live;  // writes, in version order
};

class NotedCells {
 public:
  NotedCells(NotedPolicy policy, size_t site_count, Prng* prng)
      : policy_(std::move(policy)), prng_(*prng), cells_(site_count) {
    for (size_t i = 0; i < site_count; ++i)
      sites_.intern(site_id(prng_.next()));
    for (Cell& cell : cells_)
      cell.known.resize(site_count);
    // The same sites in another order: numbers must not matter.
    for (SiteIndex i = sites_.size(); i-- > 0;)
      renumbered_.intern(sites_.id(i));
  }

  std::vector<CellWrite> history;
  const SiteTable& sites() const { return sites_; }

  std::vector<size_t> versions(size_t site) const {
    std::vector<size_t> result(cells_[site].current.begin(), cells_[site].current.end());
    sort(&result);
    return result;
  }

  // Writes at a site over everything it has, not before a given time; the write's number.
  size_t write(size_t site, WriteKind kind, const OwnedValue& after, Hlc hlc_min = 1) {
    CellWrite write;
    const ShownCell seen = shown(site);
    write.kind = kind;
    write.before = kind == WriteKind::assign ? OwnedValue() : seen.value;
    write.after = kind == WriteKind::erase ? seen.value : after;
    write.replaced = versions(site);
    Cell& cell = cells_[site];
    write.version.site = static_cast<SiteIndex>(site);
    write.version.seq = cell.known[site] + 1 + prng_.below(3);
    write.version.dead = kind == WriteKind::erase;
    write.version.hlc = hlc_min + prng_.below(20);
    for (const size_t past : write.replaced) {
      write.version.hlc = std::max(write.version.hlc, history[past].version.hlc + 1);
      write.past.insert(history[past].past.begin(), history[past].past.end());
    }
    cell.known[site] = write.version.seq;
    write.note = note_of(write, sites_, false);
    CHECK(write.note == note_of(write, renumbered_, true));
    cell.current = {history.size()};
    write.past.insert(history.size());
    history.push_back(write);
    return history.size() - 1;
  }

  // Joins the cell of one site into that of another.
  void send(size_t from, size_t to) {
    Cell& ours = cells_[to];
    const Cell& theirs = cells_[from];
    std::set<size_t> joined;
    for (const size_t write : ours.current) {
      if (theirs.current.count(write) > 0 || !knows(theirs, write)) joined.insert(write);
    }
    for (const size_t write : theirs.current) {
      if (ours.current.count(write) > 0 || !knows(ours, write)) joined.insert(write);
    }
    ours.current = joined;
    for (size_t i = 0; i < ours.known.size(); ++i)
      ours.known[i] = std::max(ours.known[i], theirs.known[i]);
  }

  void send_all() {
    for (size_t round = 0; round < 2; ++round) {
      for (size_t i = 0; i + 1 < cells_.size(); ++i)
        send(i, i + 1);
      send(cells_.size() - 1, 0);
    }
  }

  ShownCell shown(size_t site) const { return shown(versions(site)); }

  // What a set of writes shows; checks that neither order nor numbering of sites matters.
  ShownCell shown(const std::vector<size_t>& writes) const {
    ShownCell result;
    for (const size_t write : writes) {
      if (!history[write].version.dead) result.live.push_back(write);
    }
    result.alive = !result.live.empty();
    if (!result.alive && !writes.empty()) result.value = history[writes.back()].after;
    if (result.live.size() == 1) result.value = history[result.live[0]].after;
    result.lost.resize(result.live.size());
    if (result.live.size() < 2) return result;
    result.value = merged(result.live, sites_, false, &result.lost);
    std::vector<size_t> shuffled = result.live;
    prng_.shuffle(&shuffled);
    std::vector<bool> lost;
    CHECK(merged(shuffled, renumbered_, true, &lost) == result.value);
    for (size_t i = 0; i < shuffled.size(); ++i) {
      const auto at = std::find(result.live.begin(), result.live.end(), shuffled[i]);
      CHECK(lost[i] == result.lost[static_cast<size_t>(at - result.live.begin())]);
    }
    CHECK(!result.lost.back());
    return result;
  }

 private:
  struct Cell {
    std::set<size_t> current;
    std::vector<uint64_t> known;  // by site
  };

  bool knows(const Cell& cell, size_t write) const {
    return history[write].version.seq <= cell.known[history[write].version.site];
  }
  void sort(std::vector<size_t>* writes) const {
    std::sort(writes->begin(), writes->end(), [&](size_t a, size_t b) {
      return compare_versions(history[a].version, history[b].version, sites_) < 0;
    });
  }
  Version numbered(Version version, bool reversed) const {
    if (reversed) version.site = sites_.size() - 1 - version.site;
    return version;
  }
  std::string note_of(const CellWrite& write, const SiteTable& sites, bool reversed) const {
    std::vector<NotedVersion> replaced;
    for (const size_t past : write.replaced) {
      const CellWrite& other = history[past];
      // A host does not store what the base row shows.
      Value value = other.after.view();
      if (!reversed && write.kind == WriteKind::change && value.identical(write.before.view())) {
        value = Value::same();
      }
      replaced.push_back({numbered(other.version, reversed), value, other.note});
    }
    NoteInput input;
    input.kind = policy_.kind;
    input.replaced = replaced;
    input.write = write.kind;
    input.before = write.before.view();
    input.after = write.kind == WriteKind::erase ? Value() : write.after.view();
    input.version = numbered(write.version, reversed);
    input.sites = &sites;
    std::string note;
    policy_.note(input, &note);
    return note;
  }
  OwnedValue merged(const std::vector<size_t>& writes, const SiteTable& sites, bool reversed,
                    std::vector<bool>* lost) const {
    std::vector<NotedVersion> versions;
    for (const size_t write : writes) {
      const CellWrite& one = history[write];
      versions.push_back({numbered(one.version, reversed), one.after.view(), one.note});
    }
    Arena arena;
    MergeResult result;
    policy_.value({policy_.kind, versions, &sites, policy_.array_key}, &arena, &result);
    REQUIRE(result.lost.size() == writes.size());
    *lost = result.lost;
    return result.value;
  }

  NotedPolicy policy_;
  Prng& prng_;
  SiteTable sites_, renumbered_;
  std::vector<Cell> cells_;
};

// The note of a third site that changes what two others had written, in hex: its bytes are a format
// that other versions of the program have to read.
inline std::string sample_note(const NotedPolicy& policy, const Value& first, const Value& second,
                               const Value& shown, const Value& after) {
  SiteTable sites;
  for (uint64_t i = 0; i < 3; ++i)
    sites.intern(SiteId{{static_cast<uint8_t>(0xa0 + i)}});
  const auto write = [&](std::vector<NotedVersion> replaced, const Value& from, const Value& to,
                         const Version& version) {
    NoteInput input;
    input.kind = policy.kind;
    input.replaced = replaced;
    input.write = WriteKind::change;
    input.before = from;
    input.after = to;
    input.version = version;
    input.sites = &sites;
    std::string note;
    policy.note(input, &note);
    return note;
  };
  const Version base{3, 100, 0, false}, change{7, 200, 1, false}, last{9, 300, 2, false};
  const std::string noted = write({{base, first, {}}}, first, second, change);
  const Version beside{5, 150, 0, false};
  const std::string note =
      write({{beside, first, {}}, {change, second, noted}}, shown, after, last);
  std::string hex;
  for (const char c : note) {
    hex.push_back("0123456789abcdef"[static_cast<uint8_t>(c) >> 4]);
    hex.push_back("0123456789abcdef"[c & 15]);
  }
  return hex;
}

// Calls both functions with damaged notes and values: nothing but crashes can be wrong, and what
// they make of it must be the same twice.
inline void feed_damaged_notes(const NotedPolicy& policy, const std::vector<std::string>& values,
                               std::vector<std::string> notes, Prng* prng) {
  SiteTable sites;
  for (uint64_t i = 0; i < 3; ++i)
    sites.intern(site_id(i));
  for (std::string& note : notes) {
    for (uint64_t i = prng->below(4); i > 0 && !note.empty(); --i) {
      const size_t at = prng->below(note.size());
      const uint64_t how = prng->below(4);
      if (how == 0)
        note[at] = static_cast<char>(prng->next());
      else if (how == 1)
        note[at] = static_cast<char>(note[at] ^ (1 << prng->below(8)));
      else if (how == 2)
        note.erase(at, 1 + prng->below(3));
      else
        note.insert(at, 1, static_cast<char>(prng->below(4)));
    }
  }
  std::vector<NotedVersion> versions;
  for (size_t i = 0; i < notes.size(); ++i) {
    const std::string& text = values[prng->below(values.size())];
    Value value = Value::text(text);
    if (text.find_first_not_of("-0123456789") == std::string::npos && text.size() < 9 &&
        text.size() > 1) {
      value = Value::integer(std::stoll(text));
    }
    Version version{1 + prng->below(4), prng->below(5), static_cast<SiteIndex>(prng->below(3)),
                    false};
    versions.push_back({version, value, notes[i]});
  }
  Arena arena;
  MergeResult result, again;
  policy.value({policy.kind, versions, &sites, policy.array_key}, &arena, &result);
  policy.value({policy.kind, versions, &sites, policy.array_key}, &arena, &again);
  CHECK(result.value.identical(again.value));
  CHECK(result.lost == again.lost);
  for (NotedVersion& version : versions)
    version.version.dead = prng->chance(0.3);
  NoteInput input;
  input.kind = policy.kind;
  input.replaced = versions;
  input.write = static_cast<WriteKind>(prng->below(3));
  input.before = result.value;
  input.after = versions.empty() ? Value() : versions[0].value;
  input.version = {9, 9, static_cast<SiteIndex>(prng->below(3)), false};
  input.sites = &sites;
  std::string note;
  policy.note(input, &note);
}

}  // namespace syncline::test
