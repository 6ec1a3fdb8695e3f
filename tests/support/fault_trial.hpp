// One call on a FaultPair while something goes wrong, and everything that must hold afterwards:
// shared by the tests of bad disks and of scarce memory.
#pragma once

#include <functional>
#include <string>

#include "support/fault_pair.hpp"

namespace syncline::test {

extern const FaultSetup kFaultSetups[4];

// What is done meanwhile.
struct FaultWork {
  const char* name;
  bool one_transaction;
  // Runs on `here`; notes what was acknowledged. False: something failed.
  bool (*run)(const FaultPair& pair, SqliteFile* here, Notes* acknowledged);
};
extern const FaultWork kFaultWorks[8];

// What goes wrong.
struct Trouble {
  std::string name;  // says all that is needed to do it again
  std::function<void()> begin, end;
  std::function<bool()> struck;  // whether it came to it
  bool of_memory = false;
  std::function<void()> power_is_cut;  // if set: called when all connections are closed
};

// What the work does when nothing goes wrong; `begin` and `end` are called before and after it.
std::string content_after(FaultPair* pair, const FaultWork& work,
                          const std::function<void()>& begin, const std::function<void()>& end);

// Does the work in trouble and checks: the connection works on; the content is as before or as
// `after`, which is what content_after said; nothing acknowledged is lost; the next sync completes.
void run_trial(FaultPair* pair, const FaultSetup& setup, const FaultWork& work,
               const Trouble& trouble, const std::string& after);

// For the files of this process.
std::string scratch_folder();

}  // namespace syncline::test
