// Goal: whatever the disk does in the middle of a call, the databases are afterwards as before it
// or as after it, never between; the connection works on; no committed write is lost; and the next
// sync completes. Method: on real files, the k-th operation on the disk goes wrong, for many k (for
// every k with SYNCLINE_CRASH_SECONDS, which also says how long to go on); then the same questions
// are asked, by SQL and by a sync.
#include <chrono>
#include <iostream>

#include "support/catch.hpp"
#include "support/fault_trial.hpp"
#include "support/faulty_vfs.hpp"

namespace syncline::test {
namespace {

Trouble trouble_with_disk(const FaultPair& pair, Fault fault, uint64_t at, uint64_t seed) {
  FaultyVfs& disk = FaultyVfs::instance();
  Trouble trouble;
  trouble.name = std::string(fault_name(fault)) + " at operation " + std::to_string(at) +
                 ", seed " + std::to_string(seed);
  trouble.begin = [&disk, fault, at] { disk.arm(fault, at); };
  trouble.end = [&disk] { disk.disarm(); };
  trouble.struck = [&disk] { return disk.struck(); };
  if (fault != Fault::power_cut) return trouble;
  trouble.power_is_cut = [&disk, &pair, seed] {
    const uint64_t who = seed % 3;  // one machine, the other, or both
    disk.cut_power(seed, [&](const std::string& path) {
      const bool here = path.compare(0, pair.here().size(), pair.here()) == 0;
      return who == 2 || here == (who == 0);
    });
  };
  return trouble;
}

// `trials_short`: about how many k for each work and setup in the short form.
void try_all(Fault fault, uint64_t trials_short) {
  const auto seconds = static_cast<double>(number_from_env("SYNCLINE_CRASH_SECONDS", 0));
  const uint64_t first_seed = number_from_env("SYNCLINE_SEED", 1);
  const auto begin = std::chrono::steady_clock::now();
  const auto spent = [&] {
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    return time.count();
  };
  FaultyVfs& disk = FaultyVfs::instance();
  uint64_t trials = 0, seed = first_seed;
  do {
    for (const FaultSetup& setup : kFaultSetups) {
      FaultPair pair(setup, scratch_folder(), [&] { disk.settle(); });
      for (const FaultWork& work : kFaultWorks) {
        const std::string after = content_after(
            &pair, work, [&] { disk.arm(fault, UINT64_MAX); }, [&] { disk.disarm(); });
        const uint64_t count = disk.operations();
        const uint64_t step = seconds > 0 ? 1 : std::max<uint64_t>(1, count / trials_short);
        for (uint64_t at = 1 + seed % step; at <= count; at += step, ++seed, ++trials) {
          run_trial(&pair, setup, work, trouble_with_disk(pair, fault, at, seed), after);
          if (seconds > 0 && spent() > seconds) break;
        }
      }
    }
  } while (spent() < seconds);
  disk.settle();
  std::cout << fault_name(fault) << ": " << trials << " trials in " << spent() << " s, from seed "
            << first_seed << "\n";
}

TEST_CASE("faults: an operation on the disk fails", "[faults]") {
  try_all(Fault::fail, 6);
}
TEST_CASE("faults: the disk fails and stays so", "[faults]") {
  try_all(Fault::fail_on, 5);
}
TEST_CASE("faults: a write is cut short", "[faults]") {
  try_all(Fault::cut_short, 5);
}
TEST_CASE("faults: the disk is full", "[faults]") {
  try_all(Fault::full, 5);
}
TEST_CASE("faults: a read fails", "[faults]") {
  try_all(Fault::unreadable, 4);
}
TEST_CASE("faults: power is cut", "[faults]") {
  try_all(Fault::power_cut, 12);
}

}  // namespace
}  // namespace syncline::test
