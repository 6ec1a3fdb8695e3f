// Goal: concurrent increments of a counter add up, exactly once each, whatever way they travelled;
// assignments, deletes and values that are no numbers follow the rules of cell_merge.h. Method:
// hand-made histories, and random ones compared with sets of increments that know the true past.
// Covers cell_note.cpp as well.
#include "support/noted_cell.hpp"

namespace syncline::test {
namespace {

constexpr WriteKind kAssign = WriteKind::assign, kChange = WriteKind::change,
                    kErase = WriteKind::erase;

NotedPolicy counter(LogicalKind kind = LogicalKind::integer) {
  return {kind, "", counter_note, counter_value};
}

Value number(int64_t n) {
  return Value::integer(n);
}

int64_t integer_at(const NotedCells& cells, size_t site) {
  const OwnedValue value = cells.shown(site).value;
  REQUIRE(value.kind() == ValueKind::integer);
  return value.view().as_integer();
}

bool any_lost(const ShownCell& shown) {
  return std::find(shown.lost.begin(), shown.lost.end(), true) != shown.lost.end();
}

// Two or three sites that begin with one assigned value.
struct Counters {
  explicit Counters(const Value& first, LogicalKind kind = LogicalKind::integer)
      : cells(counter(kind), 3, &prng) {
    cells.write(0, kAssign, first);
    cells.send_all();
  }
  Prng prng{1};
  NotedCells cells;
};

TEST_CASE("counter: concurrent increments add up", "[merge_counter][unit]") {
  Counters c(number(10));
  c.cells.write(0, kChange, number(11));
  c.cells.write(1, kChange, number(13));
  c.cells.write(1, kChange, number(8));
  c.cells.write(2, kChange, number(110));
  c.cells.send(0, 1);
  CHECK(integer_at(c.cells, 1) == 9);
  c.cells.send(1, 2);  // a relay
  CHECK(integer_at(c.cells, 2) == 109);
  CHECK(!any_lost(c.cells.shown(2)));
  c.cells.write(2, kChange, number(110));
  c.cells.write(0, kChange, number(21));  // has seen nothing of it
  c.cells.send_all();
  for (size_t site = 0; site < 3; ++site)
    CHECK(integer_at(c.cells, site) == 120);
}

TEST_CASE("counter: an inserted row and its first increment need few bytes or none",
          "[merge_counter][unit]") {
  Counters c(number(0));
  CHECK(c.cells.history[0].note.empty());
  const size_t own = c.cells.write(0, kChange, number(1));
  CHECK(c.cells.history[own].note.size() <= 20);
  const size_t other = c.cells.write(1, kChange, number(1));
  CHECK(c.cells.history[other].note.size() <= 36);
}

TEST_CASE("counter: an assignment takes what its writer had seen, and only that",
          "[merge_counter][unit]") {
  Counters c(number(10));
  c.cells.write(1, kChange, number(15));
  c.cells.send(1, 0);
  c.cells.write(0, kAssign, number(100));
  c.cells.write(1, kChange, number(16));
  c.cells.write(2, kChange, number(12));
  c.cells.send_all();
  const ShownCell shown = c.cells.shown(0);
  CHECK(integer_at(c.cells, 0) == 103);
  CHECK(!any_lost(shown));  // the first assignment was seen by the second
}

TEST_CASE("counter: of two concurrent assignments the greater stands and the other is lost",
          "[merge_counter][unit]") {
  Counters c(number(10));
  c.cells.write(0, kAssign, number(100));
  c.cells.write(1, kAssign, number(200));
  c.cells.write(1, kChange, number(201));
  c.cells.write(2, kChange, number(11));
  c.cells.send_all();
  const ShownCell shown = c.cells.shown(0);
  const Version first = c.cells.history[1].version, second = c.cells.history[2].version;
  const bool second_stands = compare_versions(first, second, c.cells.sites()) < 0;
  CHECK(shown.value.view().as_integer() == (second_stands ? 202 : 102));
  CHECK(std::count(shown.lost.begin(), shown.lost.end(), true) == 1);
  c.cells.write(2, kChange, number(7));  // a write that has seen it closes it
  c.cells.write(0, kChange, number(shown.value.view().as_integer() + 1));
  c.cells.send_all();
  CHECK(integer_at(c.cells, 0) == 8);
  CHECK(!any_lost(c.cells.shown(0)));
}

TEST_CASE("counter: equal rows that two sites had before add up", "[merge_counter][unit]") {
  Prng prng(1);
  NotedCells cells(counter(), 2, &prng);
  cells.write(0, kAssign, number(5));
  cells.write(1, kAssign, number(5));
  cells.write(0, kChange, number(6));
  cells.write(1, kChange, number(8));
  cells.send_all();
  CHECK(integer_at(cells, 0) == 9);
  CHECK(!any_lost(cells.shown(0)));
}

TEST_CASE("counter: what a delete saw does not count when the row is inserted anew",
          "[merge_counter][unit]") {
  Counters c(number(10));
  c.cells.write(1, kChange, number(15));
  c.cells.send_all();
  c.cells.write(0, kErase, Value());
  c.cells.write(0, kAssign, number(1));
  c.cells.write(1, kChange, number(17));  // +2, not seen by the delete
  c.cells.send_all();
  CHECK(integer_at(c.cells, 2) == 3);
  CHECK(!any_lost(c.cells.shown(2)));
}

TEST_CASE("counter: what only the deleter of a row knew stays away from one that lives on",
          "[merge_counter][unit]") {
  Counters c(number(10));
  c.cells.write(0, kChange, number(12));
  c.cells.write(0, kErase, Value());
  c.cells.write(1, kChange, number(11));
  c.cells.send_all();
  CHECK(integer_at(c.cells, 0) == 11);
  // Two writes over the same tombstone: each counts once, and the value stays what was seen.
  c.cells.write(1, kChange, number(12));
  c.cells.write(2, kChange, number(13));
  c.cells.send_all();
  CHECK(integer_at(c.cells, 0) == 14);
  c.cells.write(0, kChange, number(15));
  c.cells.write(1, kChange, number(15));
  c.cells.send_all();
  CHECK(integer_at(c.cells, 2) == 16);
}

TEST_CASE("counter: the image of a deleted cell goes on counting", "[merge_counter][unit]") {
  Counters c(number(10));
  c.cells.write(0, kChange, number(12));
  c.cells.write(0, kErase, Value());
  c.cells.send_all();  // the row lives through another column
  c.cells.write(1, kChange, number(13));
  c.cells.write(2, kChange, number(14));
  c.cells.send_all();
  CHECK(integer_at(c.cells, 0) == 15);
}

TEST_CASE("counter: no number, no sum", "[merge_counter][unit]") {
  Counters c(Value::null());
  c.cells.write(0, kChange, number(5));  // from NULL: an assignment
  c.cells.write(1, kChange, Value::null());
  c.cells.send_all();
  const ShownCell shown = c.cells.shown(0);
  CHECK(shown.value == c.cells.history[shown.live[1]].after);
  CHECK(shown.lost == std::vector<bool>{true, false});
  c.cells.write(0, kChange, Value::text("many"));
  c.cells.send_all();
  c.cells.write(0, kChange, number(1));
  c.cells.write(1, kChange, number(1));
  c.cells.send_all();
  CHECK(integer_at(c.cells, 0) == 1);
  CHECK(!any_lost(c.cells.shown(0)));
}

TEST_CASE("counter: a sum beyond 64 bits is an assignment", "[merge_counter][unit]") {
  const int64_t most = INT64_MAX;
  Counters c(number(most - 2));
  c.cells.write(0, kChange, number(most));
  c.cells.write(1, kChange, number(most));
  c.cells.send_all();
  CHECK(integer_at(c.cells, 0) == most);
  CHECK(!any_lost(c.cells.shown(0)));  // both show the same
  c.cells.write(0, kChange, number(0));
  c.cells.write(1, kChange, number(most));
  c.cells.send_all();
  const ShownCell shown = c.cells.shown(0);
  CHECK(shown.lost == std::vector<bool>{true, false});
  CHECK(shown.value == c.cells.history[shown.live[1]].after);
  // Far apart, but the sum fits.
  Counters d(number(INT64_MIN));
  d.cells.write(0, kChange, number(INT64_MAX));
  d.cells.write(1, kChange, number(INT64_MIN + 1));
  d.cells.write(1, kChange, number(INT64_MIN));
  d.cells.send_all();
  CHECK(integer_at(d.cells, 0) == INT64_MAX);
}

TEST_CASE("counter: numerics are exact and keep their scale, reals are reals",
          "[merge_counter][unit]") {
  Counters c(Value::text("0.10"), LogicalKind::numeric);
  c.cells.write(0, kChange, Value::text("0.30"));
  c.cells.write(1, kChange, Value::text("12345678901234567890.125"));
  c.cells.send_all();
  CHECK(c.cells.shown(0).value == Value::text("12345678901234567890.325"));
  Counters nan(Value::text("NaN"), LogicalKind::numeric);
  nan.cells.write(0, kChange, Value::text("1"));
  nan.cells.write(1, kChange, Value::text("2"));
  nan.cells.send_all();
  CHECK(any_lost(nan.cells.shown(0)));
  Counters f(Value::real(0.5), LogicalKind::floating);
  f.cells.write(0, kChange, Value::real(0.75));
  f.cells.write(1, kChange, Value::real(-1));
  f.cells.send_all();
  CHECK(f.cells.shown(0).value == Value::real(-0.75));
  Counters any(number(1), LogicalKind::any);
  any.cells.write(0, kChange, Value::real(1.5));
  any.cells.write(1, kChange, number(3));
  any.cells.send_all();
  CHECK(any.cells.shown(0).value == Value::real(3.5));
  Counters infinite(Value::real(1e308), LogicalKind::floating);
  infinite.cells.write(0, kChange, Value::real(1.7e308));
  infinite.cells.write(1, kChange, Value::real(1.6e308));
  infinite.cells.send_all();
  CHECK(any_lost(infinite.cells.shown(0)));
}

// What is true of a version: which writes' increments it knows, and which of them its assignment
// leaves out.
struct TrueCounter {
  size_t assignment = 0;
  std::set<size_t> known, seen;
};

class CounterTruth {
 public:
  explicit CounterTruth(const NotedCells& cells) : cells_(cells) {}

