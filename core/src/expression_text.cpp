// Text functions of expressions. A character is a byte with the UTF-8 continuation bytes after it,
// so text that is not UTF-8 has characters, too. Upper and lower case are those of ASCII.
#include <algorithm>

#include "expression_nodes.h"
#include "syncline/logical_type.h"

namespace syncline {
namespace {

bool continues_character(char c) {
  return (static_cast<uint8_t>(c) & 0xc0) == 0x80;
}

int64_t character_count(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return !continues_character(c); });
}

// The byte where character `index` (from 0) starts, or the end of `text`.
size_t character_start(std::string_view text, int64_t index) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if (!continues_character(text[at]) && index-- == 0) break;
  }
  return at;
}

std::string in_case(std::string_view text, char first, char last, int shift) {
  std::string out(text);
  for (char& c : out)
    if (c >= first && c <= last) c = static_cast<char>(c + shift);
  return out;
}

// Characters from `start` (1 is the first, -1 the last), `count` of them.
Operand substr(std::string_view text, Operands operands, Workspace* work) {
  int64_t start, count = 0;
  if (!work->integer_of(operands[1], &start)) return {};
  if (operands.size() > 2 && !work->integer_of(operands[2], &count)) return {};
  const int64_t characters = character_count(text);
  if (start < 0) start += characters + 1;
  int64_t end = INT64_MAX;
  if (operands.size() > 2 && __builtin_add_overflow(start, std::max<int64_t>(count, 0), &end)) {
    end = INT64_MAX;
  }
  end = std::min(end, characters + 1);
  start = std::max<int64_t>(start, 1);
  if (end <= start) return {Value::text("")};
  const size_t from = character_start(text, start - 1);
  const size_t size = character_start(text.substr(from), end - start);
  return {Value::text(text.substr(from, size))};
}

// The length in bytes of the character at the start, or at the end, of `text`.
size_t first_character(std::string_view text) {
  size_t size = 1;
  while (size < text.size() && continues_character(text[size]))
    ++size;
  return size;
}
size_t last_character(std::string_view text) {
  size_t size = 1;
  while (size < text.size() && continues_character(text[text.size() - size]))
    ++size;
  return size;
}

bool has_character(std::string_view set, std::string_view character) {
  while (!set.empty()) {
    const size_t size = first_character(set);
    if (set.substr(0, size) == character) return true;
    set.remove_prefix(size);
  }
  return false;
}

Operand trim(Operator operation, std::string_view text, std::string_view set, Workspace* work) {
  if (set.empty()) return {Value::text(text)};
  while (operation != Operator::rtrim && !text.empty()) {
    const size_t size = first_character(text);
    if (!work->take(set.size()) || !has_character(set, text.substr(0, size))) break;
    text.remove_prefix(size);
  }
  while (operation != Operator::ltrim && !text.empty()) {
    const size_t size = last_character(text);
    if (!work->take(set.size()) || !has_character(set, text.substr(text.size() - size))) break;
    text.remove_suffix(size);
  }
  return {Value::text(text)};
}

// For each prefix of `pattern`, the length of the longest shorter prefix that it ends in.
std::vector<uint32_t> borders_of(std::string_view pattern) {
  std::vector<uint32_t> borders(pattern.size() + 1, 0);
  uint32_t border = 0;
  for (size_t i = 1; i < pattern.size(); ++i) {
    while (border > 0 && pattern[i] != pattern[border])
      border = borders[border];
    if (pattern[i] == pattern[border]) ++border;
    borders[i + 1] = border;
  }
  return borders;
}

// Searches as Knuth, Morris and Pratt do: linear for any text.
Operand replace(std::string_view text, std::string_view from, std::string_view to,
                Workspace* work) {
  if (from.empty() || from.size() > text.size()) return {Value::text(text)};
  if (!work->take(text.size() + from.size())) return {};
  const std::vector<uint32_t> borders = borders_of(from);
  std::string out;
  uint32_t matched = 0;
  for (const char c : text) {
    while (matched > 0 && c != from[matched])
      matched = borders[matched];
    if (c == from[matched]) ++matched;
    out += c;
    if (matched < from.size()) continue;
    out.resize(out.size() - from.size());
    out += to;
    matched = 0;
    if (out.size() > Expression::kTextBytesMax + from.size() || !work->take(to.size())) return {};
  }
  return work->text(out);
}

Operand concat(const Operand& a, const Operand& b, Workspace* work) {
  const bool blobs = a.value.is(ValueKind::blob) && b.value.is(ValueKind::blob);
  std::string_view left = a.value.bytes(), right = b.value.bytes();
  if (!blobs && (!work->text_of(a, &left) || !work->text_of(b, &right))) return {};
  if (left.size() + right.size() > Expression::kTextBytesMax) return {};
  std::string joined(left);
  const Operand text = work->text(joined.append(right));
  return blobs && !text.is_null() ? Operand{Value::blob(text.value.bytes())} : text;
}

}  // namespace

Operand Workspace::text(std::string_view text) {
  if (text.size() > Expression::kTextBytesMax || !take(text.size())) return {};
  return {Value::text(arena_.copy(text))};
}

bool Workspace::text_of(const Operand& operand, std::string_view* out) {
  const Value text = canonical_value(LogicalKind::text, operand.value, &arena_);
  if (!text.is(ValueKind::text)) return false;
  *out = text.bytes();
  return true;
}

Operand evaluate_text(Operator operation, Operands operands, Workspace* work) {
  if (operation == Operator::concat) return concat(operands[0], operands[1], work);
  const Operand& subject = operands[0];
  if (operation == Operator::length && subject.value.is(ValueKind::blob)) {
    return {Value::integer(static_cast<int64_t>(subject.value.bytes().size()))};
  }
  std::string_view text, second, third;
  if (!work->text_of(subject, &text) || !work->take(text.size())) return {};
  switch (operation) {
    case Operator::length:
      return {Value::integer(character_count(text))};
    case Operator::lower:
      return work->text(in_case(text, 'A', 'Z', 'a' - 'A'));
    case Operator::upper:
      return work->text(in_case(text, 'a', 'z', 'A' - 'a'));
    case Operator::substr:
      return substr(text, operands, work);
    case Operator::replace:
      if (!work->text_of(operands[1], &second) || !work->text_of(operands[2], &third)) return {};
      return replace(text, second, third, work);
    default:
      second = " ";
      if (operands.size() > 1 && !work->text_of(operands[1], &second)) return {};
      return trim(operation, text, second, work);
  }
}

}  // namespace syncline
