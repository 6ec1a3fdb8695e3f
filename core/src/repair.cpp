// Repairing: which side's row stands, and having that side write it anew.
//
// A row is never copied around the merge: the side that is right writes it once more, as an
// ordinary write, and an exchange carries that to the other side and on to every site. Rows that
// cannot be decided stay as they are.
#include <algorithm>
#include <cmath>
#include <map>

#include "syncline/json.h"
#include "verify_run.h"

namespace syncline {
namespace {

using Json = OrderedJson;

constexpr size_t kRowsMax = 1'000'000;  // acted on by one repair

// What is to be done about one row.
struct Decision {
  bool here = false, there = false;                   // which side writes it anew
  std::vector<uint32_t> columns_here, columns_there;  // positions in the plan; none: all
  std::string why;
};

using Cell = std::vector<Version>;

// The versions of one column.
Cell cell_of(const RowFacts& row, uint32_t column) {
  Cell out;
  for (const auto& [at, version] : row.cells) {
    if (at == column) out.push_back(version);
  }
  return out.empty() ? row.rest : out;
}

// A melted version may stand for any.
bool contains(const Cell& cell, const Version& v) {
  return std::any_of(cell.begin(), cell.end(),
                     [&](const Version& x) { return x.same_dot(v) || x.melted(); });
}

// Which of two cells has the greater version that the other lacks: <0 ours, >0 theirs, 0 neither.
int newer(const Cell& ours, const Cell& theirs, const SiteTable& sites) {
  const auto greatest = [&](const Cell& cell, const Cell& other) {
    Version best;
    for (const Version& v : cell) {
      if (!contains(other, v) && (best.seq == 0 || compare_versions(best, v, sites) < 0)) best = v;
    }
    return best;
  };
  const Version a = greatest(ours, theirs), b = greatest(theirs, ours);
  if (a.seq == 0 && b.seq == 0) return 0;
  if (a.seq == 0 || b.seq == 0) return a.seq == 0 ? 1 : -1;
  return compare_versions(a, b, sites) > 0 ? -1 : 1;
}

bool lives(const RowFacts& row) {
  const auto live = [](const Version& v) { return !v.dead; };
  return std::any_of(row.rest.begin(), row.rest.end(), live) ||
         std::any_of(row.cells.begin(), row.cells.end(),
                     [&](const auto& cell) { return live(cell.second); });
}

// Both sides have the same versions, so one base table was changed behind its log.
Decision decide_damage(const Difference& row) {
  Decision out;
  const bool here = (row.here.flags & kRowUnlogged) != 0;
  const bool there = (row.there.flags & kRowUnlogged) != 0;
  if (row.verdict == RowVerdict::different) {
    if (here == there) {
      out.why =
          "both sides hold the same versions of it, so either may be right: name one with "
          "\"from\"";
      return out;
    }
    out.here = there;
    out.there = here;
    out.why = here ? "it was changed here without being logged: the peer's row stands"
                   : "it was changed at the peer without being logged: the row here stands";
    return out;
  }
  if (!lives(row.here)) {
    out.why =
        "its versions say that it was deleted, and one side has it all the same: name a side "
        "with \"from\"";
    return out;
  }
  out.here = row.verdict == RowVerdict::only_here;
  out.there = !out.here;
  out.why = out.here ? "its versions say that it exists, and the peer's table lacks it"
                     : "its versions say that it exists, and the table here lacks it";
  return out;
}

// One side lacks versions that its vector claims: the side with the greater ones writes those
// columns anew.
Decision decide_versions(const Difference& row, size_t columns, const SiteTable& sites) {
  Decision out;
  const int whole = newer(row.here.rest, row.there.rest, sites);
  // To bring back a row, or to delete one, takes all of it.
  const bool whole_row = row.verdict != RowVerdict::different;
  for (uint32_t c = 0; c < columns; ++c) {
    const int order = newer(cell_of(row.here, c), cell_of(row.there, c), sites);
    if (order < 0) out.columns_here.push_back(c);
    if (order > 0) out.columns_there.push_back(c);
  }
  out.here = whole < 0 || !out.columns_here.empty();
  out.there = whole > 0 || !out.columns_there.empty();
  if (whole < 0 || whole_row) out.columns_here.clear();
  if (whole > 0 || whole_row) out.columns_there.clear();
  out.why = out.here && out.there ? "each side lacks versions that the other has"
            : out.here            ? "the peer lacks versions that it claims to have"
                                  : "versions are missing here that this database claims to have";
  return out;
}

Decision decide(const Difference& row, const VerifyOptions& options, size_t columns,
                const SiteTable& sites) {
  Decision out;
  if (row.verdict == RowVerdict::in_flight) {
    out.why = "an exchange brings it";
    return out;
  }
  if (row.verdict == RowVerdict::held) {
    out.why = "a constraint keeps it out of the table of one side: sync_conflicts says which";
    return out;
  }
  if (!options.from.empty()) {
    out.here = options.from == "local";
    out.there = !out.here;
    out.why = out.here ? "the row here was asked for" : "the peer's row was asked for";
    return out;
  }
  bool same = newer(row.here.rest, row.there.rest, sites) == 0;
  for (uint32_t c = 0; same && c < columns; ++c) {
    same = newer(cell_of(row.here, c), cell_of(row.there, c), sites) == 0;
  }
  return same ? decide_damage(row) : decide_versions(row, columns, sites);
}

// The rows of one table that are to be acted on.
struct TableWork {
  DigestPlan plan;
  RowsQuestion here, there;
  std::vector<Suspect> suspects;
  std::vector<size_t> rows;  // their places in the report
};

class Repair {
 public:
  Repair(VerifyRun* run, const VerifyOptions& options, VerifyReport* report)
      : run_(*run), options_(options), report_(*report) {}

