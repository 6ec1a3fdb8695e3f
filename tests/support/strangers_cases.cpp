// Part of horizon_test: databases that have dropped metadata and never met (apply_full.cpp,
// apply_names.cpp, merge.cpp). What they have forgotten of each other leaves no difference when
// they meet.
#include "support/melting_group.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

// What strangers have of each other before all have met.
void meet_all(std::vector<Database*> all) {
  for (int round = 0; round < 3; ++round) {
    for (Database* a : all) {
      for (Database* b : all) {
        if (a != b) sync(a, b);
      }
    }
  }
}

// Databases that have not met.
struct Strangers {
  Database a{1}, b{2}, c{3}, d{4};
  Strangers() {
    for (Database* db : {&a, &b, &c, &d}) db->port.join_members();
  }
};

// Of a and b, b has deleted a row; a has forgotten that, b not. Nobody knows of c.
struct Forgotten {
  Database a{1, false}, b{2, false}, c{3, false};
  const OnDelete on_delete;
  explicit Forgotten(OnDelete rule) : on_delete(rule) {
    for (Database* db : {&a, &b, &c}) {
      TableRules item = item_rules();
      item.on_delete = on_delete;
      db->port.enable(item);
      db->port.enable(part_rules());
      db->port.join_members();
    }
    meet();
    a.add_item(1, "one", 10);
    meet();
    b.erase_item(1);
    meet();
    REQUIRE(maintain(&a).melted > 0);
    REQUIRE(states(b) == 1);
  }
  void meet() {
    for (int i = 0; i < 2; ++i) a.swap_with(&b);
  }
  void check(const std::vector<Database*>& all) const {
    meet_all(all);
    for (const Database* db : all) {
      CHECK(db->has_item(1) == (on_delete == OnDelete::update_wins));
      CHECK(db->conflicts() == std::vector<std::string>{"update_delete"});
    }
  }
};

}  // namespace

TEST_CASE("melting: a melted row is not lost to a stranger who has it by its name",
          "[melting][unit]") {
  Strangers s;
  s.a.add_item(1, "one", 10);
  s.a.add_item(2, "two", 20);
  REQUIRE(s.d.apply(s.a.export_for(s.d.vector(), {}, 1).bytes).ok());  // the first row alone
  maintain(&s.c);
  s.d.pull(&s.c);
  s.c.pull(&s.d);
  REQUIRE(s.c.has_item(1));
  s.a.add_item(3, "three", 30);
  maintain(&s.a);
  REQUIRE(states(s.a) == 0);
  s.a.pull(&s.c);
  CHECK(s.a.has_item(1));
  meet_all({&s.a, &s.c, &s.d});
  for (const Database* db : {&s.a, &s.c, &s.d}) {
    CHECK(db->has_item(1));
    CHECK(db->has_item(3));
    CHECK(db->conflicts().empty());
  }
}

TEST_CASE("melting: nothing is dropped before all have heard of each other", "[melting][unit]") {
  Group g;
  Database c(3);
  c.port.join_members();
  g.a.add_item(1, "one", 10);
  c.pull(&g.a);
  g.b.pull(&g.a);
  g.a.pull(&g.b);
  g.a.pull(&c);
  CHECK(maintain(&g.a).melted == 0);  // b has not heard of c
  g.meet();
  CHECK(maintain(&g.a).melted == 1);
}

TEST_CASE("melting: who has never heard of another keeps what it deleted until it has",
          "[melting][unit]") {
  Strangers s;
  s.a.add_item(1, "of a", 10);
  s.a.erase_item(1);
  s.b.add_item(1, "of b", 11);
  REQUIRE(s.b.apply(s.a.export_for(s.b.vector(), {}, 1000).bytes).ok());  // by hand
  maintain(&s.a);
  CHECK(states(s.a) == 1);
  s.c.add_item(1, "of c", 12);
  s.c.swap_with(&s.a);  // late, and is told all the same
  CHECK(s.c.conflicts() == std::vector<std::string>{"update_delete"});
  meet_all({&s.a, &s.b, &s.c});
  for (const Database* db : {&s.a, &s.b, &s.c}) {
    CHECK(db->conflicts() == s.a.conflicts());
    CHECK(db->has_item(1));
  }
  for (Database* db : {&s.a, &s.b, &s.c})
    db->erase_item(1);
  for (int round = 0; round < 3; ++round) {
    meet_all({&s.a, &s.b, &s.c});
    for (Database* db : {&s.a, &s.b, &s.c})
      maintain(db);
  }
  for (const Database* db : {&s.a, &s.b, &s.c})
    CHECK(states(*db) == 0);
}

