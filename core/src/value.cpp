// Values: their order, their two encodings, their JSON text, and the arena their bytes live in.
#include "syncline/value.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>

#include "syncline/codec.h"
#include "syncline/limits.h"

namespace syncline {
namespace {

int order_of(int64_t a, int64_t b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

int compare_bytes(std::string_view a, std::string_view b) {
  const size_t common = std::min(a.size(), b.size());
  const int order = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
  if (order != 0) return order < 0 ? -1 : 1;
  return order_of(static_cast<int64_t>(a.size()), static_cast<int64_t>(b.size()));
}

// Rank of a class in the total order: integers and reals share one.
int rank(ValueKind kind) {
  return kind == ValueKind::real ? static_cast<int>(ValueKind::integer) : static_cast<int>(kind);
}

int compare_reals(double a, double b) {
  if (a != b) return a < b ? -1 : 1;
  return static_cast<int>(std::signbit(b)) - static_cast<int>(std::signbit(a));
}

// Exact: never rounds the integer. An integer sorts before the real of equal value.
int compare_integer_real(int64_t integer, double real) {
  constexpr double kTwo63 = 9223372036854775808.0;
  if (real >= kTwo63) return -1;
  if (real < -kTwo63) return 1;
  const double whole = std::trunc(real);
  const int order = order_of(integer, static_cast<int64_t>(whole));
  if (order != 0) return order;
  return real < whole ? 1 : -1;
}

Status corrupt(const char* what) {
  return Status(StatusCode::corrupt_input, what);
}

// Key encoding. Tags in the order of compare_values:
//
//   key     = *element
//   element = 0x04                                ; absent
//           / 0x05                                ; null
//           / 0x14+n  n bytes                     ; integer >= 0 of n = 0..8 bytes, big-endian
//           / 0x14-n  n bytes                     ; negative integer, with 2^(8n)-1 added
//           / 0x21  8 bytes                       ; real, big-endian; sign bit flipped, or if it
//                                                 ; was set all bits
//           / 0x30  escaped  0x00 0x00            ; text; 0x00 inside is 0x00 0xff
//           / 0x31  escaped  0x00 0x00            ; blob
constexpr uint8_t kKeyAbsent = 0x04, kKeyNull = 0x05, kKeyZero = 0x14, kKeyReal = 0x21,
                  kKeyText = 0x30, kKeyBlob = 0x31;
constexpr uint64_t kSignBit = uint64_t{1} << 63;

void append_big_endian(std::string* out, uint64_t value, int size) {
  for (int i = size - 1; i >= 0; --i)
    out->push_back(static_cast<char>(value >> (8 * i)));
}

bool read_big_endian(ByteReader* reader, int size, uint64_t* out) {
  std::string_view bytes;
  if (!reader->view(static_cast<uint64_t>(size), &bytes)) return false;
  *out = 0;
  for (char c : bytes)
    *out = *out << 8 | static_cast<uint8_t>(c);
  return true;
}

uint64_t low_bits(int bytes) {
  return bytes == 8 ? ~uint64_t{0} : (uint64_t{1} << 8 * bytes) - 1;
}

int significant_bytes(uint64_t magnitude) {
  return (std::bit_width(magnitude) + 7) / 8;
}

void append_key_integer(std::string* out, int64_t value) {
  const bool negative = value < 0;
  const uint64_t magnitude = negative ? ~static_cast<uint64_t>(value) + 1 : value;
  const int size = significant_bytes(magnitude);
  out->push_back(static_cast<char>(negative ? kKeyZero - size : kKeyZero + size));
  append_big_endian(out, negative ? low_bits(size) - magnitude : magnitude, size);
}

bool read_key_integer(ByteReader* reader, int tag, Value* out) {
  const int size = std::abs(tag - kKeyZero);
  uint64_t bits;
  if (!read_big_endian(reader, size, &bits)) return false;
  const bool negative = tag < kKeyZero;
  const uint64_t magnitude = negative ? low_bits(size) - bits : bits;
  if (significant_bytes(magnitude) != size) return false;
  if (magnitude > (negative ? kSignBit : kSignBit - 1)) return false;
  *out = Value::integer(static_cast<int64_t>(negative ? ~magnitude + 1 : magnitude));
  return true;
}

void append_escaped(std::string* out, std::string_view bytes) {
  for (size_t zero; (zero = bytes.find('\0')) != std::string_view::npos;) {
    out->append(bytes.substr(0, zero + 1));
    out->push_back('\xff');
    bytes.remove_prefix(zero + 1);
  }
  out->append(bytes);
  out->append(2, '\0');
}

// Reads up to and including the terminator.
bool read_escaped(ByteReader* reader, Arena* arena, std::string_view* out) {
  const std::string_view rest = reader->rest();
  size_t end = 0, escapes = 0;
  for (;; end += 2, ++escapes) {
    end = rest.find('\0', end);
    if (end == std::string_view::npos || end + 1 >= rest.size()) return false;
    if (rest[end + 1] == '\0') break;
    if (rest[end + 1] != '\xff') return false;
  }
  std::string_view raw, terminator;
  if (!reader->view(end, &raw) || !reader->view(2, &terminator)) return false;
  if (escapes == 0) {
    *out = arena->copy(raw);
    return true;
  }
  std::string plain;
  plain.reserve(raw.size() - escapes);
  for (size_t i = 0; i < raw.size(); ++i) {
    plain.push_back(raw[i]);
    if (raw[i] == '\0') ++i;
  }
  *out = arena->copy(plain);
  return true;
}

bool read_key_element(ByteReader* reader, Arena* arena, Value* out) {
  uint8_t tag;
  if (!reader->byte(&tag)) return false;
  if (tag >= kKeyZero - 8 && tag <= kKeyZero + 8) return read_key_integer(reader, tag, out);
  switch (tag) {
    case kKeyAbsent:
      *out = Value();
      return true;
    case kKeyNull:
      *out = Value::null();
      return true;
    case kKeyReal: {
      uint64_t bits;
      if (!read_big_endian(reader, 8, &bits)) return false;
      const double real = std::bit_cast<double>((bits & kSignBit) ? bits ^ kSignBit : ~bits);
      *out = Value::real(real);
      return !std::isnan(real);
    }
    case kKeyText:
    case kKeyBlob: {
      std::string_view bytes;
      if (!read_escaped(reader, arena, &bytes)) return false;
      *out = tag == kKeyText ? Value::text(bytes) : Value::blob(bytes);
      return true;
    }
    default:
      return false;
  }
}

// Length of the well-formed UTF-8 sequence at the start of `text` (RFC 3629), 0 if there is none.
size_t utf8_length(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(i < text.size() ? text[i] : 0); };
  const uint8_t first = at(0), second = at(1);
  if (first < 0x80) return 1;
  const auto continues = [&](size_t i) { return (at(i) & 0xc0) == 0x80; };
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (first == 0xe0 && second < 0xa0) return 0;
    if (first == 0xed && second > 0x9f) return 0;  // surrogates
    return continues(1) && continues(2) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (first == 0xf0 && second < 0x90) return 0;
    if (first == 0xf4 && second > 0x8f) return 0;
    return continues(1) && continues(2) && continues(3) ? 4 : 0;
  }
  return 0;
}

void append_json_text(std::string* out, std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  out->push_back('"');
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    const size_t length = utf8_length(text.substr(i));
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (c == '\n') {
      out->append("\\n");
    } else if (c == '\t') {
      out->append("\\t");
    } else if (c == '\r') {
      out->append("\\r");
    } else if (length == 0 || c == '\0') {
      out->append("\xef\xbf\xbd");  // U+FFFD; jsonb refuses \u0000
    } else if (static_cast<uint8_t>(c) < 0x20) {
      out->append("\\u00");
      out->push_back(kDigits[c >> 4]);
      out->push_back(kDigits[c & 15]);
    } else {
      out->append(text.substr(i, length));
    }
    i += std::max<size_t>(length, 1);
  }
  out->push_back('"');
}

