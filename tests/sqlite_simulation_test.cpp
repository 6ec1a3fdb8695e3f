// Seeded simulation of two to eight SQLite databases on random schemas, with every fault we know of
// and an oracle of true causality: sqlite_ext/simulate. Goal: nothing that was written is lost, and
// everyone comes to the same.
//
//   SYNCLINE_SEED=n   runs that seed alone
//   SYNCLINE_SEEDS=n  runs n seeds (default 30, or 6 if SYNCLINE_QUICK is set), from
//                     SYNCLINE_FIRST (default 0)
//   SYNCLINE_BUILD_SEED=n  two of three seeds count from there: others for each commit
//   SYNCLINE_STEPS=n  steps of a run before all is calm (default 120)
//   SYNCLINE_STOP=n   ends after n seeds that fail (default 3)
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "sqlite_ext/simulate/simulate.h"
#include "sqlite_ext/simulate/site.h"
#include "support/catch.hpp"
#include "support/prng.hpp"
#include "support/random_blueprint.hpp"

using namespace syncline;
using test::number_from_env;

namespace {

struct Totals {
  uint64_t seeds = 0, operations = 0, writes = 0;
};

// Whether the seed held.
bool run(uint64_t seed, Totals* totals) {
  simulate::RunOptions options;
  options.policies = seed % 3 == 0;
  options.steps = static_cast<uint32_t>(number_from_env("SYNCLINE_STEPS", options.steps));
  options.shrink_ms = number_from_env("SYNCLINE_SHRINK_MS", 10'000);
  const simulate::Outcome outcome =
      simulate::run_seed(test::random_blueprint(seed), options, seed, [] { return false; });
  ++totals->seeds;
  totals->operations += outcome.operations;
  totals->writes += outcome.writes;
  if (!outcome.failure) return true;
  std::printf("%s", outcome.script.c_str());
  FAIL_CHECK("SYNCLINE_SEED=" << seed << " fails: " << outcome.failure.kind << ": "
                              << outcome.failure.text);
  return false;
}

}  // namespace

TEST_CASE("sqlite_simulation: a site that is killed holds what it committed", "[simulation]") {
  for (const char* journal : {"delete", "truncate", "persist", "wal"}) {
    simulate::Site site(1);
    REQUIRE(site.open({journal, 10, true}).ok());
    // The pages that are undone are many, have left the cache, and one was changed again there.
    for (const char* sql :
         {"CREATE TABLE t(id INTEGER PRIMARY KEY, x)", "INSERT INTO t VALUES(1, 1), (2, 2)",
          "BEGIN", "UPDATE t SET x = 'first' WHERE id = 1", "SAVEPOINT inner",
          "WITH RECURSIVE n(i) AS (VALUES(3) UNION ALL SELECT i + 1 FROM n WHERE i < 400) "
          "INSERT INTO t SELECT i, printf('%1000d', i) FROM n",
          "UPDATE t SET x = printf('%1000d', 0) WHERE id > 300",
          "UPDATE t SET x = printf('%1000d', 1) WHERE id > 300", "ROLLBACK TO inner", "COMMIT",
          "UPDATE t SET x = 'later' WHERE id = 2"}) {
      REQUIRE(site.run(sql).ok());
    }
    REQUIRE(site.reopen(site.disk().copy()).ok());
    std::string found;
    REQUIRE(site.value("SELECT group_concat(x) FROM t", &found).ok());
    INFO(journal);
    CHECK(found == "first,later");
  }
}

// What they found has a test of its own where it could be said in few words.
TEST_CASE("sqlite_simulation: seeds that once failed", "[simulation]") {
  if (std::getenv("SYNCLINE_SEED") != nullptr) return;
  Totals totals;
  for (const uint64_t seed : {650036, 660269, 660705})
    run(seed, &totals);
  CHECK(totals.seeds == 3);
}

TEST_CASE("sqlite_simulation: sites stay true under faults and come together", "[simulation]") {
  const uint64_t one = number_from_env("SYNCLINE_SEED", UINT64_MAX);
  const uint64_t first = one != UINT64_MAX ? one : number_from_env("SYNCLINE_FIRST", 0);
  const uint64_t usual = std::getenv("SYNCLINE_QUICK") != nullptr ? 6 : 30;
  const uint64_t count = one != UINT64_MAX ? 1 : number_from_env("SYNCLINE_SEEDS", usual);
  const uint64_t build = number_from_env("SYNCLINE_BUILD_SEED", 0);
  uint64_t failures_left = number_from_env("SYNCLINE_STOP", 3);
  Totals totals;
  const auto began = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < count && failures_left > 0; ++i) {
    const bool of_build = build != 0 && one == UINT64_MAX && i % 3 != 0;
    if (!run(of_build ? build + i : first + i, &totals)) --failures_left;
    std::fflush(stdout);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("sqlite_simulation: %llu seeds from %llu (build seed %llu), %llu operations, "
              "%.0f a second; %llu writes\n",
              static_cast<unsigned long long>(totals.seeds), static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(build),
              static_cast<unsigned long long>(totals.operations),
              static_cast<double>(totals.operations) / took.count(),
              static_cast<unsigned long long>(totals.writes));
}
