// Values as they travel: five storage classes, the same on every engine, and their total order.
//
// A Value is a 16-byte view. The bytes of text and blob belong to someone else: to the row batch,
// the chunk buffer or the Arena they were copied into. A host converts its own types to these
// classes (see logical_type.h for what a class means in a column of a given type).
//
// There is no NaN: hosts represent it as the text "NaN", since SQLite has no such number.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/status.h"

namespace syncline {

class Arena;

enum class ValueKind : uint8_t {
  absent = 0,  // the writer did not know the column
  null = 1,
  integer = 2,
  real = 3,
  text = 4,
  blob = 5,
  same = 6,  // in packed state only: what the base row shows
};

class Value {
 public:
  constexpr Value() : integer_(0) {}
  static Value null() { return Value(ValueKind::null, 0); }
  static Value same() { return Value(ValueKind::same, 0); }
  static Value integer(int64_t v) { return Value(ValueKind::integer, v); }
  static Value real(double v);
  // REQUIRES: `bytes` outlives the value and is at most limits::value_bytes_max long.
  static Value text(std::string_view bytes) { return Value(ValueKind::text, bytes); }
  static Value blob(std::string_view bytes) { return Value(ValueKind::blob, bytes); }

  ValueKind kind() const { return kind_; }
  bool is(ValueKind kind) const { return kind_ == kind; }
  bool is_bytes() const { return kind_ == ValueKind::text || kind_ == ValueKind::blob; }
  int64_t as_integer() const { return integer_; }
  double as_real() const { return real_; }
  std::string_view bytes() const { return {data_, size_}; }

  // Bit-for-bit equality: same class, same bits, same bytes.
  bool identical(const Value& other) const;

 private:
  Value(ValueKind kind, int64_t v) : integer_(v), kind_(kind) {}
  Value(ValueKind kind, std::string_view bytes)
      : data_(bytes.data()), size_(static_cast<uint32_t>(bytes.size())), kind_(kind) {}

  union {
    int64_t integer_;
    double real_;
    const char* data_;
  };
  uint32_t size_ = 0;
  ValueKind kind_ = ValueKind::absent;
};
static_assert(sizeof(Value) == 16);

// Total order: absent < null < numbers < text < blob. Numbers compare by value (an integer and a
// real of equal value: the integer is smaller), text and blob bytewise. Keys travel in this order.
int compare_values(const Value& a, const Value& b);

using RowKey = std::span<const Value>;
int compare_keys(RowKey a, RowKey b);
bool identical_keys(RowKey a, RowKey b);

// Appends the canonical encoding of a value: kind byte, then a zigzag varint, 8 little-endian
// bytes, or a varint length and the bytes. Used for packed state, keys in bookkeeping tables,
// conflict ids and digests. docs/wire_format.md has the grammar.
void append_value(std::string* out, const Value& value);
// Reads one; the view points into *input, which is advanced. Errors: corrupt_input.
Status read_value(std::string_view* input, Value* out);

// Encodes a key so that memcmp of two encodings orders like compare_keys, as long as a key column
// holds either integers or reals (text and blob escape 0x00 as 0x00 0xff and end in 0x00 0x00;
// integers are length-prefixed big-endian; reals are IEEE bits made comparable). Companion tables
// of PostgreSQL are keyed by it. Follows the FoundationDB tuple layer's "Data Typing" notes.
std::string encode_key(RowKey key);
void append_key(std::string* out, RowKey key);
// Decodes; text and blob bytes are copied into `arena`. Errors: corrupt_input.
Status decode_key(std::string_view bytes, Arena* arena, std::vector<Value>* out);

// JSON text of a value: numbers bare, text quoted, blobs as a string of "\x" and hex digits,
// infinities as the strings "Infinity" and "-Infinity". Invalid UTF-8 is replaced.
std::string value_to_json(const Value& value);

// Owns bytes that values point to. Everything is freed at once; blocks never move.
class Arena {
 public:
  // Copies bytes; the result lives until clear() or destruction.
  std::string_view copy(std::string_view bytes);
  Value copy(const Value& value);
  std::span<Value> copy(RowKey values);
  std::span<Value> values(size_t count);  // all absent
  // Keeps the first blocks for use again.
  void clear();

 private:
  char* allocate(size_t bytes);
  struct Block {
    std::unique_ptr<char[]> bytes;
    size_t size;
  };
  std::vector<Block> blocks_;
  size_t block_ = 0, used_ = 0;
};

}  // namespace syncline