std::string real_to_json(double value) {
  if (std::isinf(value)) return value < 0 ? "\"-Infinity\"" : "\"Infinity\"";
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  std::string json(text, end);
  // A real stays recognisable as one.
  if (json.find_first_of(".e") == std::string::npos) json += ".0";
  return json;
}

std::string blob_to_json(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string json = "\"\\\\x";
  json.reserve(json.size() + 2 * bytes.size() + 1);
  for (char c : bytes) {
    json.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    json.push_back(kDigits[c & 15]);
  }
  json.push_back('"');
  return json;
}

}  // namespace

Value Value::real(double v) {
  if (std::isnan(v)) return Value::text("NaN");
  Value value;
  value.real_ = v;
  value.kind_ = ValueKind::real;
  return value;
}

bool Value::identical(const Value& other) const {
  if (kind_ != other.kind_) return false;
  if (!is_bytes()) return integer_ == other.integer_;  // a real's bits, too: they share storage
  return size_ == other.size_ && (size_ == 0 || std::memcmp(data_, other.data_, size_) == 0);
}

int compare_values(const Value& a, const Value& b) {
  const int a_rank = rank(a.kind()), b_rank = rank(b.kind());
  if (a_rank != b_rank) return a_rank < b_rank ? -1 : 1;
  if (a.is_bytes()) return compare_bytes(a.bytes(), b.bytes());
  const bool a_real = a.is(ValueKind::real), b_real = b.is(ValueKind::real);
  if (a_real && b_real) return compare_reals(a.as_real(), b.as_real());
  if (a_real) return -compare_integer_real(b.as_integer(), a.as_real());
  if (b_real) return compare_integer_real(a.as_integer(), b.as_real());
  return order_of(a.as_integer(), b.as_integer());
}

