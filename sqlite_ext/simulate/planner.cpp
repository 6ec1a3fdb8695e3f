// See planner.h: what happens, and how often.
#include "sqlite_ext/simulate/planner.h"

#include <algorithm>

namespace syncline::simulate {

Planner::Planner(const Blueprint& blueprint, const PlanOptions& options, uint64_t seed, Plan* plan)
    : blueprint_(blueprint), options_(options), random_(seed), values_(&random_), plan_(*plan) {
  plan_.seed = seed;
  choose_sites();
  choose_weights();
  choose_graph();
}

void Planner::choose_sites() {
  static const std::vector<uint32_t> kCounts = {2, 2, 3, 3, 3, 4, 4, 5, 6, 8};
  static const std::vector<const char*> kJournals = {"delete", "memory", "truncate", "wal"};
  static const std::vector<int64_t> kSkews = {0, 0, 0, -90'000, 90'000, -1'500, 1'500};
  const uint32_t count = options_.sites != 0 ? options_.sites : random_.pick(kCounts);
  const bool foreign_keys = !random_.percent(15);
  for (uint32_t i = 0; i < count; ++i) {
    SiteSetup setup;
    setup.connection.journal = random_.pick(kJournals);
    // A journal in memory does not outlive the process.
    std::string& journal = setup.connection.journal;
    if (options_.faults && journal == "memory") journal = "persist";
    setup.connection.cache_pages = random_.percent(30) ? 10 : 500;
    setup.connection.foreign_keys = foreign_keys;
    if (options_.faults && i > 0) setup.skew_ms = random_.pick(kSkews);
    plan_.sites.push_back(setup);
  }
}

void Planner::choose_weights() {
  static const std::vector<uint64_t> kWeights = {1, 2, 4, 8, 16};
  const auto weight = [&](Step step) -> uint64_t& { return weights_[static_cast<size_t>(step)]; };
  for (uint64_t& w : weights_)
    w = random_.percent(45) ? random_.pick(kWeights) : 0;
  weight(Step::write) = 30 + random_.below(60);
  weight(Step::exchange) = 15 + random_.below(40);
  weight(Step::copy) = std::min<uint64_t>(weight(Step::copy), 1);
  weight(Step::rename) = random_.percent(10) ? 1 : 0;
  weight(Step::identity) = std::min<uint64_t>(weight(Step::identity), 2);
  weight(Step::restore) = std::min<uint64_t>(weight(Step::restore), 4);
  if (!options_.policies) weight(Step::policy) = 0;
  plan_.melts = random_.percent(35);
  weight(Step::maintain) = plan_.melts ? 4 + random_.below(12) : 0;
  if (blueprint_.alterations.empty()) weight(Step::alter) = weight(Step::rename) = 0;
  if (!options_.faults) {
    for (const Step step : {Step::mail, Step::save, Step::restore, Step::copy, Step::kill,
                            Step::clock, Step::identity})
      weight(step) = 0;
    return;
  }
  static const std::vector<uint8_t> kChances = {0, 0, 10, 30};
  for (uint8_t* chance : {&drop_, &repeat_, &reorder_, &damage_, &kill_})
    *chance = random_.pick(kChances);
  if (!plan_.melts) return;
  for (const Step step : {Step::save, Step::restore, Step::copy, Step::identity})
    weight(step) = 0;
}

void Planner::choose_graph() {
  const auto count = static_cast<uint32_t>(plan_.sites.size());
  const uint64_t kind = random_.below(4);
  for (uint32_t a = 0; a < count; ++a) {
    for (uint32_t b = a + 1; b < count; ++b) {
      const bool ring = b == a + 1 || (a == 0 && b == count - 1);
      const bool take = kind == 0 || (kind == 1 && ring) || (kind == 2 && a == 0) ||
                        (kind == 3 && (ring || random_.percent(40)));
      if (take) graph_.emplace_back(a, b);
    }
  }
}

Step Planner::pick_step() {
  uint64_t sum = 0;
  for (const uint64_t w : weights_)
    sum += w;
  uint64_t roll = random_.below(sum);
  for (size_t i = 0; i < kSteps; ++i) {
    if (roll < weights_[i]) return static_cast<Step>(i);
    roll -= weights_[i];
  }
  return Step::write;
}

void Planner::transfer(Transfer* out) {
  static const std::vector<uint32_t> kSizes = {64, 64, 200, 1'000, 1'000'000};
  static const std::vector<const char*> kCompressions = {"none", "none", "zstd", "lz4"};
  out->seed = random_.next();
  out->max_bytes = random_.pick(kSizes);
  out->compress = random_.pick(kCompressions);
  out->one_by_one = random_.percent(30);
  out->resume = random_.percent(85);
  if (!options_.faults) return;
  if (random_.percent(30)) out->pieces = 1 + static_cast<uint32_t>(random_.below(3));
  if (random_.percent(40)) return;
  out->drop = drop_;
  out->repeat = repeat_;
  out->reorder = reorder_;
  out->damage = damage_;
  out->kill = kill_;
}

Action Planner::next(World* world) {
  Action action;
  const auto count = static_cast<uint32_t>(world->members().size());
  action.step = pick_step();
  action.site = static_cast<uint32_t>(random_.below(count));
  action.number = random_.next() >> 16;
  World::Member* member = &world->members()[action.site];
  switch (action.step) {
    case Step::write: write(world, member, &action); break;
    case Step::exchange: {
      // Sites that began as copies talk to anyone.
      auto [a, b] = random_.pick(graph_);
      if (count > plan_.sites.size() && random_.percent(40)) {
        a = static_cast<uint32_t>(random_.below(count));
        b = (a + 1 + static_cast<uint32_t>(random_.below(count - 1))) % count;
      }
      if (random_.percent(50)) std::swap(a, b);
      action.site = a;
      action.other = b;
      transfer(&action.transfer);
      break;
    }
    case Step::maintain:
      if (weights_[static_cast<size_t>(Step::kill)] > 0 && random_.percent(20)) {
        action.end = End::kill_in_commit;
      }
      break;
    case Step::decide: decide(&action); break;
    case Step::policy: policy(world, &action); break;
    default: break;
  }
  return action;
}

void Planner::decide(Action* action) {
  static const std::vector<const char*> kChoices = {"local", "remote", "merged"};
  const std::string order = " ORDER BY table_name, pk, column_name, kind LIMIT 1 OFFSET ";
  if (random_.percent(15)) {
    action->sql.push_back("SELECT sync_undo(id) FROM (SELECT id FROM sync_conflicts WHERE "
                          "status = 'closed' AND how = 'decision'" + order +
                          std::to_string(random_.below(2)) + ")");
    return;
  }
  if (random_.percent(15)) {
    action->sql.push_back("SELECT sync_resolve_all('{\"table\": \"" +
                          random_.pick(blueprint_.tables).name + "\"}', '" +
                          random_.pick(kChoices) + "')");
    return;
  }
  action->sql.push_back("SELECT sync_resolve(id, '" + std::string(random_.pick(kChoices)) +
                        "') FROM (SELECT id FROM sync_conflicts WHERE status = 'open'" + order +
                        std::to_string(random_.below(4)) + ")");
}

void Planner::policy(World* world, Action* action) {
  static const std::vector<const char*> kAny = {"last_writer", "first_writer", "max", "min",
                                                "manual", "default"};
  static const std::vector<const char*> kNumbers = {"counter", "counter", "sql:max(a, b)"};
  static const std::vector<const char*> kTexts = {"union", "json", "text", "concat", "sql:a || b"};
  World::Member* member = &world->members()[action->site];
  const std::string& table = random_.pick(blueprint_.tables).name;
  const Shape& shaped = shape(member, table);
  const size_t column = random_.below(shaped.base.columns.size());
  const LogicalKind kind = shaped.kinds[column];
  const bool number = kind == LogicalKind::integer || kind == LogicalKind::floating;
  const bool text = kind == LogicalKind::text || kind == LogicalKind::json;
  const bool any = random_.percent(50) || (!number && !text);
  const std::string policy = random_.pick(any ? kAny : number ? kNumbers : kTexts);
  action->sql.push_back("SELECT sync_set_policy(" + quote_text(table) + ", " +
                        quote_text(shaped.base.columns[column].name) + ", " + quote_text(policy) +
                        ")");
}

}  // namespace syncline::simulate