TEST_CASE("melting: a delete that others have forgotten is one also beside a row of one's own",
          "[melting][unit]") {
  Strangers s;
  s.a.add_item(1, "of a", 10);
  s.c.swap_with(&s.a);
  s.b.add_item(1, "of b", 11);
  s.d.pull(&s.b);
  s.a.add_item(2, "two", 20);
  REQUIRE(s.b.apply(s.a.export_for(s.b.vector(), {}, 1).bytes).ok());  // the first row alone
  s.a.erase_item(1);
  for (int i = 0; i < 2; ++i) s.c.swap_with(&s.a);
  s.d.pull(&s.c);  // has the tombstone
  REQUIRE(maintain(&s.a).melted > 0);
  s.b.pull(&s.a);
  CHECK(s.b.conflicts() == std::vector<std::string>{"update_delete"});
  meet_all({&s.a, &s.b, &s.c, &s.d});
  for (const Database* db : {&s.a, &s.b, &s.c, &s.d}) {
    CHECK(db->shown(1, "name") == OwnedValue(text("of b")));
    CHECK(db->conflicts() == std::vector<std::string>{"update_delete"});
  }
}

TEST_CASE("melting: a forgotten delete is not undone by who has the row and had not heard of it",
          "[melting][unit]") {
  Strangers s;
  s.a.add_item(1, "one", 10);
  s.a.add_item(2, "two", 20);
  s.b.pull(&s.a);
  maintain(&s.c);
  s.b.pull(&s.c);  // a has not seen what melted there
  s.a.erase_item(1);
  REQUIRE(maintain(&s.a).melted > 0);
  s.a.pull(&s.b);
  CHECK_FALSE(s.a.has_item(1));
  meet_all({&s.a, &s.b, &s.c});
  for (const Database* db : {&s.a, &s.b, &s.c}) {
    CHECK_FALSE(db->has_item(1));
    CHECK(db->has_item(2));
    CHECK(db->conflicts().empty());
  }
}

TEST_CASE("melting: what a stranger melted is not taken for what melted here", "[melting][unit]") {
  Strangers s;
  REQUIRE(s.a.port.set_policy("item", "name", "concat").ok());
  s.a.add_item(1, "of a", 10);
  s.b.add_item(1, "of b", 11);
  for (int i = 0; i < 2; ++i)
    s.a.swap_with(&s.b);
  s.a.erase_item(1);  // both versions of the row, which b still has
  s.a.add_item(1, "new", 10);
  maintain(&s.a);
  maintain(&s.b);
  s.c.add_item(1, "of c", 12);
  maintain(&s.c);
  REQUIRE(states(s.c) == 0);
  s.a.pull(&s.c);
  s.c.pull(&s.b);  // has the two beside its own, and tells a of all three
  meet_all({&s.a, &s.b, &s.c});
  for (const Database* db : {&s.a, &s.b, &s.c}) {
    CHECK(db->shown(1, "name") == OwnedValue(text("of c, new")));
    CHECK(db->shown(1, "code") == s.a.shown(1, "code"));
    CHECK(db->conflicts() == s.a.conflicts());
  }
}