  // Notes the latest write of the history.
  void add() {
    const CellWrite& write = cells_.history[states_.size()];
    TrueCounter all;
    std::vector<size_t> live;
    for (const size_t past : write.replaced) {
      all.known.insert(states_[past].known.begin(), states_[past].known.end());
      if (!cells_.history[past].version.dead) live.push_back(past);
    }
    if (write.kind != WriteKind::change) {
      states_.push_back({states_.size(), all.known, all.known});
      return;
    }
    TrueCounter state;
    if (live.empty()) {
      state = {write.replaced.back(), all.known, all.known};
    } else {
      state = joined(live);
      for (const size_t increment : all.known) {
        if (state.known.insert(increment).second) state.seen.insert(increment);
      }
    }
    state.known.insert(states_.size());
    states_.push_back(state);
  }

  TrueCounter joined(const std::vector<size_t>& live) const {
    TrueCounter all = states_[live[0]];
    for (const size_t one : live) {
      const TrueCounter& state = states_[one];
      all.known.insert(state.known.begin(), state.known.end());
      const int order = compare(state.assignment, all.assignment);
      if (order < 0) continue;
      if (order > 0) all.seen.clear();
      all.assignment = state.assignment;
      all.seen.insert(state.seen.begin(), state.seen.end());
    }
    return all;
  }

