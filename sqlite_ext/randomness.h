// Random numbers: the kernel's or, while a simulation runs, those that follow from its seed.
#pragma once

#include <cstddef>
#include <cstdint>

namespace syncline {

void fill_random(void* out, size_t size);

// While one lives, fill_random gives this thread numbers that follow from *state. Only C++ code
// can make one: nothing in SQL reaches it.
class SeededRandomness {
 public:
  // REQUIRES: `state` outlives it.
  explicit SeededRandomness(uint64_t* state);
  ~SeededRandomness();
  SeededRandomness(const SeededRandomness&) = delete;
  SeededRandomness& operator=(const SeededRandomness&) = delete;

 private:
  uint64_t* before_;
};

}  // namespace syncline
