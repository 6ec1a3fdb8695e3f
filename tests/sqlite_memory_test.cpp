// Goal: when memory runs out in the middle of a call, an error comes back, nothing crashes, the
// database is as before the call or as after it, and the connection works on. Method: the k-th
// allocation of SQLite or of ours fails, once or from there on, for many k (at random, for as long
// as SYNCLINE_CRASH_SECONDS says); then the questions that are asked after a bad disk.
#include <chrono>
#include <iostream>

#include "support/catch.hpp"
#include "support/fault_trial.hpp"
#include "support/prng.hpp"
#include "support/scarce_memory.hpp"

namespace syncline::test {
namespace {

Trouble trouble_with_memory(uint64_t at, bool lasting) {
  Trouble trouble;
  trouble.of_memory = true;
  trouble.name = "allocation " + std::to_string(at) + (lasting ? " and later ones fail" : " fails");
  trouble.begin = [at, lasting] { scarce_memory::arm(at, lasting); };
  trouble.end = [] { scarce_memory::disarm(); };
  trouble.struck = [] { return scarce_memory::struck(); };
  return trouble;
}

// The first allocations of a work are those of a call's beginning; the others are drawn.
uint64_t draw(uint64_t trial, uint64_t count, Prng* prng) {
  return trial < 6 ? 1 + trial * 7 : 1 + prng->below(count);
}

void try_all(bool lasting) {
  const auto seconds = static_cast<double>(number_from_env("SYNCLINE_CRASH_SECONDS", 0));
  const uint64_t seed = number_from_env("SYNCLINE_SEED", 1);
  const auto begin = std::chrono::steady_clock::now();
  const auto spent = [&] {
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    return time.count();
  };
  static const bool installed = [] {
    scarce_memory::install();
    return true;
  }();
  REQUIRE(installed);
  Prng prng(seed);
  uint64_t trials = 0, allocations = 0;
  do {
    for (const FaultSetup& setup : {kFaultSetups[1], kFaultSetups[2]}) {
      FaultPair pair(setup, scratch_folder());
      for (const FaultWork& work : kFaultWorks) {
        const std::string after = content_after(
            &pair, work, [] { scarce_memory::arm(UINT64_MAX, false); },
            [] { scarce_memory::disarm(); });
        const uint64_t count = scarce_memory::allocations();
        allocations += count;
        for (uint64_t trial = 0; trial < (seconds > 0 ? 500 : 14); ++trial, ++trials) {
          const uint64_t at = draw(trial, count, &prng);
          run_trial(&pair, setup, work, trouble_with_memory(at, lasting), after);
          if (seconds > 0 && spent() > seconds) break;
        }
      }
    }
  } while (spent() < seconds);
  std::cout << (lasting ? "memory is used up: " : "an allocation fails: ") << trials
            << " trials over works of " << allocations << " allocations in " << spent()
            << " s, seed " << seed << "\n";
}

TEST_CASE("memory: one allocation fails", "[faults]") {
  try_all(false);
}
TEST_CASE("memory: there is no more of it", "[faults]") {
  try_all(true);
}

}  // namespace
}  // namespace syncline::test