  Status collect() {
    return run_.run([this](const DigestPlan& plan, Difference difference) -> Status {
      if (report_.rows.size() >= kRowsMax) return {};  // the next repair goes on
      note(plan, difference);
      return {};
    });
  }

  Status act(const std::function<Status()>& session) {
    for (TableWork& work : work_) {
      SYNCLINE_TRY(run_.rewrite(true, work.here));
      SYNCLINE_TRY(run_.rewrite(false, work.there));
    }
    SYNCLINE_TRY(session());
    for (const TableWork& work : work_)
      SYNCLINE_TRY(look_again(work));
    for (RowDifference& row : report_.rows) {
      if (row.verdict == RowVerdict::in_flight) continue;
      if (!row.done) ++report_.still_different;
    }
    return {};
  }

 private:
  void note(const DigestPlan& plan, const Difference& difference) {
    if (work_.empty() || work_.back().plan.table != plan.table) {
      work_.push_back({plan, {plan, {}, {}}, {plan, {}, {}}, {}, {}});
    }
    TableWork& work = work_.back();
    const Decision decision = decide(difference, options_, plan.columns.size(), run_.sites());
    if (decision.here) {
      work.here.keys.push_back(difference.suspect.local());
      work.here.columns.push_back(decision.columns_here);
    }
    if (decision.there) {
      work.there.keys.push_back(difference.suspect.remote());
      work.there.columns.push_back(decision.columns_there);
    }
    RowDifference row;
    row.table = plan.table;
    row.pk_json = run_.pk_json(plan, difference.suspect.local());
    row.verdict = difference.verdict;
    row.done = decision.here || decision.there || row.verdict == RowVerdict::in_flight;
    row.action = decision.here && decision.there ? "both sides write it anew: "
                 : decision.here                 ? "written anew here: "
                 : decision.there                ? "written anew at the peer: "
                                                 : "left: ";
    row.action += decision.why;
    if (decision.here || decision.there) ++report_.repaired;
    if (!row.done) ++report_.undecided;
    work.suspects.push_back(difference.suspect);
    work.rows.push_back(report_.rows.size());
    report_.rows.push_back(std::move(row));
  }

