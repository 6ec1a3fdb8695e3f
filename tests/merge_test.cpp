// The laws of the join, and the join against the naive reference. Small histories of up to three
// sites are tried exhaustively, then long random ones with five; each history is honest: a site
// knows what it wrote and what it merged, nothing else.
#include <functional>

#include "support/catch.hpp"
#include "support/prng.hpp"
#include "support/reference_merge.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

constexpr ColumnNumber kColumns = 2;

// One site's view of one row.
struct Replica {
  RowState row;
  VersionVector knowledge;
};

class History {
 public:
  explicit History(size_t count) : replicas(count) {
    for (size_t i = 0; i < count; ++i) {
      SiteId id;
      id.bytes[0] = static_cast<uint8_t>((i * 5 + 3) % 7);  // not in the order of indexes
      id.bytes[1] = static_cast<uint8_t>(i);
      sites.intern(id);
      replicas[i].row.column_count = kColumns;
    }
  }

  static constexpr uint64_t kWrites = 4;  // insert, update of either column, delete

  void write(size_t site, uint64_t what) {
    Replica& r = replicas[site];
    Version v;
    v.site = static_cast<SiteIndex>(site);
    v.seq = r.knowledge.seq(v.site) + 1;
    v.hlc = ++clock_ / 2;  // ties happen
    v.dead = what == 3;
    r.knowledge.set(v.site, {v.seq, v.hlc});
    const Value value = Value::integer(static_cast<int64_t>(clock_));
    if (what == 0 || what == 3 || r.row.rest.empty()) {
      r.row.write_all(v, std::vector<Value>(kColumns, value));
    } else {
      r.row.write_cell(static_cast<ColumnNumber>(what - 1), v, value);
    }
  }

  void pull(size_t to, size_t from) { replicas[to] = joined(replicas[to], replicas[from]); }

  Replica joined(const Replica& ours, const Replica& theirs) const {
    Replica out{joined_row(ours, theirs, true), ours.knowledge};
    out.knowledge.merge(theirs.knowledge);
    return out;
  }

  // What the exporter does with a holder of our knowledge: the whole row, or cells with news.
  RowState joined_row(const Replica& ours, const Replica& theirs, bool whole) const {
    RowChange change{theirs.row, whole};
    if (!whole) {
      change.state.rest.clear();
      change.state.rest_values.clear();
    }
    RowState out;
    join_rows(ours.row, {&ours.knowledge, nullptr}, change, {&theirs.knowledge, nullptr}, sites,
              &out);
    return out;
  }

  SiteTable sites;
  std::vector<Replica> replicas;

 private:
  uint64_t clock_ = 0;
};

std::string text(const RowState& row) {
  return describe(reference_of(row));
}

// Everything that must hold of any two honest replicas.
void check_pair(const History& h, const Replica& a, const Replica& b) {
  const Known knows_a{&a.knowledge, nullptr}, knows_b{&b.knowledge, nullptr};
  const ReferenceRow naive =
      reference_join(reference_of(a.row), knows_a, reference_of(b.row), knows_b);
  const Replica ab = h.joined(a, b), ba = h.joined(b, a);
  if (text(ab.row) != describe(naive)) {
    FAIL_CHECK("join of " << text(a.row) << " and " << text(b.row) << " is " << text(ab.row)
                          << ", by definition " << describe(naive));
  }
  if (text(ab.row) != text(ba.row))
    FAIL_CHECK("not commutative: " << text(a.row) << " and " << text(b.row));
  if (!same_versions(ab.row, ba.row)) FAIL_CHECK("one set, two representations");
  const Replica again = h.joined(ab, b);
  if (text(again.row) != text(ab.row))
    FAIL_CHECK("not idempotent: " << text(a.row) << " and " << text(b.row));
  // No exception equals rest: a set has one representation.
  for (ColumnNumber c = 0; c < kColumns; ++c) {
    const auto cell = ab.row.exceptions(c);
    const bool same =
        !cell.empty() &&
        std::equal(cell.begin(), cell.end(), ab.row.rest.begin(), ab.row.rest.end(),
                   [](const CellVersion& x, const Version& y) { return x.version.same_dot(y); });
    if (same) FAIL_CHECK("an exception equals rest in " << text(ab.row));
  }
  // Monotone: what is gone from both was superseded, and nothing known comes back.
  for (size_t c = 0; c < naive.size(); ++c) {
    for (const auto& [dot, v] : naive[c]) {
      const bool in_a = reference_of(a.row)[c].count(dot) > 0;
      const bool in_b = reference_of(b.row)[c].count(dot) > 0;
      if (!in_a && knows_a.has(v.version)) FAIL_CHECK("a superseded version came back");
      if (!in_b && knows_b.has(v.version)) FAIL_CHECK("a superseded version came back");
    }
  }
}

void check_triple(const History& h, const Replica& a, const Replica& b, const Replica& c) {
  const Replica left = h.joined(h.joined(a, b), c), right = h.joined(a, h.joined(b, c));
  if (text(left.row) != text(right.row)) {
    FAIL_CHECK("not associative: " << text(a.row) << ", " << text(b.row) << ", " << text(c.row));
  }
}

void check_shown(const History& h, const RowState& row) {
  for (const OnDelete on_delete :
       {OnDelete::update_wins, OnDelete::delete_wins, OnDelete::last_writer}) {
    if (row.empty()) continue;
    ShownRow shown;
    TableInfo table;
    table.columns.resize(kColumns);
    table.on_delete = on_delete;
    show_row(row, table, h.sites, &shown);
    const ReferenceShown naive = reference_show(reference_of(row), h.sites, on_delete);
    if (shown.alive != naive.alive) FAIL_CHECK("alive differs for " << text(row));
    for (ColumnNumber c = 0; c < kColumns; ++c) {
      if (!(OwnedValue(shown.values[c]) == naive.values[c])) {
        FAIL_CHECK("column " << c << " differs for " << text(row));
      }
    }
  }
}