int compare_keys(RowKey a, RowKey b) {
  const size_t common = std::min(a.size(), b.size());
  for (size_t i = 0; i < common; ++i) {
    const int order = compare_values(a[i], b[i]);
    if (order != 0) return order;
  }
  return order_of(static_cast<int64_t>(a.size()), static_cast<int64_t>(b.size()));
}

bool identical_keys(RowKey a, RowKey b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Value& x, const Value& y) { return x.identical(y); });
}

void append_value(std::string* out, const Value& value) {
  out->push_back(static_cast<char>(value.kind()));
  switch (value.kind()) {
    case ValueKind::absent:
    case ValueKind::null:
    case ValueKind::same:
      break;
    case ValueKind::integer:
      append_zigzag(out, value.as_integer());
      break;
    case ValueKind::real:
      append_fixed64(out, std::bit_cast<uint64_t>(value.as_real()));
      break;
    case ValueKind::text:
    case ValueKind::blob:
      append_bytes(out, value.bytes());
      break;
  }
}

Status read_value(std::string_view* input, Value* out) {
  ByteReader reader(*input);
  uint8_t kind;
  if (!reader.byte(&kind)) return corrupt("a value is missing");
  switch (static_cast<ValueKind>(kind)) {
    case ValueKind::absent:
      *out = Value();
      break;
    case ValueKind::null:
      *out = Value::null();
      break;
    case ValueKind::same:
      *out = Value::same();
      break;
    case ValueKind::integer: {
      int64_t integer;
      if (!reader.zigzag(&integer)) return corrupt("an integer value is malformed");
      *out = Value::integer(integer);
      break;
    }
    case ValueKind::real: {
      uint64_t bits;
      if (!reader.fixed64(&bits) || std::isnan(std::bit_cast<double>(bits))) {
        return corrupt("a real value is malformed");
      }
      *out = Value::real(std::bit_cast<double>(bits));
      break;
    }
    case ValueKind::text:
    case ValueKind::blob: {
      std::string_view bytes;
      if (!reader.bytes(limits::value_bytes_max, &bytes)) {
        return corrupt("a text or blob value is cut short or too long");
      }
      *out =
          kind == static_cast<uint8_t>(ValueKind::text) ? Value::text(bytes) : Value::blob(bytes);
      break;
    }
    default:
      return corrupt("a value has an unknown kind");
  }
  *input = reader.rest();
  return Status();
}

