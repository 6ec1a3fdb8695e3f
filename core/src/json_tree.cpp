#include "json_tree.h"

#include <algorithm>
#include <charconv>

namespace syncline {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// Four hex digits.
bool read_hex(std::string_view text, uint32_t* out) {
  if (text.size() < 4) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + 4, *out, 16);
  return error == std::errc() && end == text.data() + 4;
}

// A lone surrogate is encoded like any other code point: equal texts must give equal bytes.
void append_utf8(uint32_t code, std::string* out) {
  const auto tail = [&](int shift) {
    out->push_back(static_cast<char>(0x80 | (code >> shift & 63)));
  };
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xc0 | code >> 6));
    tail(0);
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | code >> 12));
    tail(6);
    tail(0);
  } else {
    out->push_back(static_cast<char>(0xf0 | code >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

// Decodes the escape at text[*at], just after its backslash.
bool decode_escape(std::string_view text, size_t* at, std::string* out) {
  if (*at >= text.size()) return false;
  const char c = text[(*at)++];
  static constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
  const size_t plain = kNames.find(c);
  if (plain != std::string_view::npos) {
    out->push_back(kValues[plain]);
    return true;
  }
  uint32_t code, low;
  if (c != 'u' || !read_hex(text.substr(*at), &code)) return false;
  *at += 4;
  if (code >= 0xd800 && code < 0xdc00 && text.substr(*at, 2) == "\\u" &&
      read_hex(text.substr(*at + 2), &low) && low >= 0xdc00 && low < 0xe000) {
    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    *at += 6;
  }
  append_utf8(code, out);
  return true;
}

void append_canonical_string(std::string_view text, std::string* out) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out->push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out->append("\\u00");
      out->push_back(kDigits[c >> 4]);
      out->push_back(kDigits[c & 15]);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

// [-] digits e exponent, without zeros at either end of the digits; 0 is 0.
void append_canonical_number(std::string_view token, std::string* out) {
  const bool negative = token.front() == '-';
  const size_t exponent_at = std::min(token.find_first_of("eE"), token.size());
  std::string digits;
  int64_t exponent = 0;
  bool fraction = false;
  for (const char c : token.substr(0, exponent_at)) {
    if (c == '.') fraction = true;
    if (!is_digit(c)) continue;
    if (fraction) --exponent;
    if (c != '0' || !digits.empty()) digits.push_back(c);
  }
  if (digits.empty()) {
    out->push_back('0');
    return;
  }
  while (digits.back() == '0') {
    digits.pop_back();
    ++exponent;
  }
  std::string_view written = token.substr(std::min(exponent_at + 1, token.size()));
  if (!written.empty() && written.front() == '+') written.remove_prefix(1);
  int64_t number = 0;
  const auto [end, error] =
      std::from_chars(written.data(), written.data() + written.size(), number);
  if (error == std::errc::result_out_of_range || number > INT32_MAX || number < INT32_MIN) {
    out->append(token);  // no engine holds it as a number: its spelling is all there is
    return;
  }
  if (negative) out->push_back('-');
  out->append(digits).append("e").append(std::to_string(exponent + number));
}

}  // namespace

bool JsonTree::parse(std::string_view text) {
  text_ = text;
  at_ = 0;
  nodes_.clear();
  decoded_.clear();
  uint32_t root;
  if (!parse_value(0, &root)) return false;
  skip_space();
  return at_ == text_.size();
}

void JsonTree::skip_space() {
  while (at_ < text_.size() && is_space(text_[at_]))
    ++at_;
}

bool JsonTree::skip(char c) {
  skip_space();
  if (at_ >= text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

bool JsonTree::parse_value(int depth, uint32_t* out) {
  skip_space();
  if (at_ >= text_.size() || depth > kDepthMax || nodes_.size() >= kNodesMax) return false;
  *out = static_cast<uint32_t>(nodes_.size());
  nodes_.emplace_back();
  const size_t start = at_;
  const char c = text_[at_];
  JsonKind kind = JsonKind::null;
  bool good;
  if (c == '{') {
    kind = JsonKind::object;
    good = parse_object(depth, *out);
  } else if (c == '[') {
    kind = JsonKind::array;
    good = parse_array(depth, *out);
  } else if (c == '"') {
    kind = JsonKind::string;
    std::string_view raw;
    good = parse_string(&raw, &nodes_[*out].text);
  } else if (c == '-' || is_digit(c)) {
    kind = JsonKind::number;
    good = parse_number();
  } else if (c == 'n') {
    good = parse_word("null");
  } else {
    kind = JsonKind::boolean;
    good = parse_word(c == 't' ? "true" : "false");
  }
  nodes_[*out].kind = kind;
  nodes_[*out].raw = text_.substr(start, at_ - start);
  return good;
}

bool JsonTree::parse_array(int depth, uint32_t node) {
  ++at_;
  if (skip(']')) return true;
  uint32_t last = 0;
  do {
    uint32_t child;
    if (!parse_value(depth + 1, &child)) return false;
    (last == 0 ? nodes_[node].child : nodes_[last].next) = child;
    ++nodes_[node].child_count;
    last = child;
  } while (skip(','));
  return skip(']');
}

bool JsonTree::parse_object(int depth, uint32_t node) {
  ++at_;
  if (skip('}')) return true;
  uint32_t last = 0;
  do {
    uint32_t child;
    std::string_view raw, key;
    skip_space();
    if (at_ >= text_.size() || text_[at_] != '"' || !parse_string(&raw, &key)) return false;
    if (!skip(':') || !parse_value(depth + 1, &child)) return false;
    nodes_[child].key = key;
    nodes_[child].key_raw = raw;
    (last == 0 ? nodes_[node].child : nodes_[last].next) = child;
    ++nodes_[node].child_count;
    last = child;
  } while (skip(','));
  if (!skip('}')) return false;
  drop_repeated(node);
  return true;
}

void JsonTree::drop_repeated(uint32_t object) {
  std::vector<uint32_t> members;
  for (uint32_t i = nodes_[object].child; i != 0; i = nodes_[i].next)
    members.push_back(i);
  const auto by_key = [&](uint32_t a, uint32_t b) {
    const int order = nodes_[a].key.compare(nodes_[b].key);
    return order != 0 ? order < 0 : a < b;
  };
  std::vector<uint32_t> sorted = members;
  std::sort(sorted.begin(), sorted.end(), by_key);
  std::vector<uint32_t> dropped;
  for (size_t i = 0; i + 1 < sorted.size(); ++i) {
    if (nodes_[sorted[i]].key == nodes_[sorted[i + 1]].key) dropped.push_back(sorted[i]);
  }
  if (dropped.empty()) return;
  std::sort(dropped.begin(), dropped.end());
  std::erase_if(members,
                [&](uint32_t i) { return std::binary_search(dropped.begin(), dropped.end(), i); });
  nodes_[object].child = members.front();
  nodes_[object].child_count = static_cast<uint32_t>(members.size());
  for (size_t i = 0; i < members.size(); ++i)
    nodes_[members[i]].next = i + 1 < members.size() ? members[i + 1] : 0;
}

bool JsonTree::parse_string(std::string_view* raw, std::string_view* decoded) {
  const size_t start = at_++;
  std::string text;
  size_t plain = at_;  // up to here `text` holds what was read, once there was an escape
  bool escapes = false;
  while (at_ < text_.size() && text_[at_] != '"') {
    if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
    if (text_[at_++] != '\\') continue;
    escapes = true;
    text.append(text_.substr(plain, at_ - 1 - plain));
    if (!decode_escape(text_, &at_, &text)) return false;
    plain = at_;
  }
  if (at_ >= text_.size()) return false;
  *decoded = text_.substr(plain, at_ - plain);
  if (escapes) *decoded = decoded_.emplace_back(text.append(*decoded));
  ++at_;
  *raw = text_.substr(start, at_ - start);
  return true;
}

bool JsonTree::parse_number() {
  const auto digits = [&] {
    const size_t start = at_;
    while (at_ < text_.size() && is_digit(text_[at_]))
      ++at_;
    return at_ > start;
  };
  const auto next_is = [&](std::string_view any) {
    return at_ < text_.size() && any.find(text_[at_]) != std::string_view::npos;
  };
  if (text_[at_] == '-') ++at_;
  if (next_is("0")) {
    ++at_;
  } else if (!digits()) {
    return false;
  }
  if (next_is(".")) {
    ++at_;
    if (!digits()) return false;
  }
  if (next_is("eE")) {
    ++at_;
    if (next_is("+-")) ++at_;
    if (!digits()) return false;
  }
  return true;
}

bool JsonTree::parse_word(std::string_view word) {
  if (text_.substr(at_, word.size()) != word) return false;
  at_ += word.size();
  return true;
}

std::string JsonTree::canonical(uint32_t node) const {
  std::string out;
  append_canonical(node, &out);
  return out;
}

void JsonTree::append_canonical(uint32_t node, std::string* out) const {
  const JsonNode& one = nodes_[node];
  switch (one.kind) {
    case JsonKind::null:
    case JsonKind::boolean:
      out->append(one.raw);
      return;
    case JsonKind::number:
      append_canonical_number(one.raw, out);
      return;
    case JsonKind::string:
      append_canonical_string(one.text, out);
      return;
    case JsonKind::array:
    case JsonKind::object:
      break;
  }
  std::vector<uint32_t> children;
  for (uint32_t i = one.child; i != 0; i = nodes_[i].next)
    children.push_back(i);
  const bool object = one.kind == JsonKind::object;
  if (object) {
    std::sort(children.begin(), children.end(),
              [&](uint32_t a, uint32_t b) { return nodes_[a].key < nodes_[b].key; });
  }
  out->push_back(object ? '{' : '[');
  for (size_t i = 0; i < children.size(); ++i) {
    if (i > 0) out->push_back(',');
    if (object) {
      append_canonical_string(nodes_[children[i]].key, out);
      out->push_back(':');
    }
    append_canonical(children[i], out);
  }
  out->push_back(object ? '}' : ']');
}

void append_without_space(std::string_view json, std::string* out) {
  bool quoted = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (!quoted && is_space(c)) continue;
    out->push_back(c);
    if (quoted && c == '\\') out->push_back(json[++i]);
    if (c == '"') quoted = !quoted;
  }
}

}  // namespace syncline
