// See functions.h. Each row is one seed, made when it is asked for: who reads them sees how far it
// is, and may stop at any time.
#include "sqlite_ext/simulate/functions.h"

#include <chrono>

#include "core/src/json_options.h"  // what every function of options uses
#include "sqlite_ext/peer_link.h"
#include "sqlite_ext/simulate/simulate.h"

namespace syncline {

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  uint64_t seed = 1, seeds = 0, sites = 0, operations = 120, seconds = 5;
  bool invariants = true, triggers = true, faults = true;
};

Status options_from_json(const std::string& json, Options* out) {
  JsonOptions in("sync_simulate");
  SYNCLINE_TRY(in.parse(json));
  SYNCLINE_TRY(in.number("seed", 0, INT64_MAX, &out->seed));
  SYNCLINE_TRY(in.number("seeds", 1, 1'000'000'000, &out->seeds));
  SYNCLINE_TRY(in.number("sites", 2, simulate::World::kSitesMax, &out->sites));
  SYNCLINE_TRY(in.number("operations", 1, 100'000, &out->operations));
  SYNCLINE_TRY(in.number("seconds", 1, 1'000'000, &out->seconds));
  SYNCLINE_TRY(in.boolean("invariants", &out->invariants));
  SYNCLINE_TRY(in.boolean("triggers", &out->triggers));
  SYNCLINE_TRY(in.boolean("faults", &out->faults));
  return in.finish();
}

class SimulateSource : public RowSource {
 public:
  Status open(sqlite3* db, const Arguments& arguments) {
    db_ = db;
    SYNCLINE_TRY(options_from_json(arguments[0].bytes, &options_));
    SYNCLINE_TRY(simulate::read_blueprint(db, {options_.invariants, options_.triggers},
                                          &blueprint_));
    run_.sites = static_cast<uint32_t>(options_.sites);
    run_.steps = static_cast<uint32_t>(options_.operations);
    run_.faults = options_.faults;
    run_.shrink_ms = options_.seconds * 1000;
    until_ = Clock::now() + std::chrono::seconds(options_.seconds);
    return {};
  }

  Status next(bool* row) override {
    *row = false;
    const uint64_t count = options_.seeds != 0 ? options_.seeds : UINT64_MAX;
    if (done_ > 0 && (done_ >= count || (options_.seeds == 0 && Clock::now() >= until_))) return {};
    bool interrupted_now = false;
    outcome_ = simulate::run_seed(blueprint_, run_, options_.seed + done_, [&] {
      return interrupted_now = interrupted_now || interrupted(db_);
    });
    if (interrupted_now) return {StatusCode::cancelled, "interrupted"};
    ++done_;
    *row = true;
    return {};
  }

  void column(int column, sqlite3_context* context) override {
    switch (column) {
      case 0:
        sqlite3_result_int64(context, static_cast<sqlite3_int64>(outcome_.seed));
        break;
      case 1:
        sqlite3_result_int64(context, static_cast<sqlite3_int64>(outcome_.sites));
        break;
      case 2:
        sqlite3_result_int64(context, static_cast<sqlite3_int64>(outcome_.operations));
        break;
      case 3:
        give_text(context, words());
        break;
      case 4:
        if (!outcome_.script.empty()) give_text(context, outcome_.script);
        break;
      default:
        break;
    }
  }

 private:
  std::string words() const {
    if (outcome_.failure) return outcome_.failure.kind + ": " + outcome_.failure.text;
    if (outcome_.writes > 0) return "ok";
    return "nothing was tested: every write was refused, the last one was " + outcome_.refusal;
  }

  sqlite3* db_ = nullptr;
  Options options_;
  simulate::RunOptions run_;
  simulate::Blueprint blueprint_;
  simulate::Outcome outcome_;
  Clock::time_point until_;
  uint64_t done_ = 0;
};

Status open_simulate(sqlite3* db, Arguments arguments, std::unique_ptr<RowSource>* out) {
  auto source = std::make_unique<SimulateSource>();
  SYNCLINE_TRY(source->open(db, arguments));
  *out = std::move(source);
  return {};
}

const TableFunction kSimulate = {"sync_simulate", "seed, sites, operations, outcome, script",
                                 "options", 5, 1, open_simulate};

}  // namespace

int register_simulate(sqlite3* db) {
  return register_table_function(db, &kSimulate);
}

}  // namespace syncline
