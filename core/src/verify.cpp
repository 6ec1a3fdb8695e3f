// The asking side of verify.h: from sums of tables to single rows.
#include "syncline/verify.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "json_options.h"
#include "syncline/conflicts.h"
#include "syncline/json.h"
#include "syncline/limits.h"
#include "syncline/merge.h"
#include "verify_run.h"

namespace syncline {
namespace {

// A range with no more rows than this is not split: its rows are compared.
constexpr uint64_t kLeafRows = 64;
// Ranges split by one question, and rows compared by one.
constexpr size_t kRangesPerQuestion = 1024;
constexpr uint64_t kRowsPerQuestion = 50'000;

bool has_news(const RowFacts& row, const VersionVector& vector) {
  const auto news = [&](const Version& v) { return !vector.knows(v); };
  return std::any_of(row.rest.begin(), row.rest.end(), news) ||
         std::any_of(row.cells.begin(), row.cells.end(),
                     [&](const auto& cell) { return news(cell.second); });
}

RowVerdict judge(const RowFacts& here, const RowFacts& there, bool in_flight) {
  if (in_flight) return RowVerdict::in_flight;
  if (((here.flags | there.flags) & kRowHeld) != 0) return RowVerdict::held;
  if (here.stored() && there.stored()) return RowVerdict::different;
  return here.stored() ? RowVerdict::only_here : RowVerdict::only_there;
}

void count(const Difference& difference, TableVerdict* out) {
  switch (difference.verdict) {
    case RowVerdict::different:
      ++out->different;
      break;
    case RowVerdict::only_here:
      ++out->only_here;
      break;
    case RowVerdict::only_there:
      ++out->only_there;
      break;
    case RowVerdict::in_flight:
      ++out->in_flight;
      break;
    case RowVerdict::held:
      ++out->held;
      break;
  }
  if (difference.here.stored() && out->same > 0) --out->same;
}

const TableSchema* find_schema(const std::vector<TableSchema>& tables, const std::string& name) {
  std::vector<TableInfo> infos(tables.size());
  for (size_t i = 0; i < tables.size(); ++i)
    infos[i].name = tables[i].name;
  const int64_t at = find_table(infos, name);
  return at < 0 ? nullptr : &tables[static_cast<size_t>(at)];
}

Status wrong_answer() {
  return damaged_message("an answer");
}

}  // namespace

Status VerifyRun::ask(const std::string& question, std::string* answer) {
  SYNCLINE_TRY(remote_.answer(question, answer));
  report_.bytes += question.size() + answer->size();
  ++report_.rounds;
  return {};
}

Status VerifyRun::ask_both(const std::string& question, std::string* here, std::string* there) {
  SYNCLINE_TRY(local_.answer(question, here));
  return ask(question, there);
}

Status VerifyRun::meet() {
  SYNCLINE_TRY(local_.hello(&mine_));
  SYNCLINE_TRY(remote_.hello(&theirs_));
  report_.bytes += hello_to_json(theirs_).size();
  ++report_.rounds;
  report_.peer_name = theirs_.name;
  report_.peer_site = theirs_.site;
  report_.peer_engine = theirs_.engine;
  if (theirs_.protocol != mine_.protocol) {
    return {StatusCode::unsupported_version,
            "the peer speaks protocol " + std::to_string(theirs_.protocol) + ", this database " +
                std::to_string(mine_.protocol),
            "install the same release of syncline on both sides"};
  }
  if (theirs_.site == mine_.site) {
    return {StatusCode::identity,
            "the peer has this database's own site id: it is this database, or a copy",
            "if it is a copy, call sync_new_identity() in one of the two"};
  }
  VersionVector ours, others;
  SYNCLINE_TRY(vector_from_json(mine_.vector, &sites_, &ours));
  SYNCLINE_TRY(vector_from_json(theirs_.vector, &sites_, &others));
  report_.equal_knowledge = ours.covered_by(others) && others.covered_by(ours);
  return refuse_unknown_table();
}

Status VerifyRun::refuse_unknown_table() const {
  const std::string& name = options_.table;
  if (name.empty() || find_schema(mine_.tables, name) != nullptr ||
      find_schema(theirs_.tables, name) != nullptr) {
    return {};
  }
  std::vector<std::string> names;
  for (const TableSchema& table : mine_.tables)
    names.push_back(table.name);
  const std::string near = nearest_name(name, names);
  return {StatusCode::invalid_argument, "table \"" + name + "\" is not tracked",
          near.empty() ? "sync_tables lists those that are" : "did you mean \"" + near + "\"?"};
}

Status VerifyRun::plan_tables(std::vector<DigestPlan>* plans, std::vector<size_t>* places) {
  const auto wanted = [&](const TableSchema& table) {
    const std::vector<TableSchema> one = {table};
    return options_.table.empty() || find_schema(one, options_.table) != nullptr;
  };
  for (const TableSchema& table : mine_.tables) {
    if (!wanted(table)) continue;
    TableVerdict verdict;
    verdict.table = table.name;
    const TableSchema* other = find_schema(theirs_.tables, table.name);
    DigestPlan plan;
    if (other == nullptr) {
      verdict.problem = "the peer does not track it";
    } else {
      const Status common = common_plan(table, *other, &plan, &verdict.left_out);
      if (!common.ok()) verdict.problem = common.message();
    }
    if (verdict.problem.empty()) {
      plans->push_back(std::move(plan));
      places->push_back(report_.tables.size());
    }
    report_.tables.push_back(std::move(verdict));
  }
  for (const TableSchema& table : theirs_.tables) {
    if (!wanted(table) || find_schema(mine_.tables, table.name) != nullptr) continue;
    TableVerdict verdict;
    verdict.table = table.name;
    verdict.problem = "it is not tracked here";
    report_.tables.push_back(std::move(verdict));
  }
  return {};
}

Status VerifyRun::run(const Visitor& visit) {
  std::vector<DigestPlan> plans;
  std::vector<size_t> places;
  SYNCLINE_TRY(meet());
  SYNCLINE_TRY(plan_tables(&plans, &places));
  return plans.empty() ? Status() : compare_tables(plans, places, visit);
}

Status VerifyRun::compare_tables(const std::vector<DigestPlan>& plans,
                                 const std::vector<size_t>& places, const Visitor& visit) {
  std::vector<SumsQuestion> items;
  for (const DigestPlan& plan : plans)
    items.push_back({plan, options_.deep, {0, {0}}, 0});
  std::string here, there;
  SYNCLINE_TRY(ask_both(write_sums_question(items), &here, &there));
  ByteReader ours(here), others(there);
  SYNCLINE_TRY(open_answer(here, Question::sums, &ours));
  SYNCLINE_TRY(open_answer(there, Question::sums, &others));
  for (size_t i = 0; i < plans.size(); ++i) {
    RowSum a, b;
    SYNCLINE_TRY(read_sum(&ours, true, &a));
    SYNCLINE_TRY(read_sum(&others, true, &b));
    TableVerdict* verdict = &report_.tables[places[i]];
    verdict->rows_here = verdict->same = a.count;
    verdict->rows_there = b.count;
    if (a == b) continue;
    const Visitor counting = [&](const DigestPlan& plan, Difference difference) -> Status {
      count(difference, verdict);
      return visit(plan, std::move(difference));
    };
    SYNCLINE_TRY(compare_table(plans[i], {0, 0, a.count, b.count}, counting));
  }
  return others.at_end() ? Status() : wrong_answer();
}

Status VerifyRun::compare_table(const DigestPlan& plan, Range whole, const Visitor& visit) {
  std::vector<Range> open = {whole};
  while (!open.empty()) {
    std::vector<Range> leaves, large, next;
    for (const Range& range : open) {
      const bool leaf =
          range.bits == BucketSums::kBitsMax || std::max(range.here, range.there) <= kLeafRows;
      (leaf ? leaves : large).push_back(range);
    }
    SYNCLINE_TRY(compare_leaves(plan, leaves, visit));
    SYNCLINE_TRY(split(plan, large, &next));
    open = std::move(next);
  }
  return {};
}

Status VerifyRun::split(const DigestPlan& plan, const std::vector<Range>& ranges,
                        std::vector<Range>* out) {
  for (size_t at = 0; at < ranges.size(); at += kRangesPerQuestion) {
    const size_t size = std::min(kRangesPerQuestion, ranges.size() - at);
    SYNCLINE_TRY(split_some(plan, std::span(ranges).subspan(at, size), out));
  }
  return {};
}

// All of one size, in order. Children that differ go to `out`.
Status VerifyRun::split_some(const DigestPlan& plan, std::span<const Range> ranges,
                             std::vector<Range>* out) {
  SumsQuestion item{plan, false, {ranges[0].bits, {}}, 0};
  item.child_bits = std::min(item.ranges.bits + kSplitBits, BucketSums::kBitsMax);
  for (const Range& range : ranges)
    item.ranges.prefixes.push_back(range.prefix);
  std::string here, there;
  SYNCLINE_TRY(ask_both(write_sums_question({item}), &here, &there));
  ByteReader ours(here), others(there);
  SYNCLINE_TRY(open_answer(here, Question::sums, &ours));
  SYNCLINE_TRY(open_answer(there, Question::sums, &others));
  const unsigned finer = item.child_bits - item.ranges.bits;
  for (const Range& range : ranges) {
    for (uint64_t child = 0; child < uint64_t{1} << finer; ++child) {
      RowSum a, b;
      SYNCLINE_TRY(read_sum(&ours, false, &a));
      SYNCLINE_TRY(read_sum(&others, false, &b));
      if (a == b) continue;
      out->push_back({item.child_bits, range.prefix << finer | child, a.count, b.count});
    }
  }
  return others.at_end() ? Status() : wrong_answer();
}

Status VerifyRun::compare_leaves(const DigestPlan& plan, const std::vector<Range>& leaves,
                                 const Visitor& visit) {
  for (size_t at = 0; at < leaves.size();) {
    uint64_t rows = 0;
    size_t end = at;
    while (end < leaves.size() && (end == at || rows < kRowsPerQuestion)) {
      rows += std::max(leaves[end].here, leaves[end].there);
      ++end;
    }
    std::vector<Suspect> suspects;
    SYNCLINE_TRY(compare_rows(plan, std::span(leaves).subspan(at, end - at), &suspects));
    SYNCLINE_TRY(examine(plan, suspects, visit));
    at = end;
  }
  return {};
}

Status VerifyRun::compare_rows(const DigestPlan& plan, std::span<const Range> leaves,
                               std::vector<Suspect>* out) {
  RangeQuestion question;
  question.plan = plan;
  question.ranges.bits = leaves[0].bits;
  for (const Range& range : leaves)
    question.ranges.prefixes.push_back(range.prefix);
  std::string answer;
  SYNCLINE_TRY(local_.answer(write_range_question(Question::list, question), &answer));
  SYNCLINE_TRY(read_list_answer(answer, &question.rows));
  SYNCLINE_TRY(ask(write_range_question(Question::compare, question), &answer));
  CompareAnswer compared;
  SYNCLINE_TRY(read_compare_answer(answer, question.rows.size(), &compared));
  std::unordered_map<uint64_t, size_t> by_hash;
  for (const uint64_t ordinal : compared.unmatched) {
    by_hash.emplace(question.rows[ordinal].hash, out->size());
    out->push_back({question.rows[ordinal].key, {}});
  }
  for (const ListedRow& row : compared.rows) {
    const auto pair = by_hash.find(row.hash);
    if (pair != by_hash.end() && (*out)[pair->second].there.empty()) {
      (*out)[pair->second].there = row.key;
    } else {
      out->push_back({{}, row.key});
    }
  }
  return {};
}

Status VerifyRun::examine(const DigestPlan& plan, const std::vector<Suspect>& suspects,
                          const Visitor& visit) {
  for (size_t at = 0; at < suspects.size(); at += limits::rows_per_batch) {
    const size_t size = std::min(limits::rows_per_batch, suspects.size() - at);
    SYNCLINE_TRY(examine_some(plan, std::span(suspects).subspan(at, size), visit));
  }
  return {};
}

Status VerifyRun::examine_some(const DigestPlan& plan, std::span<const Suspect> suspects,
                               const Visitor& visit) {
  RowsQuestion here{plan, {}, {}}, there{plan, {}, {}};
  for (const Suspect& suspect : suspects) {
    here.keys.push_back(suspect.local());
    there.keys.push_back(suspect.remote());
  }
  std::string answer;
  RowsAnswer ours, others;
  SYNCLINE_TRY(local_.answer(write_rows_question(Question::rows, here), &answer));
  SYNCLINE_TRY(read_rows_answer(answer, suspects.size(), &sites_, &ours));
  SYNCLINE_TRY(ask(write_rows_question(Question::rows, there), &answer));
  SYNCLINE_TRY(read_rows_answer(answer, suspects.size(), &sites_, &others));
  VersionVector our_vector, other_vector;
  SYNCLINE_TRY(vector_from_json(ours.vector, &sites_, &our_vector));
  SYNCLINE_TRY(vector_from_json(others.vector, &sites_, &other_vector));
  for (size_t i = 0; i < suspects.size(); ++i) {
    const RowFacts &a = ours.rows[i], &b = others.rows[i];
    if (a.stored() == b.stored() && (!a.stored() || a.digest == b.digest)) continue;
    const bool in_flight = has_news(a, other_vector) || has_news(b, our_vector);
    SYNCLINE_TRY(visit(plan, {suspects[i], judge(a, b, in_flight), a, b}));
  }
  return {};
}

Status VerifyRun::rewrite(bool here, const RowsQuestion& question) {
  if (question.keys.empty()) return {};
  std::string answer;
  const std::string bytes = write_rows_question(Question::rewrite, question);
  return here ? local_.answer(bytes, &answer) : ask(bytes, &answer);
}

std::string VerifyRun::pk_json(const DigestPlan& plan, const std::string& key) const {
  TableInfo table;
  table.name = plan.table;
  for (const ColumnSchema& column : plan.key) {
    table.key.push_back(table.column_count());
    ColumnInfo info;
    info.name = column.name;
    table.columns.push_back(std::move(info));
  }
  Arena arena;
  std::vector<Value> values;
  if (!decode_key(key, &arena, &values).ok() || values.size() != table.key.size()) return "null";
  return key_to_json(table, values);
}

const char* verdict_name(RowVerdict verdict) {
  switch (verdict) {
    case RowVerdict::different:
      return "different";
    case RowVerdict::only_here:
      return "only_here";
    case RowVerdict::only_there:
      return "only_there";
    case RowVerdict::in_flight:
      return "in_flight";
    case RowVerdict::held:
      return "held";
  }
  return "?";
}

bool VerifyReport::same() const {
  return consistent() && std::all_of(tables.begin(), tables.end(),
                                     [](const TableVerdict& t) { return t.in_flight == 0; });
}

bool VerifyReport::consistent() const {
  return std::all_of(tables.begin(), tables.end(), [](const TableVerdict& t) {
    return t.problem.empty() && t.different + t.only_here + t.only_there + t.held == 0;
  });
}

double VerifyReport::score() const {
  uint64_t same = 0, all = 0;
  for (const TableVerdict& t : tables) {
    same += t.same;
    all += t.same + t.different + t.only_here + t.only_there + t.held;
  }
  return all == 0 ? 1.0 : static_cast<double>(same) / static_cast<double>(all);
}

Status verify_peer(Endpoint* local, Endpoint* remote, const VerifyOptions& options,
                   VerifyReport* report) {
  *report = VerifyReport();
  VerifyRun run(local, remote, options, report);
  return run.run([&](const DigestPlan& plan, const Difference& difference) -> Status {
    if (report->rows.size() >= options.keys_max) return {};
    RowDifference row;
    row.table = plan.table;
    row.pk_json = run.pk_json(plan, difference.suspect.local());
    row.verdict = difference.verdict;
    report->rows.push_back(std::move(row));
    return {};
  });
}

Status verify_options_from_json(std::string_view json, bool repair, VerifyOptions* out) {
  JsonOptions in(repair ? "sync_repair" : "sync_verify");
  SYNCLINE_TRY(in.parse(json));
  SYNCLINE_TRY(in.text("table", &out->table));
  SYNCLINE_TRY(in.number("max_keys", 0, 1'000'000, &out->keys_max));
  if (!repair) {
    SYNCLINE_TRY(in.boolean("deep", &out->deep));
    return in.finish();
  }
  SYNCLINE_TRY(in.boolean("dry_run", &out->dry_run));
  SYNCLINE_TRY(in.text("from", &out->from));
  if (!out->from.empty() && out->from != "local" && out->from != "peer") {
    return {StatusCode::invalid_argument, "option \"from\" of sync_repair is \"" + out->from + "\"",
            "use \"local\" or \"peer\", or leave it out"};
  }
  return in.finish();
}

}  // namespace syncline
