// See functions.h. Runs seeds one after another; the first that fails is run again and shortened.
#include "sqlite_ext/simulate/functions.h"

#include <chrono>

#include "core/src/json_options.h"  // what every function of options uses
#include "sqlite_ext/peer_link.h"
#include "sqlite_ext/simulate/simulate.h"

namespace syncline {

namespace {

using Clock = std::chrono::steady_clock;
using simulate::Outcome;

struct Options {
  uint64_t seed = 1, seeds = 0, sites = 0, steps = 120, seconds = 5;
  bool invariants = true, triggers = true, faults = true;
};

Status options_from_json(const std::string& json, Options* out) {
  JsonOptions in("sync_simulate");
  SYNCLINE_TRY(in.parse(json));
  SYNCLINE_TRY(in.number("seed", 0, INT64_MAX, &out->seed));
  SYNCLINE_TRY(in.number("seeds", 1, 1'000'000'000, &out->seeds));
  SYNCLINE_TRY(in.number("sites", 2, simulate::World::kSitesMax, &out->sites));
  SYNCLINE_TRY(in.number("steps", 1, 100'000, &out->steps));
  SYNCLINE_TRY(in.number("seconds", 1, 1'000'000, &out->seconds));
  SYNCLINE_TRY(in.boolean("invariants", &out->invariants));
  SYNCLINE_TRY(in.boolean("triggers", &out->triggers));
  SYNCLINE_TRY(in.boolean("faults", &out->faults));
  return in.finish();
}

// Whether the application wants its connection back. A progress handler is asked every so many
// instructions of one statement, so now and then it is given a long one.
class Patience {
 public:
  explicit Patience(sqlite3* db) : db_(db) {}

  bool over() {
    if (over_ || Clock::now() < next_) return over_;
    over_ = execute(db_,
                    "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM n WHERE n<2000) "
                    "SELECT max(n) FROM n")
                .code() == StatusCode::cancelled;
    next_ = Clock::now() + std::chrono::milliseconds(20);
    return over_;
  }

 private:
  sqlite3* db_;
  Clock::time_point next_;
  bool over_ = false;
};

struct Totals {
  uint64_t runs = 0, operations = 0, writes = 0, failures = 0;
  uint64_t failed_seed = 0;  // the first
  std::string refusal;       // of the last run in which nothing could be written
};

// All seeds, or as many as the time allows; one at least.
Status run_seeds(const simulate::Blueprint& blueprint, const Options& options,
                 const simulate::RunOptions& run, Patience* patience, Totals* totals) {
  const auto until = Clock::now() + std::chrono::seconds(options.seconds);
  const uint64_t count = options.seeds != 0 ? options.seeds : UINT64_MAX;
  for (uint64_t i = 0; i < count && (i == 0 || Clock::now() < until); ++i) {
    const Outcome outcome = simulate::run_seed(blueprint, run, options.seed + i,
                                               [&] { return patience->over(); });
    if (patience->over()) return {StatusCode::cancelled, "interrupted"};
    ++totals->runs;
    totals->operations += outcome.operations;
    totals->writes += outcome.writes;
    if (outcome.writes == 0) totals->refusal = outcome.refusal;
    if (outcome.failure && totals->failures++ == 0) totals->failed_seed = outcome.seed;
  }
  return {};
}

OrderedJson tell(const Outcome& outcome) {
  OrderedJson out;
  out["seed"] = outcome.seed;
  out["sites"] = outcome.sites;
  out["kind"] = outcome.failure.kind;
  out["what"] = outcome.failure.text;
  out["script"] = outcome.script;
  return out;
}

}  // namespace

Status call_simulate(Call* call) {
  sqlite3* db = call->db();
  Options options;
  SYNCLINE_TRY(options_from_json(call->bytes(0), &options));
  simulate::Blueprint blueprint;
  SYNCLINE_TRY(simulate::read_blueprint(db, {options.invariants, options.triggers}, &blueprint));
  std::vector<std::string> warnings;
  SYNCLINE_TRY(simulate::try_blueprint(&blueprint, &warnings));
  simulate::RunOptions run;
  run.sites = static_cast<uint32_t>(options.sites);
  run.steps = static_cast<uint32_t>(options.steps);
  run.faults = options.faults;
  run.shrink_ms = 0;
  Patience patience(db);
  Totals totals;
  SYNCLINE_TRY(run_seeds(blueprint, options, run, &patience, &totals));
  OrderedJson out;
  out["seed"] = options.seed;
  out["runs"] = totals.runs;
  out["operations"] = totals.operations;
  out["writes"] = totals.writes;
  out["failures"] = totals.failures;
  out["failure"] = nullptr;
  if (totals.failures > 0) {
    run.shrink_ms = options.seconds * 1000;
    out["failure"] = tell(simulate::run_seed(blueprint, run, totals.failed_seed,
                                             [&] { return patience.over(); }));
    if (patience.over()) return {StatusCode::cancelled, "interrupted"};
  }
  if (totals.writes == 0) {
    warnings.push_back("nothing was tested: every write was refused; the last one was " +
                       totals.refusal);
  }
  out["warnings"] = warnings;
  call->give(out.dump(-1, ' ', false, OrderedJson::error_handler_t::replace));
  return {};
}

}  // namespace syncline