void append_key(std::string* out, RowKey key) {
  for (const Value& value : key) {
    switch (value.kind()) {
      case ValueKind::absent:
      case ValueKind::same:
        out->push_back(static_cast<char>(kKeyAbsent));
        break;
      case ValueKind::null:
        out->push_back(static_cast<char>(kKeyNull));
        break;
      case ValueKind::integer:
        append_key_integer(out, value.as_integer());
        break;
      case ValueKind::real: {
        const uint64_t bits = std::bit_cast<uint64_t>(value.as_real());
        out->push_back(static_cast<char>(kKeyReal));
        append_big_endian(out, (bits & kSignBit) ? ~bits : bits ^ kSignBit, 8);
        break;
      }
      case ValueKind::text:
        out->push_back(static_cast<char>(kKeyText));
        append_escaped(out, value.bytes());
        break;
      case ValueKind::blob:
        out->push_back(static_cast<char>(kKeyBlob));
        append_escaped(out, value.bytes());
        break;
    }
  }
}

std::string encode_key(RowKey key) {
  std::string out;
  append_key(&out, key);
  return out;
}

Status decode_key(std::string_view bytes, Arena* arena, std::vector<Value>* out) {
  out->clear();
  ByteReader reader(bytes);
  while (!reader.at_end()) {
    Value value;
    if (!read_key_element(&reader, arena, &value)) {
      return corrupt("an encoded key is malformed");
    }
    out->push_back(value);
  }
  return Status();
}

std::string value_to_json(const Value& value) {
  switch (value.kind()) {
    case ValueKind::absent:
    case ValueKind::null:
    case ValueKind::same:
      return "null";
    case ValueKind::integer:
      return std::to_string(value.as_integer());
    case ValueKind::real:
      return real_to_json(value.as_real());
    case ValueKind::text: {
      std::string json;
      json.reserve(value.bytes().size() + 2);
      append_json_text(&json, value.bytes());
      return json;
    }
    case ValueKind::blob:
      return blob_to_json(value.bytes());
  }
  return "null";
}

char* Arena::allocate(size_t bytes) {
  // Blocks double from 16 KiB to 1 MiB; a bigger request gets a block of its own size.
  constexpr size_t kFirstBlockBytes = 16 << 10, kBlockBytesMax = 1 << 20;
  bytes = (bytes + 7) & ~size_t{7};  // so that Value arrays are aligned
  for (; block_ < blocks_.size(); ++block_, used_ = 0) {
    const Block& block = blocks_[block_];
    if (block.size - used_ < bytes) continue;
    char* start = block.bytes.get() + used_;
    used_ += bytes;
    return start;
  }
  const size_t doublings = std::min<size_t>(blocks_.size(), 6);
  const size_t size = std::max(bytes, std::min(kFirstBlockBytes << doublings, kBlockBytesMax));
  // Not filled with zeros: that was 28 % of the instructions of many small exchanges.
  blocks_.push_back({std::make_unique_for_overwrite<char[]>(size), size});
  used_ = bytes;
  return blocks_.back().bytes.get();
}

std::string_view Arena::copy(std::string_view bytes) {
  if (bytes.empty()) return std::string_view("", 0);
  char* start = allocate(bytes.size());
  std::memcpy(start, bytes.data(), bytes.size());
  return {start, bytes.size()};
}

Value Arena::copy(const Value& value) {
  if (value.is(ValueKind::text)) return Value::text(copy(value.bytes()));
  if (value.is(ValueKind::blob)) return Value::blob(copy(value.bytes()));
  return value;
}

std::span<Value> Arena::copy(RowKey source) {
  const std::span<Value> result = values(source.size());
  for (size_t i = 0; i < source.size(); ++i)
    result[i] = copy(source[i]);
  return result;
}

std::span<Value> Arena::values(size_t count) {
  if (count == 0) return {};
  Value* start = reinterpret_cast<Value*>(allocate(count * sizeof(Value)));
  std::uninitialized_fill_n(start, count, Value());
  return {start, count};
}

void Arena::clear() {
  // What an ordinary batch needs stays; one that held huge values gives them back.
  constexpr size_t kKeptBytesMax = 4 << 20;
  size_t kept = 0, bytes = 0;
  while (kept < blocks_.size() && (bytes += blocks_[kept].size) <= kKeptBytesMax)
    ++kept;
  blocks_.resize(kept);
  block_ = used_ = 0;
}

}  // namespace syncline
