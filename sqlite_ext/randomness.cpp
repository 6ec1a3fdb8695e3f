// See randomness.h.
#include "sqlite_ext/randomness.h"

#include <sqlite3ext.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "sqlite_ext/simulate/random.h"

SQLITE_EXTENSION_INIT3

namespace syncline {

namespace {

thread_local uint64_t* seeded = nullptr;

}  // namespace

// The kernel's randomness: SQLite's generator gives two forked processes the same numbers.
void fill_random(void* out, size_t size) {
  if (seeded == nullptr) {
    if (getentropy(out, size) != 0) sqlite3_randomness(static_cast<int>(size), out);
    return;
  }
  simulate::Random random(*seeded);
  auto* bytes = static_cast<char*>(out);
  for (size_t done = 0; done < size; done += sizeof(uint64_t)) {
    const uint64_t next = random.next();
    std::memcpy(bytes + done, &next, std::min(sizeof next, size - done));
  }
  *seeded = random.state();
}

SeededRandomness::SeededRandomness(uint64_t* state) : before_(seeded) {
  seeded = state;
}

SeededRandomness::~SeededRandomness() {
  seeded = before_;
}

}  // namespace syncline