TEST_CASE("melting: what a stranger changed and melted again is not taken for what it melted first",
          "[melting][unit]") {
  Strangers s;
  s.a.add_item(1, "of a", 10);
  s.c.add_item(1, "of c", 10);
  s.b.pull(&s.a);
  maintain(&s.a);
  s.c.pull(&s.a);
  s.a.port.set_clock(s.c.port.now_ms() + 60'000);
  s.a.set(1, "name", text("changed"));
  s.b.pull(&s.a);  // knows the change by its name
  REQUIRE(maintain(&s.a).melted > 0);
  s.c.pull(&s.a);
  meet_all({&s.a, &s.b, &s.c});
  for (const Database* db : {&s.a, &s.b, &s.c}) {
    CHECK(db->shown(1, "name") == s.a.shown(1, "name"));
    CHECK(db->conflicts().size() == 1);
  }
}

TEST_CASE("melting: what stands beside a delete that is done again is seen everywhere",
          "[melting][unit]") {
  Strangers s;
  s.a.add_item(1, "of a", 10);
  maintain(&s.a);
  s.c.add_item(1, "of c", 10);
  s.c.pull(&s.a);
  s.c.erase_item(1);
  s.d.pull(&s.c);
  s.a.add_item(2, "two", 20);
  s.c.pull(&s.a);
  REQUIRE(maintain(&s.a).melted > 0);
  s.d.pull(&s.a);  // cannot tell whether the delete has seen it
  meet_all({&s.a, &s.c, &s.d});
  for (const Database* db : {&s.a, &s.c, &s.d}) {
    CHECK(db->shown(1, "name") == OwnedValue(text("of a")));
    CHECK(db->conflicts() == std::vector<std::string>{"update_delete"});
  }
}

TEST_CASE("melting: what stands beside a change that is written anew is seen everywhere",
          "[melting][unit]") {
  Strangers s;
  REQUIRE(s.d.port.set_policy("item", "n", "max").ok());
  s.d.add_item(1, "of d", 10);
  s.d.set(1, "n", integer(5));
  s.d.add_item(2, "two", 20);
  REQUIRE(s.a.apply(s.d.export_for(s.a.vector(), {}, 1).bytes).ok());  // the first row alone
  s.d.add_item(4, "four", 40);
  for (int i = 0; i < 2; ++i) s.b.swap_with(&s.d);
  REQUIRE(maintain(&s.b).melted > 0);
  s.a.set(1, "n", integer(3));  // has seen the 5
  s.a.add_item(3, "three", 30);
  REQUIRE(s.d.apply(s.a.export_for(s.d.vector(), {}, 1).bytes).ok());
  s.a.pull(&s.b);
  meet_all({&s.a, &s.b, &s.d});
  for (const Database* db : {&s.a, &s.b, &s.d})
    CHECK(db->shown(1, "n") == s.a.shown(1, "n"));
}

TEST_CASE("melting: a unique value that a policy counts is the lesser key's", "[melting][unit]") {
  Strangers s;
  s.d.add_item(2, "of d", 10);
  s.c.pull(&s.d);
  s.a.port.set_clock(s.d.port.now_ms() + 60'000);
  s.a.add_item(1, "of a", 10);
  s.d.pull(&s.a);
  REQUIRE(maintain(&s.a).melted > 0);
  s.c.pull(&s.a);
  // Who has this policy cannot write the value anew, which would count it.
  REQUIRE(s.a.port.set_policy("item", "code", "counter").ok());
  meet_all({&s.a, &s.c, &s.d});
  for (const Database* db : {&s.a, &s.c, &s.d}) {
    CHECK(db->has_item(1));
    CHECK_FALSE(db->has_item(2));
    CHECK(db->conflicts() == std::vector<std::string>{"unique"});
  }
}

TEST_CASE("melting: a claim of a life that was given up does not divide those who forgot theirs",
          "[melting][unit]") {
  Strangers s;
  const MemoryPort saved = s.d.port;
  s.d.add_item(2, "of d", 10);
  s.d.add_item(3, "three", 30);
  REQUIRE(s.c.apply(s.d.export_for(s.c.vector(), {}, 1).bytes).ok());  // the first row alone
  s.d.port = saved;
  s.d.port.take_identity(site_id(9));
  s.a.port.set_clock(s.c.port.now_ms() + 60'000);
  s.a.add_item(1, "of a", 10);
  REQUIRE(maintain(&s.a).melted > 0);
  s.c.pull(&s.a);
  s.a.pull(&s.c);
  s.c.pull(&s.a);
  meet_all({&s.a, &s.b, &s.c});
  for (const Database* db : {&s.a, &s.b, &s.c}) {
    CHECK(db->has_item(1) == s.a.has_item(1));
    CHECK(db->has_item(2) != db->has_item(1));
    CHECK(db->conflicts() == std::vector<std::string>{"unique"});
  }
}

TEST_CASE("melting: a delete is not lost where it met a row that those who forgot it had not seen",
          "[melting][unit]") {
  Strangers s;
  s.a.add_item(1, "of a", 10);
  s.a.add_item(2, "two", 20);
  s.c.swap_with(&s.a);
  s.b.add_item(1, "of b", 11);
  s.d.pull(&s.b);
  s.a.erase_item(1);
  for (int i = 0; i < 2; ++i) s.c.swap_with(&s.a);
  maintain(&s.a, 0);
  s.b.pull(&s.a);  // the tombstone, which a can drop from now on
  CHECK(s.b.conflicts() == std::vector<std::string>{"update_delete"});
  REQUIRE(maintain(&s.a).melted > 0);
  s.d.pull(&s.a);  // no trace of it
  s.a.pull(&s.d);  // nobody but b has it beside that row
  meet_all({&s.a, &s.b, &s.c, &s.d});
  for (const Database* db : {&s.a, &s.b, &s.c, &s.d}) {
    CHECK(db->has_item(1));
    CHECK(db->conflicts() == std::vector<std::string>{"update_delete"});
  }
}

TEST_CASE("melting: a delete that gets another name leaves no notes of the old one",
          "[melting][unit]") {
  Strangers s;
  REQUIRE(s.a.port.set_policy("item", "n", "counter").ok());
  s.a.add_item(1, "of a", 10);
  s.c.swap_with(&s.a);
  for (const int64_t n : {5, 0}) {
    s.a.set(1, "n", integer(n));
    s.a.port.fold();
  }
  s.a.erase_item(1);  // its note tells of both
  for (int i = 0; i < 2; ++i) s.c.swap_with(&s.a);
  s.b.add_item(1, "of b", 11);
  maintain(&s.a, 0);
  s.b.pull(&s.a);
  CHECK(s.b.conflicts() == std::vector<std::string>{"update_delete"});
  sync(&s.d, &s.b);  // gets all there is
  CHECK(s.d.conflicts() == s.b.conflicts());
}

TEST_CASE("melting: no half of a row comes back from who had not heard of its delete",
          "[melting][unit]") {
  Group g;
  Database c(3), d(4);
  for (Database* db : {&c, &d}) db->port.join_members();
  g.a.add_item(1, "one", 10);
  g.meet();
  d.pull(&g.a);  // nobody there hears of it
  maintain(&c);
  d.pull(&c);  // a has not seen what melted there
  g.a.erase_item(1);
  g.meet();
  REQUIRE(maintain(&g.a).melted > 0);
  REQUIRE(states(g.a) == 0);
  d.set(1, "name", text("changed"));
  g.a.pull(&d);
  meet_all({&g.a, &g.b, &c, &d});
  for (const Database* db : {&g.a, &g.b, &c, &d}) {
    CHECK(db->shown(1, "name") == OwnedValue(text("changed")));
    CHECK(db->shown(1, "code") == OwnedValue(integer(10)));
    CHECK(db->conflicts() == std::vector<std::string>{"update_delete"});
  }
}

TEST_CASE("melting: a delete comes back everywhere from where it met a row before it was forgotten",
          "[melting][unit]") {
  Forgotten f(GENERATE(OnDelete::update_wins, OnDelete::delete_wins));
  f.c.add_item(1, "of c", 11);
  f.b.pull(&f.c);  // beside the delete
  f.c.pull(&f.a);  // no trace of it
  SECTION("to whoever has neither") { f.check({&f.a, &f.b, &f.c}); }
  SECTION("through one of those who have forgotten it") {
    f.a.pull(&f.b);
    f.check({&f.a, &f.c});
  }
  SECTION("to one of them who has the row already") {
    f.a.pull(&f.c);  // and all that c knows
    f.b.pull(&f.a);  // has both; hears what a may have dropped
    f.check({&f.a, &f.b, &f.c});
  }
}

TEST_CASE("melting: a delete comes back everywhere from where it met a row of a stranger",
          "[melting][unit]") {
  Forgotten f(GENERATE(OnDelete::update_wins, OnDelete::delete_wins));
  f.c.add_item(2, "two", 22);
  REQUIRE(maintain(&f.c).melted > 0);
  f.c.add_item(1, "of c", 11);
  SECTION("that came alone to one who has forgotten it") {
    f.b.pull(&f.a);  // hears what a may have dropped
    REQUIRE(f.a.apply(f.c.export_for(f.a.vector(), {}, 1).bytes).ok());  // the first row
    f.b.pull(&f.c);
    f.a.pull(&f.b);
  }
  SECTION("that has melted, too") {
    f.b.pull(&f.c);
    maintain(&f.c);
    f.b.pull(&f.c);
    f.a.pull(&f.c);
    f.b.pull(&f.a);
  }
  f.check({&f.a, &f.b, &f.c});
}

TEST_CASE("melting: what a broken-off exchange knew is not said of rows that another brought",
          "[melting][unit]") {
  Group g;
  Database c(3);
  c.port.join_members();
  g.a.add_item(1, "one", 10);
  g.a.add_item(2, "two", 20);
  g.meet();
  REQUIRE(maintain(&g.a).melted == 2);
  g.b.pull(&g.a);
  REQUIRE(maintain(&g.b).melted == 2);
  g.a.set(2, "name", text("changed"));
  REQUIRE(c.apply(g.a.export_for(c.vector(), {}, 1).bytes).ok());  // the first row alone
  c.pull(&g.b);
  maintain(&c);
  c.pull(&g.a);
  CHECK(c.shown(2, "name") == OwnedValue(text("changed")));
}

TEST_CASE("melting: two groups that never met keep what both have", "[melting][unit]") {
  Database a(1), b(2);
  a.add_item(1, "same", 1);
  b.add_item(1, "same", 1);
  a.add_item(2, "of a", 2);
  b.add_item(2, "of b", 2);
  a.add_item(3, "a alone", 3);
  b.add_item(4, "b alone", 4);
  for (Database* db : {&a, &b}) {
    db->port.join_members();
    maintain(db);
    REQUIRE(states(*db) == 0);
  }
  sync(&a, &b);
  sync(&a, &b);
  for (const Database* db : {&a, &b}) {
    CHECK(db->has_item(3));
    CHECK(db->has_item(4));
    CHECK(db->conflicts() == std::vector<std::string>{"insert_insert"});
  }
  CHECK(a.shown(2, "name") == b.shown(2, "name"));
}
