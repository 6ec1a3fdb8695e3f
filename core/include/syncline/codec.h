// Building blocks of every byte format: varints, zigzag, fixed-width little-endian, bounded reads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "syncline/status.h"

namespace syncline {

// LEB128: seven bits a byte, least significant first; at most 10 bytes.
void append_varint(std::string* out, uint64_t value);
void append_zigzag(std::string* out, int64_t value);
void append_fixed64(std::string* out, uint64_t value);
void append_bytes(std::string* out, std::string_view bytes);  // varint length, then the bytes

// A cursor over bytes from outside. Every read is checked; one that fails moves nothing.
// One number has one spelling: a varint with superfluous bytes is refused.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  [[nodiscard]] bool varint(uint64_t* out);
  [[nodiscard]] bool zigzag(int64_t* out);
  [[nodiscard]] bool fixed64(uint64_t* out);
  [[nodiscard]] bool byte(uint8_t* out);
  // A view of exactly `size` bytes.
  [[nodiscard]] bool view(uint64_t size, std::string_view* out);
  // A varint length of at most `size_max`, then a view of that many bytes.
  [[nodiscard]] bool bytes(uint64_t size_max, std::string_view* out);
  bool at_end() const { return rest_.empty(); }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

// XXH3-128 of bytes, canonical (big-endian) form. xxHash specification, section XXH3.
std::string hash128(std::string_view bytes);

}  // namespace syncline
