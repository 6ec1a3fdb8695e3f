// See simulate.h.
#include "sqlite_ext/simulate/simulate.h"

#include "sqlite_ext/randomness.h"

namespace syncline::simulate {

namespace {

Failure stopped() {
  return {"stopped", "it was interrupted"};
}

std::string tell(const Blueprint& blueprint, const Plan& plan, size_t planned,
                 const Failure& failure, const Stop& stop) {
  Script script;
  script.note("Seed " + std::to_string(plan.seed) + ", shortened from " + std::to_string(planned) +
              " to " + std::to_string(plan.actions.size()) +
              " things that happen. Each site is a file.\n"
              "To follow it, in an empty folder where .load finds the extension:\n"
              "  sqlite3 < this_script");
  const Failure again = replay(blueprint, plan, &script, stop);
  script.note(again ? "NOW: " + again.text : "It did not happen again: " + failure.text);
  return script.text();
}

}  // namespace

Failure replay(const Blueprint& blueprint, const Plan& plan, Script* script, const Stop& stop) {
  uint64_t random = plan.seed;
  const SeededRandomness seeded(&random);
  World world(blueprint, script);
  for (const SiteSetup& setup : plan.sites) {
    const Failure broken = world.add_site(setup, [&](World::Member* member) {
      for (const std::string& sql : setup.before) {
        (void)member->site->run(sql).ok();
        if (script != nullptr) script->sql(sql);
      }
      return Failure();
    });
    if (broken) return broken;
  }
  if (plan.melts) {
    if (Failure broken = world.meet()) return broken;
  }
  for (const Action& action : plan.actions) {
    if (stop()) return stopped();
    if (Failure broken = world.perform(action)) return broken;
  }
  return world.calm();
}

Outcome run_seed(const Blueprint& blueprint, const RunOptions& options, uint64_t seed,
                 const Stop& stop) {
  Outcome outcome;
  outcome.seed = seed;
  Plan plan;
  Planner planner(blueprint, options, seed, &plan);
  {
    uint64_t random = plan.seed;
    const SeededRandomness seeded(&random);
    World world(blueprint, nullptr);
    for (SiteSetup& setup : plan.sites) {
      if (outcome.failure) break;
      outcome.failure = world.add_site(
          setup, [&](World::Member* member) { return planner.before(member, &setup); });
    }
    if (plan.melts && !outcome.failure) outcome.failure = world.meet();
    for (uint32_t i = 0; i < options.steps && !outcome.failure && !world.full(); ++i) {
      if (stop()) outcome.failure = stopped();
      if (outcome.failure) break;
      plan.actions.push_back(planner.next(&world));
      outcome.failure = world.perform(plan.actions.back());
    }
    if (!outcome.failure) outcome.failure = world.calm();
    outcome.sites = world.members().size();
    outcome.operations = world.operations();
    outcome.writes = world.writes_done();
    outcome.refusal = world.last_refusal();
  }
  if (!outcome.failure || outcome.failure.kind == "stopped" || options.shrink_ms == 0) {
    return outcome;
  }
  const size_t planned = plan.actions.size();
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(options.shrink_ms);
  plan = shrink(blueprint, std::move(plan), outcome.failure.kind, until, stop);
  outcome.script = tell(blueprint, plan, planned, outcome.failure, stop);
  return outcome;
}

}  // namespace syncline::simulate