// All actions of `count` sites: each writes in four ways, and pulls from each other one.
struct Action {
  size_t site;
  uint64_t write;  // kWrites: pull
  size_t from;
};
std::vector<Action> actions_of(size_t count) {
  std::vector<Action> out;
  for (size_t site = 0; site < count; ++site) {
    for (uint64_t w = 0; w < History::kWrites; ++w)
      out.push_back({site, w, 0});
    for (size_t from = 0; from < count; ++from) {
      if (from != site) out.push_back({site, History::kWrites, from});
    }
  }
  return out;
}

void act(History* h, const Action& action) {
  if (action.write < History::kWrites) {
    h->write(action.site, action.write);
  } else {
    h->pull(action.site, action.from);
  }
}

// Every history of `depth` actions, by recursion.
void every_history(const History& h, const std::vector<Action>& actions, int depth,
                   const std::function<void(const History&)>& visit) {
  visit(h);
  if (depth == 0) return;
  for (const Action& action : actions) {
    History next = h;
    act(&next, action);
    every_history(next, actions, depth - 1, visit);
  }
}

}  // namespace

TEST_CASE("merge: every short history of two sites obeys the laws", "[merge][unit]") {
  every_history(History(2), actions_of(2), 4, [](const History& h) {
    check_pair(h, h.replicas[0], h.replicas[1]);
    check_shown(h, h.joined(h.replicas[0], h.replicas[1]).row);
  });
}

TEST_CASE("merge: every short history of three sites is associative", "[merge][unit]") {
  every_history(History(3), actions_of(3), 3, [](const History& h) {
    check_triple(h, h.replicas[0], h.replicas[1], h.replicas[2]);
  });
}

TEST_CASE("merge: random histories agree with the reference", "[merge][unit]") {
  const uint64_t first = number_from_env("SYNCLINE_SEED", 1);
  for (uint64_t seed = first; seed < first + 300; ++seed) {
    INFO("SYNCLINE_SEED=" << seed);
    Prng prng(seed);
    History h(2 + prng.below(4));
    const std::vector<Action> actions = actions_of(h.replicas.size());
    for (int step = 0; step < 60; ++step) {
      act(&h, prng.pick(actions));
      const Replica& a = prng.pick(h.replicas);
      const Replica& b = prng.pick(h.replicas);
      check_pair(h, a, b);
      check_triple(h, a, b, prng.pick(h.replicas));
      check_shown(h, a.row);
    }
  }
}

TEST_CASE("merge: a context counts as knowledge of its row", "[merge][unit]") {
  const uint64_t first = number_from_env("SYNCLINE_SEED", 1);
  for (uint64_t seed = first; seed < first + 100; ++seed) {
    INFO("SYNCLINE_SEED=" << seed);
    Prng prng(seed);
    History h(3);
    for (int step = 0; step < 20; ++step)
      act(&h, prng.pick(actions_of(3)));
    const Replica &a = h.replicas[0], &b = h.replicas[1];
    // The same knowledge, split between the site's vector and the row's context.
    VersionVector lower, context = a.knowledge;
    for (SiteIndex s = 0; s < a.knowledge.size(); ++s) {
      lower.set(s, {prng.below(a.knowledge.seq(s) + 1), 0});
    }
    RowState whole, split;
    const RowChange change{b.row, true};
    join_rows(a.row, {&a.knowledge, nullptr}, change, {&b.knowledge, nullptr}, h.sites, &whole);
    join_rows(a.row, {&lower, &context}, change, {&b.knowledge, nullptr}, h.sites, &split);
    CHECK(text(whole) == text(split));
    join_rows(b.row, {&b.knowledge, nullptr}, {a.row, true}, {&lower, &context}, h.sites, &split);
    CHECK(text(whole) == text(split));
  }
}

TEST_CASE("merge: a row that travels in part leaves its other cells alone", "[merge][unit]") {
  History h(2);
  h.write(0, 0);
  h.pull(1, 0);
  h.write(0, 1);
  h.write(1, 2);
  const RowState part = h.joined_row(h.replicas[0], h.replicas[1], false);
  CHECK(text(part) == text(h.joined(h.replicas[0], h.replicas[1]).row));
  CHECK(part.rest.size() == 1);
  CHECK(part.cells.size() == 2);
}

TEST_CASE("merge: context and held flag stay ours", "[merge][unit]") {
  History h(2);
  h.write(0, 0);
  h.write(1, 0);
  h.replicas[0].row.context = 7;
  h.replicas[0].row.held = true;
  h.replicas[1].row.context = 9;
  const RowState joined = h.joined(h.replicas[0], h.replicas[1]).row;
  CHECK(joined.context == 7);
  CHECK(joined.held);
}

TEST_CASE("merge: has_news tells a version beyond a vector, in any cell", "[merge][unit]") {
  History h(2);
  h.write(0, 0);
  h.pull(1, 0);
  VersionVector known = h.replicas[0].knowledge;
  CHECK_FALSE(has_news(h.replicas[0].row, known));
  h.write(1, 2);
  CHECK(has_news(h.replicas[1].row, known));
  CHECK_FALSE(has_news(h.replicas[1].row, h.replicas[1].knowledge));
}
