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

void install() {
  static const bool installed = [] {
    scarce_memory::install();
    return true;
  }();
  REQUIRE(installed);
}

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
  install();
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

constexpr char kNotes[] = "CREATE TABLE note(id TEXT PRIMARY KEY, body INTEGER UNIQUE);"
                          "SELECT sync_enable('note');";

// Each allocation of each call fails in turn; of long calls some of the later ones, in a short run.
// What a call changes is rolled back.
TEST_CASE("memory: each allocation of a short call fails", "[faults]") {
  install();
  SqliteFile db(":memory:"), other(":memory:");
  REQUIRE(other.run(kNotes));
  REQUIRE(other.run("INSERT INTO note VALUES('a', 5), ('b', 6); SELECT sync_hello()"));
  const auto chunk = other.value("SELECT hex(changes) FROM sync_changes_since('{}')");
  REQUIRE(chunk.has_value());
  REQUIRE(db.run(kNotes));
  REQUIRE(db.run("INSERT INTO note VALUES('a', 1), ('c', 6); SELECT sync_hello();"
                 "UPDATE note SET body=2 WHERE id='a'; SELECT sync_hello();"
                 "SELECT sync_set_policy('note', 'body', 'sql:max(a, b)')"));
  const std::string apply = "SELECT sync_apply(x'" + *chunk + "'); ";
  const std::string calls[] = {
      "SELECT sync_enable('note')",
      "SELECT sync_enable(NULL)",
      "SELECT sync_schema()",
      "SELECT sync_version_vector()",
      "SELECT sync_digest('note')",
      "SELECT count(*) FROM sync_explain('note', 'a')",
      "SELECT count(*) FROM sync_check()",
      "SELECT sync_check()",
      "SELECT count(*) FROM sync_suggest_policies()",
      "SELECT count(*) FROM sync_sites",
      "SELECT count(*) FROM sync_site_matrix",
      "SELECT count(*) FROM sync_inspect(x'" + *chunk + "')",
      "SELECT sync_set_policy('note', 'body', 'nonsense')",
      "SELECT sync_maintain()",
      "UPDATE note SET body=body+10; SELECT sync_hello()",
      apply + "SELECT count(*) FROM sync_conflicts",
      apply + "SELECT sync_set_policy('note', 'body', 'max')",
      apply + "SELECT sync_resolve_all('{}', 'local')",
      "CREATE TABLE more(id INTEGER PRIMARY KEY); SELECT sync_enable('more')",
  };
  const auto content = [&] {
    const char vector[] = "SELECT sync_version_vector()";
    return db.value("SELECT json_group_array(id || body) FROM note").value_or("") +
           db.value(vector).value_or(db.error());
  };
  const std::string before = content();
  const bool all = number_from_env("SYNCLINE_CRASH_SECONDS", 0) > 0;
  for (const std::string& call : calls) {
    bool struck = true;
    for (uint64_t at = 1; struck; at += all || at < 1500 ? 1 : at / 50) {
      INFO(call << ", allocation " << at);
      REQUIRE(db.run("BEGIN"));
      scarce_memory::arm(at, false);
      sqlite3_exec(db.db(), call.c_str(), nullptr, nullptr, nullptr);
      scarce_memory::disarm();
      struck = scarce_memory::struck();
      if (sqlite3_get_autocommit(db.db()) == 0) REQUIRE(db.run("ROLLBACK"));
      if (!struck || at % 50 == 0) REQUIRE(content() == before);
    }
  }
}

TEST_CASE("memory: one allocation fails", "[faults]") {
  try_all(false);
}
TEST_CASE("memory: there is no more of it", "[faults]") {
  try_all(true);
}

}  // namespace
}  // namespace syncline::test
