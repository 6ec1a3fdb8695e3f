// Part of horizon_test: rows that refer to a deleted one, where the delete has melted or is about
// to (apply_foreign.cpp, horizon.cpp). docs/merge_rules.md, "Melting" and "Late rows".
#include "support/melting_group.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

// Notes keep the items that they refer to.
TableRules note_rules() {
  return {{"note", {{"id", "integer"}, {"item_id", "integer"}}, {0}},
          {},
          {{{"item_id"}, "item", ForeignAction::restrict}},
          {},
          0,
          OnDelete::update_wins};
}

// A third site writes a note on an item whose delete the others have seen, and one has forgotten.
struct LateNote : Group {
  Database c{3};
  LateNote() {
    for (Database* db : {&a, &b, &c}) {
      db->port.enable(note_rules());
      db->port.join_members();
    }
    a.add_item(1, "one", 10);
    for (int i = 0; i < 2; ++i) {
      sync(&b, &a);
      sync(&c, &a);
    }
    a.erase_item(1);
    meet();
    REQUIRE(c.port.insert("note", std::vector<Value>{integer(7), integer(1)}));
    a.port.retire(c.port.id());
    CHECK(maintain(&a).melted > 0);
    REQUIRE(a.port.table("item")->state.empty());
  }
  static bool has_note(const Database& db) { return db.port.table("note")->base.size() == 1; }
};

}  // namespace

TEST_CASE("melting: a deleted row is kept for a late one also where its delete was forgotten",
          "[melting][unit]") {
  LateNote g;
  sync(&g.c, &g.b);  // which has not heard that c was retired
  CHECK(g.b.has_item(1));
  for (int i = 0; i < 3; ++i)
    g.meet();
  CHECK(g.a.has_item(1));
  CHECK(LateNote::has_note(g.a));
  CHECK(LateNote::has_note(g.b));
}

namespace {

// Three sites have an item, to which a note of `b` comes to refer.
struct NotedItem : Group {
  Database c{3};
  explicit NotedItem(ForeignAction action) {
    TableRules rules = note_rules();
    rules.schema.columns.push_back({"words", "text"});
    rules.foreign_keys[0].on_delete = action;
    for (Database* db : {&a, &b, &c}) {
      db->port.enable(rules);
      db->port.join_members();
    }
    a.add_item(1, "one", 10);
    meet_all();
    add_note(7);
  }
  void meet_all() {
    for (int i = 0; i < 2; ++i) {
      for (Database* other : {&b, &c, &b})
        a.swap_with(other);
    }
  }
  static std::vector<Value> key(int64_t id) { return {integer(id)}; }
  void add_note(int64_t id) {
    REQUIRE(b.port.insert("note", std::vector<Value>{integer(id), integer(1), text("words")}));
  }
  // What stands in the column that refers to the item; absent: there is no such note.
  static OwnedValue refers(const Database& db, int64_t id) {
    const auto& base = db.port.table("note")->base;
    const auto row = base.find(encode_key(key(id)));
    return row == base.end() ? OwnedValue() : row->second.values[1];
  }
};

}  // namespace

TEST_CASE("melting: a deleted row stays known until all know that no row refers to it any more",
          "[melting][unit]") {
  NotedItem g(ForeignAction::restrict);
  g.a.erase_item(1);
  g.meet_all();
  REQUIRE(g.a.has_item(1));
  REQUIRE(g.a.port.erase("note", NotedItem::key(7)));
  g.a.port.fold();
  REQUIRE_FALSE(g.a.has_item(1));
  maintain(&g.a);
  CHECK(states(g.a) == 1);
  g.add_note(8);  // the item is still there
  g.meet_all();
  for (const Database* db : {&g.a, &g.b, &g.c}) {
    CHECK(db->has_item(1));
    CHECK(NotedItem::refers(*db, 7).kind() == ValueKind::absent);
    CHECK(NotedItem::refers(*db, 8) == OwnedValue(integer(1)));
  }
  REQUIRE(g.b.port.erase("note", NotedItem::key(8)));
  g.meet_all();
  maintain(&g.a);
  CHECK(states(g.a) == 0);
}

