#include "syncline/codec.h"

#include <xxhash.h>

namespace syncline {

void append_varint(std::string* out, uint64_t value) {
  char bytes[10];
  size_t size = 0;
  while (value >= 0x80) {
    bytes[size++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  bytes[size++] = static_cast<char>(value);
  out->append(bytes, size);
}

void append_zigzag(std::string* out, int64_t value) {
  append_varint(out, static_cast<uint64_t>(value) << 1 ^ static_cast<uint64_t>(value >> 63));
}

void append_fixed64(std::string* out, uint64_t value) {
  char bytes[8];
  for (char& byte : bytes) {
    byte = static_cast<char>(value);
    value >>= 8;
  }
  out->append(bytes, sizeof bytes);
}

void append_bytes(std::string* out, std::string_view bytes) {
  append_varint(out, bytes.size());
  out->append(bytes);
}

bool ByteReader::varint(uint64_t* out) {
  uint64_t value = 0;
  const size_t size_max = rest_.size() < 10 ? rest_.size() : 10;
  for (size_t i = 0; i < size_max; ++i) {
    const uint64_t byte = static_cast<uint8_t>(rest_[i]);
    // The tenth byte holds one bit.
    if (i == 9 && byte > 1) return false;
    value |= (byte & 0x7f) << (7 * i);
    if (byte >= 0x80) continue;
    // One number, one spelling: no leading zeros.
    if (byte == 0 && i > 0) return false;
    rest_.remove_prefix(i + 1);
    *out = value;
    return true;
  }
  return false;
}

bool ByteReader::zigzag(int64_t* out) {
  uint64_t value;
  if (!varint(&value)) return false;
  *out = static_cast<int64_t>(value >> 1 ^ (~(value & 1) + 1));
  return true;
}

bool ByteReader::fixed64(uint64_t* out) {
  if (rest_.size() < 8) return false;
  uint64_t value = 0;
  for (size_t i = 8; i-- > 0;)
    value = value << 8 | static_cast<uint8_t>(rest_[i]);
  rest_.remove_prefix(8);
  *out = value;
  return true;
}

bool ByteReader::byte(uint8_t* out) {
  if (rest_.empty()) return false;
  *out = static_cast<uint8_t>(rest_.front());
  rest_.remove_prefix(1);
  return true;
}

bool ByteReader::view(uint64_t size, std::string_view* out) {
  if (size > rest_.size()) return false;
  *out = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return true;
}

bool ByteReader::bytes(uint64_t size_max, std::string_view* out) {
  const std::string_view before = rest_;
  uint64_t size;
  if (varint(&size) && size <= size_max && view(size, out)) return true;
  rest_ = before;
  return false;
}

std::string hash128(std::string_view bytes) {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits(bytes.data(), bytes.size()));
  return std::string(reinterpret_cast<const char*>(canonical.digest), sizeof canonical.digest);
}

}  // namespace syncline
