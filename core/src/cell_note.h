// Private: what the notes of counter, union and json columns have in common, and causality among
// the versions of one cell.
//
//   note    := format:u8 sites context body          the body is the policy's: merge_*.cpp
//   sites   := count:varint id:16 bytes*              ascending, without the writer's own
//   context := count:varint (site:varint seq:varint)* ascending
//
// A site stands in a note as a number: 0 is the writer of the version, i the i-th id listed. The
// context is what the writer knew of this cell: for each site the greatest seq of its versions,
// the writer's own new one not counted. A version without a note has an empty context: it covers
// its own dot alone. That a context is a prefix for each site follows from the join: whoever holds
// a version of a cell has seen all that its site had made of the cell before.
//
// Inside one call sites are numbered by a SiteTable of that call.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/cell_merge.h"
#include "syncline/codec.h"

namespace syncline {

struct Dot {
  SiteIndex site = 0;
  uint64_t seq = 0;
  auto operator<=>(const Dot&) const = default;
};

inline Dot dot_of(const Version& version) {
  return {version.site, version.seq};
}

using CellContext = std::map<SiteIndex, uint64_t>;

// Raises `context` to cover `dot`, or everything that `other` covers.
void cover(const Dot& dot, CellContext* context);
void cover(const CellContext& other, CellContext* context);

// The version with its site numbered in `to`, where it is added when new.
Version renumber(const Version& version, const SiteTable& from, SiteTable* to);

class NoteReader {
 public:
  // Reads the head. False: there is no note of this format, or it is damaged.
  bool open(uint8_t format, std::string_view note, SiteIndex writer, SiteTable* sites);
  CellContext context;  // as far as it was read

  ByteReader& in() { return in_; }
  [[nodiscard]] bool site(SiteIndex* out);
  [[nodiscard]] bool dot(Dot* out);
  [[nodiscard]] bool value(Value* out);
  // A count of things that take at least a byte each.
  [[nodiscard]] bool count(uint64_t* out);

 private:
  ByteReader in_{std::string_view()};
  std::vector<SiteIndex> numbers_;
};

class NoteWriter {
 public:
  // Writes the head. `used`: the sites that the body will name, beside those of the context.
  NoteWriter(uint8_t format, SiteIndex writer, const SiteTable& sites, const CellContext& context,
             std::set<SiteIndex> used, std::string* out);

  void count(uint64_t number) { append_varint(out_, number); }
  void site(SiteIndex site) { append_varint(out_, numbers_.at(site)); }
  void dot(const Dot& dot);
  void value(const Value& value) { append_value(out_, value); }
  std::string& bytes() { return *out_; }

 private:
  std::string* out_;
  std::map<SiteIndex, uint64_t> numbers_;
};

// Which of a set of versions cover a dot. A version covers its own dot and its context.
class Coverage {
 public:
  // REQUIRES: the context outlives this.
  void add(const Dot& own, const CellContext* context);
  void finish();  // between the last add and the first question
  bool covers(size_t version, const Dot& dot) const;
  size_t count(const Dot& dot) const;  // how many cover it

 private:
  struct Member {
    Dot own;
    const CellContext* context;
  };
  std::vector<Member> members_;
  std::vector<Dot> own_;                             // sorted; those no context of theirs covers
  std::map<SiteIndex, std::vector<uint64_t>> seqs_;  // of the contexts, sorted
};

// The versions that take part in a merge, the greatest first, as indexes. One whose writer did not
// know the column (its value is absent) takes none.
std::vector<size_t> merge_order(const MergeInput& input);

// The rule where nothing can be merged: the greatest version is shown, those that differ in
// meaning are lost.
void show_greatest(const MergeInput& input, const std::vector<size_t>& order, MergeResult* out);

// What a writer saw of a cell, told apart: the versions that made up the value, and those that
// count only as known. Where all are tombstones the image of the greatest was shown.
struct Replaced {
  std::vector<NotedVersion> shown;  // values filled in from `before` where they are not stored
  std::vector<NotedVersion> known;
  bool only_image = false;  // `shown` is one tombstone
};
Replaced replaced_versions(const NoteInput& input);

// True if a reader would assume this context of a version by `writer` without a note. A tombstone
// needs no note to say what its own dot says: whoever replaces it covers everything up to it.
bool is_plain_context(const CellContext& context, SiteIndex writer, bool dead);

}  // namespace syncline