  // Versions whose deletes took different increments of the same site away: a note tells only the
  // later of such losses.
  bool is_ambiguous(const std::vector<size_t>& live) const {
    const TrueCounter all = joined(live);
    for (const size_t one : live) {
      if (states_[one].assignment != all.assignment || states_[one].seen == all.seen) continue;
      std::set<SiteIndex> own, missing;
      for (const size_t increment : all.seen) {
        const bool here = states_[one].seen.count(increment) > 0;
        (here ? own : missing).insert(cells_.history[increment].version.site);
      }
      for (const SiteIndex site : missing)
        if (own.count(site) > 0) return true;
    }
    return false;
  }

  int64_t value(const std::vector<size_t>& live) const {
    const TrueCounter all = joined(live);
    int64_t sum = cells_.history[all.assignment].after.view().as_integer();
    for (const size_t increment : all.known) {
      if (all.seen.count(increment) > 0) continue;
      const CellWrite& write = cells_.history[increment];
      sum += write.after.view().as_integer() - write.before.view().as_integer();
    }
    return sum;
  }

  bool has_conflict(const std::vector<size_t>& live) const {
    const TrueCounter all = joined(live);
    return std::any_of(live.begin(), live.end(), [&](size_t one) {
      const size_t mine = states_[one].assignment;
      const bool known = std::any_of(live.begin(), live.end(), [&](size_t other) {
        return states_[other].assignment == all.assignment &&
               cells_.history[other].past.count(mine) > 0;
      });
      return !known && !(cells_.history[mine].after == cells_.history[all.assignment].after);
    });
  }

