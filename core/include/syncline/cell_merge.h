// Merges of one cell that need more than the values of its versions: counter, union, json, text.
//
// A version of such a column may carry a note: bytes that its writer made from the versions it
// replaced, from what it saw in the cell and from what it wrote. A note belongs to its (cell, dot)
// for good, travels with it, and is opaque to everything but the functions below. A version
// without a note is an assignment: its writer knew no policy, or inserted the row.
//
//   counter_note(input, &note)              when a version is written (fold)
//   counter_value(input, &arena, &result)   when a cell with several versions is shown (merge)
//
// All are total and pure: the same versions, values and notes give the same bytes on every site
// and engine. A note that cannot be read (it may come from a stranger) counts as no note; memory
// is bounded by the size of the inputs. Sites stand in notes by their 16-byte ids.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/logical_type.h"
#include "syncline/types.h"
#include "syncline/value.h"

namespace syncline {

// One current version of a cell.
struct NotedVersion {
  Version version;
  Value value;            // what the writer's table showed after it; a tombstone: the image
  std::string_view note;  // empty: none
};

// How a version came to be.
enum class WriteKind : uint8_t {
  assign,  // an insert, or an update whose old value nobody saw: `before` is absent
  change,  // an update: `before` is what the writer saw in the cell
  erase,   // a delete: what was known must not count again if the row is inserted anew
};

struct NoteInput {
  LogicalKind kind = LogicalKind::any;
  std::span<const NotedVersion> replaced;  // in version order, tombstones included; may be empty
  WriteKind write = WriteKind::assign;
  Value before;
  Value after;  // assign, change: what was written. erase: absent
  Version version;
  const SiteTable* sites = nullptr;
};

struct MergeInput {
  LogicalKind kind = LogicalKind::any;
  std::span<const NotedVersion> versions;  // live ones, two or more, in version order
  const SiteTable* sites = nullptr;
  std::string_view array_key;  // json: elements of arrays of objects are matched by this member;
                               // empty: arrays are atomic
};

struct MergeResult {
  Value value;  // what the cell shows; new bytes live in the arena
  // By version: something of it is not in `value` and could not be merged. The greatest version
  // (compare_versions) is never lost. All false: a merge without loss, hence no conflict.
  std::vector<bool> lost;
};

// Adds up concurrent increments. value = the greatest assignment + what each site added that this
// assignment had not seen. Integers, reals and numerics (decimal text). NULL, text that is no
// number, and a sum beyond int64 make it an assignment: the greatest version is shown, the others
// are lost. A changed NULL, or a change to NULL, is an assignment. After Almeida, Baquero,
// "Scalable Eventually Consistent Counters", 2013, and PN-counters (Shapiro et al. 2011, 3.1.3).
void counter_note(const NoteInput& input, std::string* note);
void counter_value(const MergeInput& input, Arena* arena, MergeResult* out);

// A JSON array as an observed-remove set (Bieniusa et al., "An optimized conflict-free replicated
// set", 2012): an element removed on one side and untouched on the other is gone; one removed here
// and added there stays. Elements are compared as canonical JSON. Order: as in the greatest version
// that has the element, then by the versions. A value that is no array: an assignment.
void union_note(const NoteInput& input, std::string* note);
void union_value(const MergeInput& input, Arena* arena, MergeResult* out);

// A JSON document merged path by path: each leaf is a register of its own, objects are joined
// member by member, arrays are leaves or matched by `array_key`. Concurrent changes of one path:
// the greatest version's stands and the others are lost. A document that is no JSON: an assignment.
void json_note(const NoteInput& input, std::string_view array_key, std::string* note);
void json_value(const MergeInput& input, Arena* arena, MergeResult* out);

// Text merged by lines, then words: edits of different places are both kept; where edits overlap,
// the greatest version's text of that place stands and the others are lost. An edit that replaces
// most of the text is an assignment. Identical edits are one. Never splits a UTF-8 sequence.
void text_note(const NoteInput& input, std::string* note);
void text_value(const MergeInput& input, Arena* arena, MergeResult* out);

}  // namespace syncline
