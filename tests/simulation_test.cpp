// Seeded simulation of two to five databases on the real core. See support/simulation.hpp for what
// is done to them and what must hold.
//
//   SYNCLINE_SEED=n   runs that seed alone
//   SYNCLINE_SEEDS=n  runs n seeds (default 150, or 40 if SYNCLINE_QUICK is set), from
//                     SYNCLINE_FIRST (default 0)
//   SYNCLINE_BUILD_SEED=n  two of three seeds count from there: others for each commit
//   SYNCLINE_STEPS=n  steps of a run (default 250)
//   SYNCLINE_STOP=n   ends after n seeds that fail (default 10)
//   SYNCLINE_TRACE=1  tells on standard error what is done
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "support/catch.hpp"
#include "support/simulation.hpp"

using namespace syncline::test;

TEST_CASE("simulation: sites stay true under faults and come together", "[simulation]") {
  const int steps = static_cast<int>(number_from_env("SYNCLINE_STEPS", 250));
  const uint64_t one = number_from_env("SYNCLINE_SEED", UINT64_MAX);
  const uint64_t first = one != UINT64_MAX ? one : number_from_env("SYNCLINE_FIRST", 0);
  const uint64_t usual = std::getenv("SYNCLINE_QUICK") != nullptr ? 40 : 150;
  const uint64_t count = one != UINT64_MAX ? 1 : number_from_env("SYNCLINE_SEEDS", usual);
  const uint64_t build = one != UINT64_MAX ? 0 : number_from_env("SYNCLINE_BUILD_SEED", 0);
  uint64_t failures_left = number_from_env("SYNCLINE_STOP", 10);
  uint64_t operations = 0;
  const auto began = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < count && failures_left > 0; ++i) {
    const uint64_t seed = build != 0 && i % 3 != 0 ? build + i : first + i;
    std::string broken;
    try {
      Simulation simulation(seed);
      broken = simulation.run(steps);
      operations += simulation.operations();
    } catch (const std::exception& error) {
      broken = std::string("exception: ") + error.what();
    }
    if (broken.empty()) continue;
    --failures_left;
    FAIL_CHECK("SYNCLINE_SEED=" << seed << " fails: " << broken);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("simulation: %llu seeds from %llu (build seed %llu), %llu operations, "
              "%.0f a second\n",
              static_cast<unsigned long long>(count), static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(build), static_cast<unsigned long long>(operations),
              static_cast<double>(operations) / took.count());
}