 private:
  int compare(size_t a, size_t b) const {
    return compare_versions(cells_.history[a].version, cells_.history[b].version, cells_.sites());
  }
  const NotedCells& cells_;
  std::vector<TrueCounter> states_;
};

// Runs a random history; false if it became ambiguous.
bool run_history(uint64_t seed, double erase_chance) {
  Prng prng(seed);
  const size_t site_count = 2 + prng.below(4);
  NotedCells cells(counter(), site_count, &prng);
  CounterTruth truth(cells);
  const auto check = [&](size_t site) {
    const ShownCell shown = cells.shown(site);
    if (!shown.alive) return true;
    if (truth.is_ambiguous(shown.live)) return false;
    INFO("seed " << seed << ", site " << site << ", writes " << cells.history.size());
    REQUIRE(integer_at(cells, site) == truth.value(shown.live));
    REQUIRE(any_lost(shown) == truth.has_conflict(shown.live));
    return true;
  };
  for (uint64_t step = 5 + prng.below(40); step > 0; --step) {
    const size_t site = prng.below(site_count), other = prng.below(site_count);
    if (prng.chance(0.5)) {
      cells.send(site, other);
      if (!check(other)) return false;
      continue;
    }
    const ShownCell shown = cells.shown(site);
    const bool has_image = !shown.alive && !cells.versions(site).empty() && prng.chance(0.3);
    if (shown.alive && prng.chance(erase_chance)) {
      cells.write(site, kErase, Value());
    } else if ((!shown.alive && !has_image) || prng.chance(0.15)) {
      cells.write(site, kAssign, number(static_cast<int64_t>(prng.below(3)) * 1000));
    } else {
      const int64_t delta = static_cast<int64_t>(prng.below(21)) - 10;
      cells.write(site, kChange, number(integer_at(cells, site) + delta));
    }
    truth.add();
    if (!check(site)) return false;
  }
  cells.send_all();
  for (size_t site = 0; site < site_count; ++site) {
    CHECK(cells.versions(site) == cells.versions(0));
    CHECK(cells.shown(site).value == cells.shown(0).value);
    if (!check(site)) return false;
  }
  return true;
}

TEST_CASE("counter: random histories count what truly happened", "[merge_counter][simulation]") {
  const uint64_t runs = number_from_env("SYNCLINE_RUNS", 4000);
  uint64_t ambiguous = 0;
  for (uint64_t seed = 1; seed <= runs; ++seed) {
    CHECK(run_history(seed, 0));
    if (!run_history(seed, 0.15)) ++ambiguous;
  }
  CHECK(ambiguous * 100 < runs * 3);
}

TEST_CASE("counter: the bytes of a note are a format", "[merge_counter][unit]") {
  CHECK(sample_note(counter(), number(10), number(12), number(12), number(15)) ==
        "1102"
        "a0000000000000000000000000000000"
        "a1000000000000000000000000000000"
        "0201050207010105ac0202140202070204000009020600");
}

TEST_CASE("counter: damaged notes do no harm", "[merge_counter][hostile]") {
  Prng prng(7);
  const std::vector<std::string> values = {"12", "-7", "99999999999999999999", "x", "0.50"};
  const LogicalKind kinds[] = {LogicalKind::integer, LogicalKind::numeric, LogicalKind::any,
                               LogicalKind::floating};
  for (int round = 0; round < 3000; ++round) {
    NotedCells cells(counter(), 3, &prng);
    std::vector<std::string> notes(1);
    cells.write(0, kAssign, number(1));
    for (int i = 0; i < 5; ++i) {
      const size_t site = prng.below(3);
      cells.send(prng.below(3), site);
      const WriteKind kind = static_cast<WriteKind>(prng.below(3));
      notes.push_back(cells.history[cells.write(site, kind, number(i + 1))].note);
    }
    feed_damaged_notes(counter(kinds[prng.below(4)]), values, notes, &prng);
  }
}

}  // namespace
}  // namespace syncline::test
