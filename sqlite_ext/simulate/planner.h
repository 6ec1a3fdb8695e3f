// Thinks up what happens next. Each seed turns features on and off and gives the others weights of
// their own (Groce, Zhang, Eide, Chen, Regehr, "Swarm Testing", ISSTA 2012): what a run never does
// cannot hide what another thing breaks.
#pragma once

#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sqlite_ext/simulate/values.h"
#include "sqlite_ext/simulate/world.h"

namespace syncline::simulate {

struct PlanOptions {
  uint32_t sites = 0;           // 0: two to eight, by the seed
  bool faults = true;           // losses, kills, copies, clocks
  bool policies = false;        // policies change on the way
};

class Planner {
 public:
  Planner(const Blueprint& blueprint, const PlanOptions& options, uint64_t seed, Plan* plan);

  // Rows for a site's tables from before tracking began; written as they are found.
  Failure before(World::Member* member, SiteSetup* setup);
  Action next(World* world);

 private:
  static constexpr size_t kSteps = 14;

  void choose_weights();
  void choose_sites();
  void choose_graph();
  Step pick_step();
  void write(World* world, World::Member* member, Action* action);
  void decide(Action* action);
  void policy(World* world, Action* action);
  void transfer(Transfer* transfer);

  const Shape& shape(World::Member* member, const std::string& table);
  PolicyKind policy_of(const World& world, World::Member* member, const std::string& table,
                       const std::string& column);
  std::string statement(World* world, World::Member* member);
  std::string insert(World* world, World::Member* member, const Shape& shape, const char* verb);
  std::string upsert(World* world, World::Member* member, const Shape& shape);
  std::string update(World* world, World::Member* member, const Shape& shape);
  std::string verb_of_update(const Shape& shape);
  std::string key_change(World* world, World::Member* member, const Shape& shape);
  // " WHERE key = ..." of a row that stands there; empty if there is none.
  std::string some_rows(World* world, World::Member* member, const Shape& shape);
  std::string one_row(World* world, World::Member* member, const Shape& shape);
  const SeenRow* some_stored(World::Member* member, const std::string& table);
  // Values of foreign key columns, from a row that stands there.
  std::map<std::string, std::string> parents(World* world, World::Member* member,
                                             const Shape& shape);

  const Blueprint& blueprint_;
  const PlanOptions& options_;
  Random random_;
  Values values_;
  Plan& plan_;
  std::array<uint64_t, kSteps> weights_{};
  std::vector<std::pair<uint32_t, uint32_t>> graph_;  // who exchanges with whom
  uint8_t drop_ = 0, repeat_ = 0, reorder_ = 0, damage_ = 0, kill_ = 0;
  std::map<std::pair<std::pair<uint32_t, size_t>, std::string>, Shape> shapes_;
};

}  // namespace syncline::simulate
