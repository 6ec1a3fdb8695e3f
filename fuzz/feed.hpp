// The input as a source of decisions: what structured inputs are made from. When it is used up, it
// gives zeros.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "syncline/limits.h"
#include "syncline/value.h"

namespace syncline::fuzz {

class Feed {
 public:
  explicit Feed(std::string_view bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto out = static_cast<uint8_t>(rest_[0]);
    rest_.remove_prefix(1);
    return out;
  }
  uint64_t below(uint64_t bound) { return bound <= 256 ? byte() % bound : word() % bound; }
  bool chance() { return (byte() & 1) != 0; }
  uint64_t word() {
    uint64_t out = 0;
    for (int i = 0; i < 8; ++i)
      out = out << 8 | byte();
    return out;
  }
  // Small ones, and those at which something turns over.
  uint64_t number() {
    static constexpr uint64_t kEdges[] = {0,
                                          1,
                                          127,
                                          128,
                                          (uint64_t{1} << 31) - 1,
                                          uint64_t{1} << 32,
                                          limits::seq_max - 1,
                                          limits::seq_max,
                                          limits::seq_max + 1,
                                          limits::hlc_max - 1,
                                          limits::hlc_max,
                                          uint64_t{1} << 63,
                                          UINT64_MAX};
    const uint8_t kind = byte();
    if (kind < 128) return kind % 12;
    if (kind < 200) return kEdges[kind % std::size(kEdges)];
    return word();
  }
  std::string_view bytes(size_t size_max) {
    const size_t wanted = below(size_max + 1);  // takes bytes itself
    const size_t size = std::min(wanted, rest_.size());
    const std::string_view out = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return out;
  }
  std::string_view rest() {
    const std::string_view out = rest_;
    rest_ = {};
    return out;
  }
  // Views point into the input, or last for ever. No absent, no same.
  Value value() {
    static constexpr std::string_view kTexts[] = {"",
                                                  "1",
                                                  "01",
                                                  "1e999",
                                                  "NaN",
                                                  "-0",
                                                  "[1,2]",
                                                  "{}",
                                                  "{\"k\":[1]}",
                                                  "Infinity",
                                                  "\xff\xfe",
                                                  "a'b\"c",
                                                  "-9223372036854775809",
                                                  "2026-02-30",
                                                  "true",
                                                  "line\nline\n"};
    switch (byte() % 8) {
      case 0:
        return Value::null();
      case 1:
        return Value::integer(byte() % 8);
      case 2:
        return Value::integer(static_cast<int64_t>(number()));
      case 3:
        return Value::real(static_cast<double>(static_cast<int64_t>(number())) / 3);
      case 4:
        return Value::real(chance() ? 1e308 * 10 : -0.0);
      case 5:
        return Value::text(kTexts[byte() % std::size(kTexts)]);
      case 6:
        return Value::text(bytes(24));
      default:
        return Value::blob(bytes(24));
    }
  }

 private:
  std::string_view rest_;
};

}  // namespace syncline::fuzz
