// Melting (horizon.cpp, apply_full.cpp, apply_names.cpp): what is dropped and when, and what
// becomes of whoever has not seen it. docs/merge_rules.md, "Melting", has the rules; the simulator
// has the rest.
#include "support/melting_group.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

// `b` wrote to a group that has retired it meanwhile, and comes back under a new id.
struct Returning : Group {
  Returning() {
    a.add_item(1, "one", 10);
    a.add_item(2, "two", 20);
    meet();
  }
  void come_back() {
    a.port.retire(b.port.id());
    maintain(&a);
    b.port.take_identity(site_id(9));
    b.port.join_members();
    sync(&b, &a);
    sync(&b, &a);
  }
};

}  // namespace

TEST_CASE("melting: what all members have is dropped, and goes on to be synchronised",
          "[melting][unit]") {
  Group g;
  for (int64_t id = 0; id < 20; ++id) g.a.add_item(id, "item", id);
  g.a.erase_item(3);
  g.meet();
  REQUIRE(states(g.a) == 20);
  CHECK(maintain(&g.a).melted == 20);
  CHECK(states(g.a) == 0);
  CHECK(g.a.port.data().log_pruned > 0);
  CHECK(states(g.b) == 20);  // nobody decides for others
  maintain(&g.b);
  CHECK(states(g.b) == 0);

  g.a.set(4, "name", text("changed"));
  g.a.erase_item(5);
  g.b.set(4, "n", integer(7));
  g.b.add_item(3, "again", 300);
  g.meet();
  for (const Database* db : {&g.a, &g.b}) {
    CHECK(db->shown(4, "name") == OwnedValue(text("changed")));
    CHECK(db->shown(4, "n") == OwnedValue(integer(7)));
    CHECK_FALSE(db->has_item(5));
    CHECK(db->shown(3, "name") == OwnedValue(text("again")));
    CHECK(db->conflicts().empty());
  }
  maintain(&g.a);
  CHECK(states(g.a) == 0);
}

TEST_CASE("melting: a row that gets its state back from a late chunk is dropped again",
          "[melting][unit]") {
  Group g;
  g.a.add_item(1, "one", 10);
  g.a.add_item(2, "two", 20);
  const std::string late = g.a.export_for(g.b.vector()).bytes;
  g.meet();
  const bool passed = GENERATE(true, false);  // the pass is over, or in the middle
  REQUIRE(maintain(&g.b, passed ? 1000 : 2).done == passed);
  REQUIRE(states(g.b) == 0);
  REQUIRE(g.b.apply(late).ok());
  REQUIRE(states(g.b) == 2);
  maintain(&g.b);
  CHECK(states(g.b) == 0);
}

TEST_CASE("melting: some rows a call, and nothing to do where the horizon stands",
          "[melting][unit]") {
  Group g;
  for (int64_t id = 0; id < 10; ++id) g.a.add_item(id, "item", id);
  g.meet();
  MeltReport report = maintain(&g.a, 4);
  CHECK(report.melted == 4);
  CHECK_FALSE(report.done);
  CHECK(maintain(&g.a, 4).melted == 4);
  report = maintain(&g.a, 4);
  CHECK(report.melted == 2);
  CHECK(report.done);
  CHECK(maintain(&g.a).looked_at == 0);
}

TEST_CASE("melting: a member that has not seen it holds the horizon until it is retired",
          "[melting][unit]") {
  Group g;
  Database c(3);
  c.port.join_members();
  g.a.pull(&c);
  g.a.add_item(1, "one", 10);
  g.meet();
  MeltReport report = maintain(&g.a);
  CHECK(report.melted == 0);
  CHECK(report.waiting_for == std::vector<SiteId>{c.port.id()});
  g.a.port.retire(c.port.id());
  g.meet();
  report = maintain(&g.a);
  CHECK(report.melted == 1);
  CHECK(report.waiting_for.empty());

  // Told, it is refused in both directions; under a new id it joins, and its changes come along.
  c.add_item(2, "mine", 20);
  c.port.fold();
  CHECK(c.apply(g.a.export_for(c.vector()).bytes).code() == StatusCode::refused);
  const Status refused = g.a.apply(c.export_for(g.a.vector()).bytes);
  CHECK(refused.code() == StatusCode::refused);
  CHECK(refused.hint().find("sync_new_identity()") != std::string::npos);
  c.port.take_identity(site_id(7));
  c.port.join_members();
  sync(&c, &g.a);
  CHECK(c.has_item(1));
  CHECK(g.a.has_item(2));
}

