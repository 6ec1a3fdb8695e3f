// Private: the merge of concurrent versions of a text (see docs/merge_rules.md, "Text").
//
// Tokens that all versions hold, in one order, cut the texts into places. What a version did to a
// place follows from the tokens it holds and from those it knew and no longer holds; so no common
// ancestor is looked for, and none needs to be unique.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "text_state.h"

namespace syncline {

// A piece of a merged text.
struct TextPiece {
  std::string_view bytes;
  TokenIdentity identity;
};

struct JoinedText {
  std::vector<TextPiece> pieces;
  std::vector<bool> lost;  // by version
};

// More concurrent versions than this are not merged: the work grows with their square.
inline constexpr size_t kTextVersionsMax = 128;

// REQUIRES: one epoch, all cut, in version order, at most kTextVersionsMax and at least one.
JoinedText join_texts(std::span<const TextState* const> versions, const TextNumbers& numbers);

}  // namespace syncline
