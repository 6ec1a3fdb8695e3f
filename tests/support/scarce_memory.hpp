// Memory that runs out on order: SQLite's allocator and operator new of the whole program, whose
// k-th allocation fails. Link support/scarce_memory.cpp and call install() before SQLite is used.
// Not for several threads.
#pragma once

#include <cstdint>

namespace syncline::test::scarce_memory {

// SQLite then takes every byte from here: no lookaside memory.
void install();
// The `at`-th allocation from now on, counted from 1, fails; `lasting`: and all that follow.
void arm(uint64_t at, bool lasting);
void disarm();
uint64_t allocations();  // since arm
bool struck();

}  // namespace syncline::test::scarce_memory
