#include "text_tokens.h"

namespace syncline {
namespace {

enum class CharClass : uint8_t { letter, ideograph, blank, sign, line_end, joiner };

struct Character {
  size_t size;
  CharClass kind;
};

struct Range {
  uint32_t first, last;
};

template <size_t n>
bool in_ranges(const Range (&ranges)[n], uint32_t point) {
  for (const Range& range : ranges) {
    if (point >= range.first && point <= range.last) return true;
  }
  return false;
}

// Combining marks, variation selectors, joiners, skin tones: they belong to what precedes them.
constexpr Range kJoiners[] = {
    {0x0300, 0x036f}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200d, 0x200d},   {0x20d0, 0x20ff},
    {0x3099, 0x309a}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0x1f3fb, 0x1f3ff}, {0xe0100, 0xe01ef}};
constexpr Range kBlanks[] = {
    {0x00a0, 0x00a0}, {0x2000, 0x200a}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
constexpr Range kSigns[] = {{0x00a1, 0x00a1}, {0x00ab, 0x00ab}, {0x00bb, 0x00bb}, {0x00bf, 0x00bf},
                            {0x2010, 0x2027}, {0x2030, 0x205e}, {0x3001, 0x3004}, {0x3008, 0x3020},
                            {0xff01, 0xff0f}, {0xff1a, 0xff20}};
// Scripts written without blanks: each character is a word of its own.
constexpr Range kIdeographs[] = {
    {0x2e80, 0x2fdf}, {0x3005, 0x9fff}, {0xf900, 0xfaff}, {0x20000, 0x3ffff}};

CharClass class_of(uint32_t point) {
  if (point < 0x80) {
    const auto c = static_cast<char>(point);
    if (c == '\n') return CharClass::line_end;
    if (c == ' ' || (c >= '\t' && c <= '\r')) return CharClass::blank;
    const char lower = static_cast<char>(c | 0x20);
    const bool letter = (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_';
    return letter ? CharClass::letter : CharClass::sign;
  }
  if (in_ranges(kJoiners, point)) return CharClass::joiner;
  if (in_ranges(kBlanks, point)) return CharClass::blank;
  if (in_ranges(kSigns, point)) return CharClass::sign;
  if (in_ranges(kIdeographs, point)) return CharClass::ideograph;
  return CharClass::letter;
}

// Returns the length of the well-formed sequence at the start of `text`, or 0. Unicode 15, table
// 3-7: no overlong forms, no surrogates, nothing above U+10FFFF.
size_t decode_utf8(std::string_view text, uint32_t* point) {
  const auto first = static_cast<uint8_t>(text[0]);
  const size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (size == 0 || first > 0xf4 || size > text.size()) return 0;
  uint32_t value = size == 1 ? first : first & (0xffu >> (size + 1));
  for (size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<uint8_t>(text[i]);
    if ((byte & 0xc0) != 0x80) return 0;
    value = value << 6 | (byte & 0x3f);
  }
  const bool overlong = (size == 3 && value < 0x800) || (size == 4 && value < 0x10000);
  if (overlong || (value >= 0xd800 && value < 0xe000) || value > 0x10ffff) return 0;
  *point = value;
  return size;
}

Character character_at(std::string_view text) {
  if (text.size() > 1 && text[0] == '\r' && text[1] == '\n') return {2, CharClass::line_end};
  uint32_t point = 0;
  const size_t size = decode_utf8(text, &point);
  if (size == 0) return {1, CharClass::sign};
  return {size, class_of(point)};
}

TokenKind kind_of(CharClass kind) {
  switch (kind) {
    case CharClass::blank:
      return TokenKind::blank;
    case CharClass::sign:
      return TokenKind::sign;
    case CharClass::line_end:
      return TokenKind::line_end;
    default:
      return TokenKind::word;
  }
}

}  // namespace

bool split_tokens(std::string_view text, std::vector<TextToken>* out) {
  out->clear();
  CharClass open = CharClass::line_end;  // the class of the token at the end of *out
  for (size_t at = 0; at < text.size();) {
    const auto [size, kind] = character_at(text.substr(at));
    const bool run = kind == open && (kind == CharClass::letter || kind == CharClass::blank);
    const bool glued = kind == CharClass::joiner && open != CharClass::line_end;
    if (run || glued) {
      std::string_view& bytes = out->back().bytes;
      bytes = text.substr(at - bytes.size(), bytes.size() + size);
    } else {
      if (out->size() == kTextTokensMax) {
        out->clear();
        return false;
      }
      out->push_back({text.substr(at, size), kind_of(kind)});
      open = kind == CharClass::joiner ? CharClass::letter : kind;
    }
    at += size;
  }
  return true;
}

}  // namespace syncline