TEST_CASE("melting: an acknowledgement of more than is known here counts for nothing",
          "[melting][unit]") {
  Group g;
  g.a.add_item(1, "one", 10);
  g.meet();
  g.b.add_item(2, "two", 20);
  g.b.port.fold();
  std::vector<Acknowledgement> out;
  SiteState state;
  REQUIRE(g.a.port.load_site(&state).ok());
  const auto b = static_cast<SiteIndex>(state.sites.find(g.b.port.id()));
  VersionVector more = state.knowledge;
  more.set(b, {more.seq(b) + 1, 1});
  note_acknowledgement(state, state.knowledge, b, more, {}, &out);
  CHECK(out.empty());
  note_acknowledgement(state, state.knowledge, b, state.knowledge, {}, &out);
  CHECK(out.size() == 1);
  std::vector<Acknowledgement> again;
  note_acknowledgement(state, state.knowledge, b, state.knowledge, out, &again);
  CHECK(again.empty());  // it is known already
}

TEST_CASE("melting: rows that still have something to decide keep their state",
          "[melting][unit]") {
  Group g;
  REQUIRE(g.a.port.set_policy("part", "label", "union").ok());
  g.a.add_item(1, "one", 10);
  g.a.add_part(1, "x");
  g.meet();
  g.a.set(1, "name", text("A"));
  g.b.set(1, "name", text("B"));
  g.meet();
  maintain(&g.a);
  CHECK(g.a.port.table("item")->state.size() == 1);  // two versions of its name
  CHECK(g.a.port.table("part")->state.size() == 1);  // notes of later writes would name this one
  g.a.set(1, "name", text("decided"));
  g.meet();
  maintain(&g.a);
  CHECK(g.a.port.table("item")->state.empty());
}

TEST_CASE("melting: equal values that two sites wrote are two versions", "[melting][unit]") {
  Group g;
  g.a.add_item(1, "one", 10);
  g.meet();
  g.a.set(1, "name", text("both"));
  g.b.set(1, "name", text("both"));
  g.meet();
  REQUIRE(g.a.conflicts().empty());
  maintain(&g.a);
  CHECK(g.a.port.table("item")->state.size() == 1);
}

TEST_CASE("melting: nothing melts beside rows that are held", "[melting][unit]") {
  Group g;
  g.a.add_item(1, "one", 10);
  g.b.add_item(2, "two", 10);  // the same code
  g.meet();
  REQUIRE(g.a.conflicts() == std::vector<std::string>{"unique"});
  maintain(&g.a);
  CHECK(states(g.a) == 2);
  CHECK(g.a.set(g.a.has_item(1) ? 1 : 2, "code", integer(11)));
  g.meet();
  maintain(&g.a);
  CHECK(states(g.a) == 0);
  CHECK(g.a.has_item(1));
  CHECK(g.a.has_item(2));
}

TEST_CASE("melting: a deleted row stays known while rows wait for a table that is not here",
          "[melting][unit]") {
  Database a{1}, c{3, false};
  c.port.enable(item_rules());
  for (Database* db : {&a, &c}) db->port.join_members();
  const auto meet = [&] {
    for (int i = 0; i < 2; ++i) a.swap_with(&c);
  };
  a.add_item(1, "one", 10);
  a.add_item(2, "two", 20);
  a.add_part(2, "of two");
  meet();
  a.erase_item(1);
  meet();
  maintain(&c);
  CHECK(c.port.table("item")->state.size() == 1);  // the tombstone; what lives has melted
  c.port.enable(part_rules());
  meet();
  a.add_item(3, "three", 30);  // the horizon moves on
  meet();
  maintain(&c);
  CHECK(c.port.table("item")->state.empty());
}

TEST_CASE("melting: a new database gets everything, and what it had stands beside it",
          "[melting][unit]") {
  Group g;
  for (int64_t id = 1; id < 9; ++id) g.a.add_item(id, "old", id);
  g.a.erase_item(2);
  g.meet();
  maintain(&g.a);
  Database c(3);
  c.port.join_members();
  c.add_item(4, "mine", 4);
  c.add_item(30, "mine", 30);
  sync(&c, &g.a);
  sync(&c, &g.a);
  for (const Database* db : {&c, &g.a}) {
    CHECK(db->has_item(1));
    CHECK_FALSE(db->has_item(2));
    CHECK(db->has_item(30));
    CHECK(db->shown(4, "name") == OwnedValue(text("mine")));
    CHECK(db->conflicts() == std::vector<std::string>{"insert_insert"});
  }
  g.b.swap_with(&g.a);
  maintain(&g.a);
  sync(&c, &g.a);  // what a knows to be seen by all, c takes its word for
  maintain(&c);
  CHECK(states(c) == 1);  // the row with two versions
}

