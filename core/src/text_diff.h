// Private: what an edit kept. Lines first (Myers 1986, "An O(ND) difference algorithm", between
// the lines that are unique on both sides, as Bram Cohen's patience diff does), then words inside
// the lines that changed.
//
// Only the writer of a version compares; what it found is written into the version's note. So this
// may be bettered at any time without a new note format. It is bounded by steps, not by a clock:
// past the bound a changed place is one replacement.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "text_tokens.h"

namespace syncline {

// before[before_first + i] became after[after_first + i], for i < count.
struct KeptRun {
  uint32_t before_first, after_first, count;
};

// Ascending on both sides, maximal. Words that happen to be the same between larger changes count
// as changed with them (as in the semantic cleanup of diff-match-patch, Neil Fraser).
std::vector<KeptRun> kept_tokens(std::span<const TextToken> before,
                                 std::span<const TextToken> after);

}  // namespace syncline
