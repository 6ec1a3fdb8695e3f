// Columns of values and runs of numbers inside a chunk: written, and read back with every check.
// Private to chunk_writer.cpp and chunk_reader.cpp; chunk_format.h has the grammar. Inline, since a
// value passes through here in a few nanoseconds.
#pragma once

#include <algorithm>
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
      case ValueKind::blob:
        append_varint(&sizes_, value.bytes().size());
        bytes_.append(value.bytes());
        return value.bytes().size() + 1;
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
    if (!sizes_.empty()) {
      append_bytes(out, sizes_);
      append_bytes(out, bytes_);
    }
  }

 private:
  RunWriter kinds_;
  std::vector<int64_t> integers_;
  uint64_t plain_bytes_ = 0, delta_bytes_ = 0;
  std::string reals_, sizes_, bytes_;
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
    uint64_t integers = 0, reals = 0, texts = 0;
    const auto each = [&](uint64_t kind, uint64_t length) {
      switch (static_cast<ValueKind>(kind)) {
        case ValueKind::integer:
          integers += length;
          return true;
        case ValueKind::real:
          reals += length;
          return true;
        case ValueKind::text:
        case ValueKind::blob:
          texts += length;
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
    if (texts > 0) {
      if (!stream_of(reader, texts, &stream)) return false;
      sizes_ = ByteReader(stream);
      if (!stream_of(reader, 0, &stream)) return false;
      bytes_ = ByteReader(stream);
    }
    return true;
  }

  // REQUIRES: fewer than `count` calls before.
  bool next(Value* out) {
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
        if (!next_bytes(&bytes)) return false;
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
  bool delta_ = false;
};

}  // namespace syncline::chunk_format
