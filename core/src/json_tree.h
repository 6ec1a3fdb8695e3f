// Private: a JSON document as a tree that keeps every token as it was spelt: 1.0 stays 1.0, numbers
// of any length keep their digits, members their order.
//
//   JsonTree tree;
//   if (!tree.parse(text)) ...            // no JSON (RFC 8259), too deep, or too big
//   for (uint32_t i = tree[0].child; i != 0; i = tree[i].next) ...
//
// Of members given twice the last one stands. Strings may hold any bytes from 0x80 on.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace syncline {

enum class JsonKind : uint8_t { null, boolean, number, string, array, object };

struct JsonNode {
  JsonKind kind = JsonKind::null;
  uint32_t child = 0;  // the first; 0 none
  uint32_t next = 0;   // the next sibling; 0 none
  uint32_t child_count = 0;
  std::string_view raw;      // as spelt; of arrays and objects from bracket to bracket
  std::string_view text;     // of a string: decoded
  std::string_view key;      // of a member of an object: the name, decoded
  std::string_view key_raw;  // as spelt, with its quotes
};

class JsonTree {
 public:
  static constexpr size_t kNodesMax = 100'000;
  static constexpr int kDepthMax = 200;

  // Views into `text`, which must outlive the tree. False: the tree is of no use.
  bool parse(std::string_view text);
  // Node 0 is the document.
  const JsonNode& operator[](uint32_t node) const { return nodes_[node]; }
  size_t size() const { return nodes_.size(); }
  // Equal for values that mean the same, whatever their spelling: members by name, no blanks, one
  // spelling for a number (1, 1.0 and 10e-1) and for a string.
  std::string canonical(uint32_t node) const;

 private:
  bool parse_value(int depth, uint32_t* out);
  bool parse_array(int depth, uint32_t node);
  bool parse_object(int depth, uint32_t node);
  bool parse_string(std::string_view* raw, std::string_view* decoded);
  bool parse_number();
  bool parse_word(std::string_view word);
  void skip_space();
  bool skip(char c);
  void drop_repeated(uint32_t object);
  void append_canonical(uint32_t node, std::string* out) const;

  std::string_view text_;
  size_t at_ = 0;
  std::vector<JsonNode> nodes_;
  std::deque<std::string> decoded_;  // strings with escapes
};

// JSON without blanks between tokens: how merged documents are written.
void append_without_space(std::string_view json, std::string* out);

}  // namespace syncline
