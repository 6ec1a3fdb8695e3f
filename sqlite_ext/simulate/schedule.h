// What happens in a simulation, as data: it can be repeated, and shortened.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sqlite_ext/simulate/site.h"

namespace syncline::simulate {

enum class Step : uint8_t {
  write,     // a transaction of the application
  exchange,  // `other` takes from `site`, chunk by chunk
  mail,      // a chunk of an earlier exchange arrives late, or again, or elsewhere
  save,      // a copy of the site's files is put aside
  restore,   // the site's files are replaced by that copy
  copy,      // a new site begins as a copy of this one
  kill,      // the process dies, and is started again
  clock,     // the site's clock jumps
  decide,    // conflicts are decided, decisions taken back
  policy,    // a policy is set
  alter,     // the next of the blueprint's alterations
  rename,    // a column gets another name everywhere, after everyone has everything
  identity,  // sync_new_identity
  maintain,  // sync_maintain
};

enum class End : uint8_t { commit, rollback, kill, kill_in_commit };

// How chunks travel. Chances are in percent; which chunk is hit follows from `seed`.
struct Transfer {
  uint64_t seed = 0;
  uint32_t max_bytes = 1'000'000;
  const char* compress = "zstd";
  uint32_t pieces = 0;    // broken off after so many chunks; 0: never
  bool one_by_one = false;  // each chunk is asked for when the one before has been applied
  bool resume = true;     // goes on where an exchange broke off
  uint8_t drop = 0, repeat = 0, reorder = 0, damage = 0;
  uint8_t kill = 0;       // the receiver is killed while it applies
  bool faulty() const { return drop || repeat || reorder || damage || kill || pieces != 0; }
};

struct Action {
  Step step = Step::write;
  uint32_t site = 0, other = 0;  // positions in the list of sites
  std::vector<std::string> sql;  // write, decide, policy
  End end = End::commit;
  // kill_in_commit: before which write; mail: which; clock: ms; maintain: rows.
  uint64_t number = 0;
  Transfer transfer;
};

struct SiteSetup {
  Connection connection;
  int64_t skew_ms = 0;              // its clock against the others
  std::vector<std::string> before;  // rows from before tracking began
};

struct Plan {
  uint64_t seed = 0;
  // Metadata melts. Then all know of each other from the beginning, and keep their ids: true
  // causality holds to the version.
  bool melts = false;
  std::vector<SiteSetup> sites;
  std::vector<Action> actions;
};

}  // namespace syncline::simulate
