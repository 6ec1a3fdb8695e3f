// libFuzzer's entry for one target: SYNCLINE_FUZZ_TARGET.
#include <cstddef>
#include <cstdint>

#include "fuzz/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  syncline::fuzz::SYNCLINE_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
