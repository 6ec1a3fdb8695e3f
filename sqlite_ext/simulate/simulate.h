// Simulations: one seed is one run of several sites on a schema. See docs/testing.md.
//
//   Outcome outcome = run_seed(blueprint, options, 17, never);
//   if (outcome.failure) std::puts(outcome.script.c_str());
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "sqlite_ext/simulate/planner.h"

namespace syncline::simulate {

struct RunOptions : PlanOptions {
  uint32_t steps = 120;           // things that happen before all is calm
  uint64_t shrink_ms = 10'000;    // how long a failure may be shortened; 0: it is not told either
};

struct Outcome {
  uint64_t seed = 0;
  size_t sites = 0;
  uint64_t operations = 0;  // statements, chunks made, chunks applied
  uint64_t writes = 0;      // statements of the application that worked
  std::string refusal;      // the last statement that was refused, and why
  Failure failure;          // none: everything held
  std::string script;       // of a failure: what is left of it, as a script for the sqlite3 shell
};

// Asked between any two things that happen.
using Stop = std::function<bool()>;

// If it was stopped, the failure's kind is "stopped".
Outcome run_seed(const Blueprint& blueprint, const RunOptions& options, uint64_t seed,
                 const Stop& stop);

// Does what the plan says, to its end. The plan is followed to the letter, whatever comes of it.
Failure replay(const Blueprint& blueprint, const Plan& plan, Script* script, const Stop& stop);

// The shortest plan found by `until` that fails in the same way: delta debugging (Zeller,
// Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002) over what happens, then
// over statements, faults and sites.
Plan shrink(const Blueprint& blueprint, Plan plan, const std::string& kind,
            std::chrono::steady_clock::time_point until, const Stop& stop);

}  // namespace syncline::simulate
