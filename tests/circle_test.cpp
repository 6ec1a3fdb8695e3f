// Rows that wait for each other in a circle, over unique values and foreign keys
// (apply_circle.cpp): which of them are stored is the same everywhere, whatever came first.
#include <algorithm>

#include "support/two_sites.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

// Rows that may refer to each other, with one value that is unique.
TableRules node_rules(ForeignAction action) {
  return {{"node", {{"id", "integer"}, {"code", "integer"}, {"parent", "integer"}}, {0}},
          {{"code"}},
          {{{"parent"}, "node", action}},
          {},
          0,
          OnDelete::update_wins};
}

// Rows that lose their node when it is deleted.
TableRules mention_rules() {
  return {{"mention", {{"id", "integer"}, {"node_id", "integer"}}, {0}},
          {},
          {{{"node_id"}, "node", ForeignAction::set_null}},
          {},
          0,
          OnDelete::update_wins};
}

Value number(int64_t n) {
  return n == 0 ? Value::null() : integer(n);
}

class Site : public Database {
 public:
  Site(uint64_t number, ForeignAction action) : Database(number, false) {
    port.enable(node_rules(action));
  }
  bool add(int64_t id, int64_t code, int64_t parent) {
    port.set_clock(port.now_ms() + 1000);
    return port.insert("node", std::vector<Value>{integer(id), number(code), number(parent)});
  }
  bool set_node(int64_t id, const char* column, int64_t value) {
    return port.update("node", std::vector<Value>{integer(id)}, {{column, number(value)}});
  }
  bool has_children(int64_t id) const {
    const auto& rows = port.table("node")->base;
    return std::any_of(rows.begin(), rows.end(), [&](const auto& row) {
      return row.second.values[2] == OwnedValue(integer(id));
    });
  }
  // What stands in the base table, and which conflicts are open.
  std::string state() const {
    std::string out;
    for (const auto& [number, table] : port.data().tables) {
      for (const auto& [key, row] : table.base)
        out += table.info.name + " " + describe(views(row.values)) + "\n";
    }
    for (const auto& [id, open] : port.data().conflicts)
      out += id + "\n";
    return out;
  }
  std::string reasons() const {
    std::string out;
    for (const auto& [id, open] : port.data().conflicts) {
      out += std::string(conflict_kind_name(open.conflict.kind)) + ": " + open.reason + "\n";
    }
    return out;
  }
};

std::vector<Site> sites_with_mentions(uint64_t count, ForeignAction action) {
  std::vector<Site> sites;
  for (uint64_t i = 0; i < count; ++i) {
    sites.emplace_back(i + 1, action);
    sites.back().port.enable(mention_rules());
  }
  return sites;
}

// The node of the only mention.
OwnedValue mentioned(const Site& site) {
  return site.port.table("mention")->base.begin()->second.values[1];
}

std::set<std::string> stored(const Site& site) {
  std::set<std::string> out;
  for (const auto& [key, row] : site.port.table("node")->base)
    out.insert(key);
  return out;
}

std::set<std::string> keys(std::initializer_list<int64_t> ids) {
  std::set<std::string> out;
  for (const int64_t id : ids)
    out.insert(encode_key(std::vector<Value>{integer(id)}));
  return out;
}

// Something that an application does; constraints may refuse it.
void write(Site* site, Prng* random) {
  const auto id = static_cast<int64_t>(1 + random->below(12));
  const auto code = static_cast<int64_t>(1 + random->below(6));
  const auto& rows = site->port.table("node")->base;
  int64_t parent = 0;
  if (!rows.empty() && random->chance(0.6)) {
    const auto row = std::next(rows.begin(), static_cast<ptrdiff_t>(random->below(rows.size())));
    parent = row->second.values[0].view().as_integer();
  }
  site->port.set_clock(site->port.now_ms() + 1 + random->below(5000));
  switch (random->below(site->port.table("mention") == nullptr ? 8 : 9)) {
    case 0:
      if (!site->has_children(id)) site->port.erase("node", std::vector<Value>{integer(id)});
      return;
    case 1:
      site->set_node(id, "code", code);
      return;
    case 2:
      site->set_node(id, "parent", parent);
      return;
    case 8:
      site->port.insert("mention", std::vector<Value>{integer(id), number(parent)});
      return;
    default:
      site->add(id, code, parent);
  }
}

}  // namespace

TEST_CASE("circle: either half would do, and every site stores the same", "[apply][unit]") {
  // 1 goes before 2, 3 needs 2 and goes before 4, 1 needs 4: {1, 4} or {2, 3}.
  for (const bool other_first : {false, true}) {
    Site a(1, ForeignAction::cascade), b(2, ForeignAction::cascade);
    Site c(3, ForeignAction::cascade), d(4, ForeignAction::cascade);
    REQUIRE(a.add(4, 20, 0));
    REQUIRE(b.add(2, 10, 0));
    REQUIRE(a.add(1, 10, 4));
    REQUIRE(b.add(3, 20, 2));
    c.pull(&a), c.pull(&b);
    d.pull(&b), d.pull(&a);
    if (other_first) {
      b.pull(&a), a.pull(&b);
    } else {
      a.pull(&b), b.pull(&a);
    }
    const auto expected = stored(a);
    CHECK((expected == keys({1, 4}) || expected == keys({2, 3})));
    for (const Site* site : {&b, &c, &d}) {
      CHECK(site->state() == a.state());
      CHECK(site->reasons() == a.reasons());
    }
    // What brings nothing new changes nothing.
    for (Site* site : {&a, &b}) {
      const std::string before = site->state();
      CHECK(site->pull(site == &a ? &b : &a).applied == 0);
      CHECK(site->state() == before);
      CHECK(site->reasons() == b.reasons());
      CHECK(site->export_for(c.vector()).row_count == 0);
    }
    // The other half comes in when the first lets it.
    Site* const writer = expected == keys({1, 4}) ? &a : &b;
    REQUIRE(writer->set_node(writer == &a ? 1 : 2, "code", 30));
    REQUIRE(writer->set_node(writer == &a ? 4 : 3, "code", 40));
    a.swap_with(&b);
    CHECK(stored(a) == keys({1, 2, 3, 4}));
    CHECK(stored(b) == keys({1, 2, 3, 4}));
    CHECK(a.conflicts().empty());
  }
}