TEST_CASE("melting: a deleted row stays known while a row that was reset may come back",
          "[melting][unit]") {
  NotedItem g(ForeignAction::set_null);
  g.c.pull(&g.b);
  g.a.erase_item(1);
  REQUIRE(g.c.port.erase("note", NotedItem::key(7)));
  g.b.pull(&g.a);
  g.a.pull(&g.b);
  g.c.pull(&g.a);
  maintain(&g.c);
  REQUIRE(g.b.port.update("note", NotedItem::key(7), {{"words", text("more")}}));
  g.meet_all();
  for (const Database* db : {&g.a, &g.b, &g.c}) {
    CHECK(NotedItem::refers(*db, 7).kind() == ValueKind::null);
    CHECK_FALSE(db->has_item(1));
  }
}

namespace {

// c has an item by way of b. a, which has never heard of c, deletes it, as b knows.
struct UnheardOf {
  Database a{1}, b{2}, c{3};
  UnheardOf() {
    for (Database* db : {&a, &b, &c}) {
      db->port.enable(note_rules());
      db->port.join_members();
    }
    a.add_item(1, "one", 10);
    b.pull(&a);
    c.pull(&b);
    a.erase_item(1);
    b.pull(&a);
    a.pull(&b);
  }
  void note_at_c() { REQUIRE(c.port.insert("note", std::vector<Value>{integer(7), integer(1)})); }
  void check_kept() const {
    for (const Database* db : {&a, &b, &c}) {
      CHECK(db->has_item(1));
      CHECK(LateNote::has_note(*db));
      CHECK(db->conflicts() == std::vector<std::string>{"foreign_key"});
    }
  }
};

}  // namespace

TEST_CASE("melting: a deleted row is kept for one of a site that nobody had waited for",
          "[melting][unit]") {
  UnheardOf g;
  REQUIRE(maintain(&g.a).melted > 0);
  g.note_at_c();
  // Who finds out that the delete may be forgotten: c, or b when a knows the note already.
  const bool told = GENERATE(true, false);
  if (told) g.b.pull(&g.a);
  sync(&g.c, &g.b);
  if (!told) g.a.pull(&g.b);
  for (int i = 0; i < 2; ++i) {
    sync(&g.b, &g.a);
    sync(&g.c, &g.a);
  }
  g.check_kept();
}

TEST_CASE("melting: a melt vector that rises covers what it waits for", "[melting][unit]") {
  UnheardOf g;
  g.b.pull(&g.c);                      // has heard of c, which has not heard of the delete
  REQUIRE(maintain(&g.a).melted > 0);  // has not
  for (int i = 0; i < 2; ++i) {
    g.b.pull(&g.a);
    g.a.pull(&g.b);
  }
  g.note_at_c();
  g.a.add_item(2, "two", 20);
  g.b.pull(&g.a);
  g.a.pull(&g.b);
  maintain(&g.a);
  g.b.pull(&g.a);
  for (int i = 0; i < 3; ++i) {
    sync(&g.c, &g.b);
    sync(&g.b, &g.a);
  }
  g.check_kept();
}

TEST_CASE("melting: a site that comes back brings what its rows refer to", "[melting][unit]") {
  LateNote g;
  g.c.port.take_identity(site_id(9));
  g.c.port.join_members();
  for (int i = 0; i < 2; ++i)
    sync(&g.c, &g.a);
  g.meet();
  for (Database* db : {&g.a, &g.b, &g.c}) {
    CHECK(db->has_item(1));
    CHECK(LateNote::has_note(*db));
    CHECK(db->conflicts() == std::vector<std::string>{"foreign_key"});
  }
}
