// Databases that melt: a group of two that know of each other, and the calls that drop metadata and
// run a session.
#pragma once

#include "support/two_sites.hpp"

namespace syncline::test {

// Databases that know of each other and have exchanged everything.
struct Group {
  Database a{1}, b{2};
  Group() {
    for (Database* db : {&a, &b}) db->port.join_members();
    meet();
  }
  // Twice: the first time each hears what the other has, the second what it has taken.
  void meet() {
    for (int i = 0; i < 2; ++i) a.swap_with(&b);
  }
};

inline MeltReport maintain(Database* db, uint64_t rows_max = 1000) {
  MeltReport report;
  const Status status = db->port.maintain(rows_max, &report);
  INFO(status.message());
  REQUIRE(status.ok());
  return report;
}

inline size_t states(const Database& db) {
  return db.port.table("item")->state.size() + db.port.table("part")->state.size();
}

inline void sync(Database* local, Database* remote) {
  MemoryEndpoint here(&local->port), there(&remote->port);
  SessionReport report;
  const Status status = run_session(&here, &there, {}, {}, &report);
  INFO(status.message());
  REQUIRE(status.ok());
}

}  // namespace syncline::test
