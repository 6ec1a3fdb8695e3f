// See scarce_memory.hpp.
#include "support/scarce_memory.hpp"

#include <sqlite3.h>

#include <atomic>
#include <cstdlib>
#include <new>

namespace syncline::test::scarce_memory {

namespace {

bool lasts = false;
uint64_t fails_at = 0;
// The two sides of a sync allocate on threads of their own.
std::atomic<bool> armed = false, hit = false;
std::atomic<uint64_t> counted = 0;

bool fails() {
  if (!armed) return false;
  const uint64_t now = ++counted;
  const bool bad = lasts ? now >= fails_at : now == fails_at;
  if (bad) hit = true;
  return bad;
}

sqlite3_mem_methods usual;

void* allocate(int size) {
  return fails() ? nullptr : usual.xMalloc(size);
}
void* resize(void* memory, int size) {
  return fails() ? nullptr : usual.xRealloc(memory, size);
}

}  // namespace

void install() {
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &usual);
  sqlite3_mem_methods methods = usual;
  methods.xMalloc = allocate;
  methods.xRealloc = resize;
  sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
  sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
  sqlite3_config(SQLITE_CONFIG_PAGECACHE, nullptr, 0, 0);
}

void arm(uint64_t at, bool lasting) {
  fails_at = at;
  lasts = lasting;
  counted = 0;
  hit = false;
  armed = true;
}
void disarm() {
  armed = false;
}
uint64_t allocations() {
  return counted;
}
bool struck() {
  return hit;
}

}  // namespace syncline::test::scarce_memory

// The JSON library forgets a value that it was building when memory ends. The sanitizer's library
// must see the name.
extern "C" __attribute__((visibility("default"))) const char* __lsan_default_suppressions() {
  return "leak:nlohmann";
}

// The library's other forms call these, but a sanitizer has its own of each.
void* operator new(size_t size) {
  if (syncline::test::scarce_memory::fails()) throw std::bad_alloc();
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  if (syncline::test::scarce_memory::fails()) return nullptr;
  return std::malloc(size == 0 ? 1 : size);
}
void* operator new[](size_t size) {
  return operator new(size);
}
void* operator new[](size_t size, const std::nothrow_t& nothrow) noexcept {
  return operator new(size, nothrow);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, size_t) noexcept {
  std::free(memory);
}