  // Rows that still differ, although something was to be done about them.
  Status look_again(const TableWork& work) {
    std::map<std::string, size_t> places;
    for (size_t i = 0; i < work.suspects.size(); ++i) {
      places[work.suspects[i].local()] = work.rows[i];
    }
    return run_.examine(work.plan, work.suspects,
                        [&](const DigestPlan&, const Difference& difference) -> Status {
                          RowDifference& row = report_.rows[places[difference.suspect.local()]];
                          if (row.done && row.verdict != RowVerdict::in_flight) {
                            --report_.repaired;
                            row.action += "; it differs still";
                          }
                          row.done = false;
                          return {};
                        });
  }

  VerifyRun& run_;
  const VerifyOptions& options_;
  VerifyReport& report_;
  std::vector<TableWork> work_;
};

Json table_to_json(const TableVerdict& table) {
  if (!table.problem.empty()) return {{"table", table.table}, {"problem", table.problem}};
  Json out = {{"table", table.table},
              {"rows_here", table.rows_here},
              {"rows_there", table.rows_there},
              {"same", table.same},
              {"different", table.different},
              {"only_here", table.only_here},
              {"only_there", table.only_there},
              {"in_flight", table.in_flight},
              {"held", table.held}};
  if (!table.left_out.empty()) out["columns_left_out"] = table.left_out;
  return out;
}

Json row_to_json(const RowDifference& row, bool repair) {
  Json out = {{"pk", parse_json<Json>(row.pk_json)}, {"is", verdict_name(row.verdict)}};
  if (!repair) return out;
  out["table"] = row.table;
  out["action"] = row.action;
  out["done"] = row.done;
  return out;
}

}  // namespace

Status repair_peer(Endpoint* local, Endpoint* remote, const VerifyOptions& options,
                   const std::function<Status()>& session, VerifyReport* report) {
  *report = VerifyReport();
  VerifyOptions deep = options;
  deep.deep = true;
  VerifyRun run(local, remote, deep, report);
  Repair repair(&run, deep, report);
  SYNCLINE_TRY(repair.collect());
  return deep.dry_run ? Status() : repair.act(session);
}

std::string verify_report_to_json(const VerifyReport& report, const VerifyOptions& options,
                                  bool repair, double duration_ms) {
  Json out = {
      {"peer", report.peer_name}, {"site", report.peer_site}, {"engine", report.peer_engine}};
  if (repair) {
    out["dry_run"] = options.dry_run;
    out["repaired"] = report.repaired;
    out["undecided"] = report.undecided;
    out["still_different"] = report.still_different;
  } else {
    out["same"] = report.same();
    out["consistent"] = report.consistent();
    out["score"] = report.score();
    out["equal_knowledge"] = report.equal_knowledge;
    out["deep"] = options.deep;
  }
  Json tables = Json::array(), rows = Json::array();
  for (const TableVerdict& table : report.tables) {
    Json entry = table_to_json(table);
    Json keys = Json::array();
    for (const RowDifference& row : report.rows) {
      if (!repair && row.table == table.table) keys.push_back(row_to_json(row, false));
    }
    if (!repair && table.problem.empty()) entry["keys"] = std::move(keys);
    tables.push_back(std::move(entry));
  }
  out["tables"] = std::move(tables);
  if (repair) {
    for (const RowDifference& row : report.rows) {
      if (rows.size() < options.keys_max) rows.push_back(row_to_json(row, true));
    }
    out["rows"] = std::move(rows);
  }
  out["bytes"] = report.bytes;
  out["rounds"] = report.rounds;
  out["duration_ms"] = std::llround(duration_ms * 10) / 10.0;
  return json_text(out);
}

}  // namespace syncline