TEST_CASE("circle: deleted rows are not kept for one another alone", "[apply][unit]") {
  std::vector<Site> sites = sites_with_mentions(4, ForeignAction::restrict);
  Site &a = sites[0], &b = sites[1], &c = sites[2], &later = sites[3];
  REQUIRE(a.add(1, 0, 0));
  REQUIRE(a.add(2, 0, 0));
  b.pull(&a), c.pull(&a);
  // Each was deleted while it referred to the other.
  REQUIRE(a.set_node(2, "parent", 1));
  REQUIRE(a.port.erase("node", std::vector<Value>{integer(2)}));
  REQUIRE(b.set_node(1, "parent", 2));
  REQUIRE(b.port.erase("node", std::vector<Value>{integer(1)}));
  REQUIRE(c.add(3, 0, 2));
  REQUIRE(c.port.insert("mention", std::vector<Value>{integer(1), integer(1)}));
  a.pull(&b), a.pull(&c);
  b.pull(&a), c.pull(&a);
  for (const Site* site : {&a, &b, &c}) {
    CHECK(stored(*site) == keys({1, 2, 3}));
    CHECK(mentioned(*site) == OwnedValue(integer(1)));
  }
  REQUIRE(c.port.erase("node", std::vector<Value>{integer(3)}));
  a.pull(&c), b.pull(&c), c.pull(&a);
  later.pull(&b);
  for (const Site& site : sites) {
    CHECK(stored(site).empty());
    CHECK(mentioned(site).kind() == ValueKind::null);
    CHECK(site.state() == later.state());
  }
}

TEST_CASE("circle: a reference is not reset while its parent makes way for who does not stay",
          "[apply][unit]") {
  std::vector<Site> sites = sites_with_mentions(4, ForeignAction::restrict);
  Site &a = sites[0], &b = sites[1], &c = sites[2], &later = sites[3];
  REQUIRE(a.add(2, 10, 0));
  b.pull(&a);
  REQUIRE(a.set_node(2, "code", 20));
  c.pull(&a), later.pull(&a);
  REQUIRE(b.add(3, 20, 2));  // drives out what it needs, if that is deleted
  REQUIRE(c.port.insert("mention", std::vector<Value>{integer(1), integer(2)}));
  REQUIRE(later.port.erase("node", std::vector<Value>{integer(2)}));
  later.pull(&b), later.pull(&c);
  CHECK(mentioned(later).kind() == ValueKind::null);
  REQUIRE(a.add(1, 30, 2));  // keeps it
  later.pull(&a);
  a.pull(&b), a.pull(&c), a.pull(&later);
  for (const Site* site : {&a, &later}) {
    CHECK(stored(*site) == keys({1, 2}));
    CHECK(mentioned(*site) == OwnedValue(integer(2)));
    CHECK(site->state() == a.state());
  }
}

TEST_CASE("circle: what is stored does not depend on the order of arrival", "[apply][property]") {
  const ForeignAction kActions[] = {ForeignAction::cascade, ForeignAction::restrict,
                                    ForeignAction::set_null};
  const uint64_t first = number_from_env("SYNCLINE_FIRST", 0);
  const uint64_t count = number_from_env("SYNCLINE_SEEDS", 1000);
  for (uint64_t each = 2 * first; each < 2 * (first + count); ++each) {
    const uint64_t seed = each / 2;
    const bool with_mentions = each % 2 != 0;
    Prng random(seed);
    const ForeignAction action = kActions[seed % 3];
    std::vector<Site> sites;
    const uint64_t site_count = 2 + random.below(4);
    for (uint64_t i = 0; i < site_count; ++i) {
      sites.emplace_back(i + 1, action);
      if (with_mentions) sites.back().port.enable(mention_rules());
    }
    for (int step = 0; step < 30; ++step) {
      Site* const site = &sites[random.below(sites.size())];
      Site* const other = &sites[random.below(sites.size())];
      if (random.chance(0.1) && site != other) {
        site->pull(other);
      } else {
        write(site, &random);
      }
    }
    for (int round = 0; round < 3; ++round) {
      std::vector<std::pair<size_t, size_t>> pairs;
      for (size_t i = 0; i < sites.size(); ++i) {
        for (size_t j = 0; j < sites.size(); ++j) {
          if (i != j) pairs.push_back({i, j});
        }
      }
      random.shuffle(&pairs);
      for (const auto& [i, j] : pairs)
        sites[i].pull(&sites[j]);
    }
    INFO("SYNCLINE_FIRST=" << seed);
    for (const Site& site : sites) {
      CHECK(site.port.dangling().empty());
      CHECK(site.state() == sites[0].state());
      CHECK(sites[0].export_for(site.vector()).row_count == 0);
    }
  }
}