TEST_CASE("melting: who takes over what has melted writes later than all of it",
          "[melting][unit]") {
  Group g;
  g.a.port.set_clock(g.a.port.now_ms() + 60'000);
  g.a.add_item(1, "one", 10);
  g.meet();
  REQUIRE(maintain(&g.a).melted > 0);
  Database c(3);
  c.port.join_members();
  c.pull(&g.a);
  c.add_item(2, "two", 20);
  c.port.fold();
  const SiteIndex self = c.port.data().self;
  Hlc melted = 0;
  for (SiteIndex s = 0; s < c.port.data().melted.size(); ++s)
    melted = std::max(melted, c.port.data().melted.entry(s).hlc);
  CHECK(hlc_to_ms(melted) > c.port.now_ms());
  CHECK(c.port.knowledge().entry(self).hlc > melted);

  // But not later than a clock can be.
  SiteState site;
  REQUIRE(g.a.port.load_site(&site).ok());
  ExchangeUpdate forged;
  forged.melted_changed = true;
  forged.melted = site.melted;
  const VectorEntry own = site.melted.entry(site.self);
  forged.melted.set(site.self, {own.seq, own.hlc + hlc_from_ms(3'600'000)});
  REQUIRE(g.a.port.save_exchange(site, forged).ok());
  Database d(4);
  d.port.join_members();
  CHECK(d.apply(g.a.export_for(d.vector()).bytes).code() == StatusCode::clock_drift);
}

TEST_CASE("melting: a full exchange that broke off goes on, and nothing leaves until it is whole",
          "[melting][unit]") {
  Group g;
  for (int64_t id = 0; id < 30; ++id) g.a.add_item(id, "old", id);
  g.meet();
  maintain(&g.a);
  Database c(3);
  c.add_item(90, "mine", 90);
  c.port.fold();
  const ExportedChunk first = g.a.export_for(c.vector(), {}, 64);
  REQUIRE_FALSE(first.last);
  ApplyReport report;
  REQUIRE(c.apply(first.bytes, &report).ok());
  ExportedChunk none;
  const Status refused =
      c.port.reading([&] { return export_chunk(&c.port, g.b.vector(), {}, {}, &none); });
  CHECK(refused.code() == StatusCode::refused);
  sync(&c, &g.a);
  CHECK(c.has_item(29));
  CHECK(g.a.has_item(90));
  sync(&c, &g.b);
  CHECK(g.b.has_item(90));
}

TEST_CASE("melting: whoever is behind has to pull before it pushes", "[melting][unit]") {
  Group g;
  Database c(3);  // speaks to b alone, and is no member
  c.pull(&g.b);
  g.a.add_item(1, "one", 10);
  g.meet();
  maintain(&g.a);
  c.add_item(2, "two", 20);
  c.port.fold();
  const Status refused = g.a.apply(c.export_for(g.a.vector()).bytes);
  CHECK(refused.code() == StatusCode::refused);
  CHECK(refused.hint().find("pull") != std::string::npos);
  sync(&c, &g.a);
  CHECK(g.a.has_item(2));
  CHECK(c.has_item(1));
}

TEST_CASE("melting: deleted rows do not come back with someone who was away", "[melting][unit]") {
  Returning r;
  r.a.erase_item(1);
  r.b.add_item(3, "unsent", 30);
  r.come_back();
  CHECK_FALSE(r.a.has_item(1));
  CHECK_FALSE(r.b.has_item(1));
  CHECK(r.a.has_item(3));
  CHECK(r.b.has_item(2));
  CHECK(r.a.conflicts().empty());
}

TEST_CASE("melting: an unsent update of a row that is gone is a conflict, and nothing is lost",
          "[melting][unit]") {
  Returning r;
  r.a.erase_item(1);
  r.b.set(1, "name", text("unsent"));
  r.come_back();
  for (const Database* db : {&r.a, &r.b}) {
    CHECK(db->shown(1, "name") == OwnedValue(text("unsent")));
    CHECK(db->shown(1, "code") == OwnedValue(integer(10)));  // the row is whole
    CHECK(db->conflicts() == std::vector<std::string>{"update_delete"});
  }
}

TEST_CASE("melting: an unsent update stands beside what melted, as a change of now",
          "[melting][unit]") {
  Returning r;
  r.a.set(1, "name", text("theirs"));
  r.b.set(1, "name", text("unsent"));
  r.come_back();
  for (const Database* db : {&r.a, &r.b}) {
    CHECK(db->shown(1, "name") == OwnedValue(text("unsent")));
    CHECK(db->conflicts() == std::vector<std::string>{"update_update"});
  }
}

TEST_CASE("melting: an unsent delete is done anew, unless the row has changed", "[melting][unit]") {
  Returning r;
  r.a.set(2, "name", text("changed"));
  r.b.erase_item(1);
  r.b.erase_item(2);
  r.come_back();
  for (const Database* db : {&r.a, &r.b}) {
    CHECK_FALSE(db->has_item(1));
    CHECK(db->shown(2, "name") == OwnedValue(text("changed")));
    CHECK(db->conflicts() == std::vector<std::string>{"update_delete"});
  }
}

TEST_CASE("melting: what is written anew leaves no notes of what it replaces", "[melting][unit]") {
  Returning r;
  REQUIRE(r.b.port.set_policy("item", "n", "counter").ok());
  for (const int64_t n : {5, 0}) {
    r.b.set(1, "n", integer(n));
    r.b.port.fold();
  }
  r.b.erase_item(1);  // its note tells of both
  r.come_back();
  Database c(3);
  sync(&c, &r.b);  // gets all there is
  for (const Database* db : {&r.a, &r.b, &c})
    CHECK_FALSE(db->has_item(1));
}

TEST_CASE("melting: a row that all have keeps its place against one of a site that joins",
          "[melting][unit]") {
  Group g;
  g.a.add_item(1, "one", 10);
  g.meet();
  maintain(&g.a);  // b still knows the version
  Database c(3);
  c.port.set_clock(g.a.port.now_ms() + 60'000);
  c.port.join_members();
  c.add_item(2, "two", 10);
  for (int i = 0; i < 2; ++i) {
    sync(&c, &g.a);
    sync(&g.b, &g.a);
  }
  for (Database* db : {&g.a, &g.b, &c}) {
    CHECK(db->has_item(1));
    CHECK(!db->has_item(2));
    CHECK(db->conflicts() == std::vector<std::string>{"unique"});
  }
}

TEST_CASE("melting: a member that has seen what melted, and claims its unique value, is the later",
          "[melting][unit]") {
  Database a(1), b(2, false);
  TableRules rules = item_rules();
  rules.sum_max = 50;  // stricter than at a
  b.port.enable(rules);
  for (Database* db : {&a, &b}) db->port.join_members();
  a.add_item(1, "one", 10);
  a.set(1, "n", integer(60));
  for (int i = 0; i < 2; ++i) a.swap_with(&b);
  REQUIRE_FALSE(b.has_item(1));  // held
  REQUIRE(maintain(&a).melted > 0);
  REQUIRE(b.add_item(3, "three", 10));
  const uint64_t written = a.port.data().log.size();
  a.pull(&b);
  CHECK(a.has_item(3));
  CHECK_FALSE(a.has_item(1));
  CHECK(a.port.data().log.size() == written);
}

TEST_CASE("melting: where the later of delete and update decides, an unsent delete is of now",
          "[melting][unit]") {
  Database a(1, false), b(2, false), c(3, false);
  TableRules rules = item_rules();
  rules.on_delete = OnDelete::last_writer;
  for (Database* db : {&a, &b, &c}) {
    db->port.enable(rules);
    db->port.join_members();
  }
  a.add_item(1, "one", 10);
  for (int i = 0; i < 2; ++i) {
    a.swap_with(&b);
    a.swap_with(&c);
  }
  b.erase_item(1);
  a.port.set_clock(b.port.now_ms() + 60'000);
  a.set(1, "name", text("later"));
  a.port.retire(b.port.id());
  for (int i = 0; i < 2; ++i) a.swap_with(&c);
  REQUIRE(maintain(&a).melted > 0);  // c still knows the version
  b.port.take_identity(site_id(9));
  b.port.join_members();
  for (int i = 0; i < 2; ++i) {
    sync(&b, &a);
    sync(&c, &a);
  }
  for (const Database* db : {&a, &b, &c}) {
    CHECK_FALSE(db->has_item(1));
    CHECK(db->conflicts() == std::vector<std::string>{"update_delete"});
  }
}
