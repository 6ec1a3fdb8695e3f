// Private: a text cut into the pieces that the text policy merges: words, runs of blanks, single
// signs, line ends.
//
// The cut is part of the note format: the numbers in a note count these pieces, so every site must
// cut alike. Changing it means a new format number in text_state.cpp.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace syncline {

enum class TokenKind : uint8_t {
  word,      // letters, digits and whatever is glued to them; or one ideograph
  blank,     // a run of blanks and tabs
  sign,      // one sign, or one byte that is no UTF-8
  line_end,  // "\n" or "\r\n"
};

struct TextToken {
  std::string_view bytes;
  TokenKind kind;
};

// More than this is merged as a whole: it bounds memory and the work of a comparison.
inline constexpr size_t kTextTokensMax = 100'000;

// The tokens are views that cover `text` without gaps. Never splits a UTF-8 sequence, nor a letter
// from its combining marks. Returns false, with *out cleared, when there are too many.
bool split_tokens(std::string_view text, std::vector<TextToken>* out);

}  // namespace syncline
