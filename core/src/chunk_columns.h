// Columns of values and runs of numbers inside a chunk: written, and read back with every check.
// Private to chunk_writer.cpp and chunk_reader.cpp; chunk_format.h has the grammar. Inline, since a
// value passes through here in a few nanoseconds.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "chunk_format.h"
#include "syncline/codec.h"
#include "syncline/limits.h"
#include "syncline/value.h"

namespace syncline::chunk_format {

inline size_t varint_size(uint64_t value) {
  return (std::bit_width(value | 1) + 6) / 7;
}

inline uint64_t zigzag(int64_t value) {
  return static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63);
}

inline int64_t wrapping_difference(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

// A uuid as text is 36 characters; packed it is 16 bytes. Keys are often uuids.
inline constexpr size_t kUuidTextBytes = 36, kUuidBytes = 16;
// Where the first digit of each packed byte stands in the text.
inline constexpr uint8_t kUuidDigits[kUuidBytes] = {0,  2,  4,  6,  9,  11, 14, 16,
                                                    19, 21, 24, 26, 28, 30, 32, 34};

// The value of a lower-case hex digit; 16 for anything else.
inline constexpr std::array<uint8_t, 256> kHexValues = [] {
  std::array<uint8_t, 256> values{};
  values.fill(16);
  for (uint8_t digit = 0; digit < 16; ++digit) {
    values[static_cast<uint8_t>("0123456789abcdef"[digit])] = digit;
  }
  return values;
}();

// False unless `text` is a uuid in the one spelling that unpack_uuid gives.
inline bool pack_uuid(std::string_view text, char* out) {
  if (text.size() != kUuidTextBytes) return false;
  if (text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-') return false;
  uint8_t bad = 0;
  for (size_t i = 0; i < kUuidBytes; ++i) {
    const uint8_t high = kHexValues[static_cast<uint8_t>(text[kUuidDigits[i]])];
    const uint8_t low = kHexValues[static_cast<uint8_t>(text[kUuidDigits[i] + 1])];
    bad |= high | low;
    out[i] = static_cast<char>(high << 4 | low);
  }
  return (bad & 16) == 0;
}

inline void unpack_uuid(std::string_view packed, char* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out[8] = out[13] = out[18] = out[23] = '-';
  for (size_t i = 0; i < kUuidBytes; ++i) {
    const uint8_t byte = static_cast<uint8_t>(packed[i]);
    out[kUuidDigits[i]] = kHex[byte >> 4];
    out[kUuidDigits[i] + 1] = kHex[byte & 15];
  }
}

// Collects runs of equal numbers.
class RunWriter {
 public:
  void add(uint64_t value) {
    if (!runs_.empty() && runs_.back().value == value) {
      ++runs_.back().length;
    } else {
      runs_.push_back({value, 1});
    }
  }
  bool empty() const { return runs_.empty(); }
  size_t size() const { return runs_.size(); }
  // Writes the stream with each number replaced by map(number).
  template <typename Map>
  void write(std::string* out, Map map) const {
    std::string stream;
    for (const Run& run : runs_) {
      append_varint(&stream, map(run.value));
      append_varint(&stream, run.length);
    }
    append_bytes(out, stream);
  }
  void write(std::string* out) const {
    write(out, [](uint64_t value) { return value; });
  }

 private:
  struct Run {
    uint64_t value, length;
  };
  std::vector<Run> runs_;
};

// Collects the values of one column, split by what compresses together.
class ColumnWriter {
 public:
  // Returns about how many bytes the value adds.
  size_t add(const Value& value) {
    kinds_.add(static_cast<uint64_t>(value.kind()));
    switch (value.kind()) {
      case ValueKind::integer: {
        const int64_t before = integers_.empty() ? 0 : integers_.back();
        const size_t plain = varint_size(zigzag(value.as_integer()));
        const size_t delta = varint_size(zigzag(wrapping_difference(value.as_integer(), before)));
        integers_.push_back(value.as_integer());
        plain_bytes_ += plain;
        delta_bytes_ += delta;
        return std::min(plain, delta);
      }
      case ValueKind::real:
        append_fixed64(&reals_, std::bit_cast<uint64_t>(value.as_real()));
        return 8;
      case ValueKind::text:
        return add_bytes(value.bytes(), true);
      case ValueKind::blob:
        return add_bytes(value.bytes(), false);
      default:
        return 0;
    }
  }

  void write(std::string* out) const {
    if (kinds_.empty()) return;
    kinds_.write(out);
    if (!integers_.empty()) {
      const bool delta = delta_bytes_ < plain_bytes_;
      out->push_back(static_cast<char>(delta ? kIntegerDelta : kIntegerPlain));
      append_varint(out, delta ? delta_bytes_ : plain_bytes_);
      int64_t before = 0;
      for (int64_t integer : integers_) {
        append_zigzag(out, delta ? wrapping_difference(integer, before) : integer);
        before = integer;
      }
    }
    out->append(reals_);
    write_bytes(out);
  }

 private:
  size_t add_bytes(std::string_view bytes, bool text) {
    if (all_uuids_) {
      char packed[kUuidBytes];
      if (text && pack_uuid(bytes, packed)) {
        uuids_.append(packed, kUuidBytes);
        return kUuidBytes;
      }
      unpack_uuids();
    }
    append_varint(&sizes_, bytes.size());
    bytes_.append(bytes);
    return bytes.size() + 1;
  }

  // Not all are uuids after all.
  void unpack_uuids() {
    all_uuids_ = false;
    for (size_t at = 0; at < uuids_.size(); at += kUuidBytes) {
      char text[kUuidTextBytes];
      unpack_uuid(std::string_view(uuids_).substr(at, kUuidBytes), text);
      append_varint(&sizes_, kUuidTextBytes);
      bytes_.append(text, kUuidTextBytes);
    }
    uuids_.clear();
  }

  void write_bytes(std::string* out) const {
    if (all_uuids_ && !uuids_.empty()) {
      out->push_back(static_cast<char>(kBytesUuid));
      out->append(uuids_);
    } else if (!sizes_.empty()) {
      out->push_back(static_cast<char>(kBytesPlain));
      append_bytes(out, sizes_);
      append_bytes(out, bytes_);
    }
  }

  RunWriter kinds_;
  std::vector<int64_t> integers_;
  uint64_t plain_bytes_ = 0, delta_bytes_ = 0;
  std::string reals_, sizes_, bytes_;
  std::string uuids_;  // instead of sizes_ and bytes_, as long as all are uuids
  bool all_uuids_ = true;
};

// Runs of equal numbers, checked as a whole before the first is used.
class RunReader {
 public:
  // Reads a stream. Fails unless numbers are below `value_end` and lengths sum up to `count`;
  // `each(value, length)` sees every run.
  template <typename Each>
  bool open(ByteReader* reader, uint64_t value_end, uint64_t count, Each each) {
    std::string_view stream;
    if (!reader->bytes(limits::chunk_body_bytes_max, &stream)) return false;
    ByteReader check(stream);
    uint64_t left = count;
    while (!check.at_end()) {
      uint64_t value, length;
      if (!check.varint(&value) || !check.varint(&length)) return false;
      if (value >= value_end || length == 0 || length > left) return false;
      left -= length;
      if (!each(value, length)) return false;
    }
    runs_ = ByteReader(stream);
    left_ = 0;
    return left == 0;
  }

  // REQUIRES: fewer than `count` calls before.
  uint64_t next() {
    if (left_ == 0 && (!runs_.varint(&value_) || !runs_.varint(&left_))) return 0;
    --left_;
    return value_;
  }

 private:
  ByteReader runs_{std::string_view()};
  uint64_t value_ = 0, left_ = 0;
};

// Reads the values of one column.
class ColumnReader {
 public:
  bool open(ByteReader* reader, uint64_t count, bool is_key) {
    uint64_t integers = 0, reals = 0, texts = 0, blobs = 0;
    const auto each = [&](uint64_t kind, uint64_t length) {
      switch (static_cast<ValueKind>(kind)) {
        case ValueKind::integer:
          integers += length;
          return true;
        case ValueKind::real:
          reals += length;
          return true;
        case ValueKind::text:
          texts += length;
          return true;
        case ValueKind::blob:
          blobs += length;
          return true;
        default:
          return !is_key;
      }
    };
    if (!kinds_.open(reader, static_cast<uint64_t>(ValueKind::same), count, each)) return false;
    std::string_view stream;
    if (integers > 0) {
      uint8_t mode;
      if (!reader->byte(&mode) || mode > kIntegerDelta || !stream_of(reader, integers, &stream)) {
        return false;
      }
      integers_ = ByteReader(stream);
      delta_ = mode == kIntegerDelta;
    }
    if (reals > 0) {
      if (reals > reader->rest().size() / 8 || !reader->view(reals * 8, &stream)) return false;
      reals_ = ByteReader(stream);
    }
    return texts + blobs == 0 || open_bytes(reader, texts, blobs);
  }

  // The bytes of the value live in the body, or in `arena`. REQUIRES: fewer than `count` calls
  // before.
  bool next(Arena* arena, Value* out) {
    switch (static_cast<ValueKind>(kinds_.next())) {
      case ValueKind::absent:
        *out = Value();
        return true;
      case ValueKind::null:
        *out = Value::null();
        return true;
      case ValueKind::integer: {
        int64_t integer;
        if (!integers_.zigzag(&integer)) return false;
        if (delta_) {
          before_ += static_cast<uint64_t>(integer);
          integer = static_cast<int64_t>(before_);
        }
        *out = Value::integer(integer);
        return true;
      }
      case ValueKind::real: {
        uint64_t bits;
        if (!reals_.fixed64(&bits) || std::isnan(std::bit_cast<double>(bits))) return false;
        *out = Value::real(std::bit_cast<double>(bits));
        return true;
      }
      case ValueKind::text: {
        std::string_view bytes;
        if (!(uuids_ ? next_uuid(arena, &bytes) : next_bytes(&bytes))) return false;
        *out = Value::text(bytes);
        return true;
      }
      default: {
        std::string_view bytes;
        if (!next_bytes(&bytes)) return false;
        *out = Value::blob(bytes);
        return true;
      }
    }
  }

  // All values have been read: nothing may be left.
  bool at_end() const {
    return integers_.at_end() && reals_.at_end() && sizes_.at_end() && bytes_.at_end();
  }

 private:
  bool open_bytes(ByteReader* reader, uint64_t texts, uint64_t blobs) {
    uint8_t mode;
    std::string_view stream;
    if (!reader->byte(&mode)) return false;
    if (mode == kBytesUuid) {
      uuids_ = true;
      if (blobs > 0 || texts > reader->rest().size() / kUuidBytes ||
          !reader->view(texts * kUuidBytes, &stream)) {
        return false;
      }
      bytes_ = ByteReader(stream);
      return true;
    }
    if (mode != kBytesPlain || !stream_of(reader, texts + blobs, &stream)) return false;
    sizes_ = ByteReader(stream);
    if (!stream_of(reader, 0, &stream)) return false;
    bytes_ = ByteReader(stream);
    return true;
  }
  bool next_uuid(Arena* arena, std::string_view* out) {
    std::string_view packed;
    if (!bytes_.view(kUuidBytes, &packed)) return false;
    char text[kUuidTextBytes];
    unpack_uuid(packed, text);
    *out = arena->copy(std::string_view(text, kUuidTextBytes));
    return true;
  }
  // A stream of at least `count` bytes: one for each number in it.
  static bool stream_of(ByteReader* reader, uint64_t count, std::string_view* out) {
    return reader->bytes(limits::chunk_body_bytes_max, out) && out->size() >= count;
  }
  bool next_bytes(std::string_view* out) {
    uint64_t size;
    return sizes_.varint(&size) && size <= limits::value_bytes_max && bytes_.view(size, out);
  }

  RunReader kinds_;
  ByteReader integers_{std::string_view()}, reals_{std::string_view()};
  ByteReader sizes_{std::string_view()}, bytes_{std::string_view()};
  uint64_t before_ = 0;
  bool delta_ = false, uuids_ = false;
};

}  // namespace syncline::chunk_format
