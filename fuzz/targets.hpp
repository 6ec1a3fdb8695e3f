// What is fuzzed: functions of bytes that must neither crash nor break their promises, whatever
// the bytes. A broken promise is a trap, see require_that.hpp.
//
//   make fuzz SECONDS=600        libFuzzer with ASan and UBSan, needs clang
//   tests/fuzz_replay_test.cpp   the corpus, and inputs made from it, with any compiler
//
// One line for each target; fuzz/corpus/<target> holds its seeds.
#pragma once

#include <string>
#include <string_view>

// clang-format off
#define SYNCLINE_FUZZ_TARGETS                                           \
  X(chunk)         /* the decoder: a chunk, its checksum made right */  \
  X(chunk_recipe)  /* a chunk made from the input: written, read */     \
  X(apply)         /* sync_apply of a chunk to a SQLite database */     \
  X(apply_recipe)  /* of a chunk made from the input */                 \
  X(vector)        /* version vectors: JSON, bytes */                   \
  X(options)       /* options as JSON */                                \
  X(token)         /* resume tokens */                                  \
  X(hello)         /* greetings and reports of a peer */                \
  X(row_state)     /* packed rows */                                    \
  X(cell)          /* notes of a cell, and merging by them */           \
  X(expression)    /* expressions of sql: policies */
// clang-format on

namespace syncline::fuzz {

#define X(name) void name(std::string_view input);
SYNCLINE_FUZZ_TARGETS
#undef X

struct Target {
  const char* name;
  void (*run)(std::string_view input);
};
inline constexpr Target kTargets[] = {
#define X(name) {#name, name},
    SYNCLINE_FUZZ_TARGETS
#undef X
};

}  // namespace syncline::fuzz
