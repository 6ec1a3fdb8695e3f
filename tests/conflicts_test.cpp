// Which conflicts a row shows, and that every site which holds the same versions names them alike.
#include <algorithm>

#include "support/catch.hpp"
#include "support/prng.hpp"
#include "syncline/conflicts.h"

using namespace syncline;
using namespace syncline::test;

namespace {

SiteId site(uint8_t n) {
  SiteId id;
  id.bytes[3] = n;
  return id;
}

struct Fixture {
  // `order` is the numbering of sites, which differs from database to database.
  explicit Fixture(const std::vector<uint8_t>& order = {1, 2, 3}) {
    for (const uint8_t n : order)
      sites.intern(site(n));
    for (const char* name : {"id", "a", "b"}) {
      table.columns.push_back({name, "any", LogicalKind::any, true, false});
    }
    table.name = "task";
    table.key = {0};
    row.column_count = 3;
  }
  Version version(uint8_t n, uint64_t seq, Hlc hlc, bool dead = false) const {
    return {seq, hlc, static_cast<SiteIndex>(sites.find(site(n))), dead};
  }
  void rest(const Version& v, const std::vector<Value>& values) {
    row.rest.push_back(v);
    row.rest_values.insert(row.rest_values.end(), values.begin(), values.end());
  }
  std::vector<Conflict> find() const {
    std::vector<Conflict> out;
    find_conflicts(table, key, row, sites, &out);
    return out;
  }

  SiteTable sites;
  TableInfo table;
  RowState row;
  std::vector<Value> key = {Value::integer(1)};
};

const Value kOne = Value::integer(1), kTwo = Value::integer(2);

}  // namespace

TEST_CASE("conflicts: one version a cell is none", "[conflicts][unit]") {
  Fixture f;
  f.rest(f.version(1, 1, 10), {Value(), kOne, kOne});
  f.row.write_cell(1, f.version(2, 1, 20), kTwo);
  CHECK_FALSE(may_conflict(f.row));
  CHECK(f.find().empty());
}

TEST_CASE("conflicts: two values of one column are update_update", "[conflicts][unit]") {
  Fixture f;
  f.rest(f.version(1, 1, 10), {Value(), kOne, kOne});
  f.row.cells = {{1, f.version(2, 1, 20), kOne}, {1, f.version(3, 1, 30), kTwo}};
  REQUIRE(may_conflict(f.row));
  const std::vector<Conflict> found = f.find();
  REQUIRE(found.size() == 1);
  CHECK(found[0].kind == ConflictKind::update_update);
  CHECK(found[0].column == 1);
  CHECK(found[0].winner_json == "2");
  CHECK(found[0].loser_json == "1");
  CHECK(found[0].id.size() == 32);
}

TEST_CASE("conflicts: equal values make none", "[conflicts][unit]") {
  Fixture f;
  f.rest(f.version(1, 1, 10), {Value(), kOne, kOne});
  f.row.cells = {{1, f.version(2, 1, 20), kTwo}, {1, f.version(3, 1, 30), kTwo}};
  CHECK(f.find().empty());
}

TEST_CASE("conflicts: the same new key on two sites is insert_insert where values differ",
          "[conflicts][unit]") {
  Fixture f;
  f.rest(f.version(1, 1, 10), {Value(), kOne, kOne});
  f.rest(f.version(2, 1, 20), {Value(), kTwo, kOne});
  const std::vector<Conflict> found = f.find();
  REQUIRE(found.size() == 1);
  CHECK(found[0].kind == ConflictKind::insert_insert);
  CHECK(found[0].column == 1);
}

TEST_CASE("conflicts: a version that did not know the column holds NULL", "[conflicts][unit]") {
  Fixture f;
  f.rest(f.version(1, 1, 10), {Value(), kOne, Value()});
  f.rest(f.version(2, 1, 20), {Value(), kOne, Value::null()});
  CHECK(f.find().empty());
  f.row.rest_values[5] = kTwo;
  CHECK(f.find().size() == 1);
}

TEST_CASE("conflicts: a tombstone beside an update is one update_delete", "[conflicts][unit]") {
  Fixture f;
  f.rest(f.version(1, 2, 20, true), {Value(), kOne, kOne});
  f.row.cells = {{1, f.version(1, 2, 20, true), kOne},
                 {1, f.version(2, 1, 15), kTwo},
                 {2, f.version(1, 2, 20, true), kOne},
                 {2, f.version(2, 2, 16), kTwo}};
  const std::vector<Conflict> found = f.find();
  REQUIRE(found.size() == 1);
  CHECK(found[0].kind == ConflictKind::update_delete);
  CHECK(found[0].column == -1);
  CHECK(found[0].loser.dead);
  CHECK(found[0].loser_json == "null");
  CHECK(found[0].winner_json == "{\"a\": 2, \"b\": 2}");
  f.table.on_delete = OnDelete::delete_wins;
  REQUIRE(f.find().size() == 1);
  CHECK(f.find()[0].winner.dead);
  CHECK(f.find()[0].id == found[0].id);
}

TEST_CASE("conflicts: delete against delete is none", "[conflicts][unit]") {
  Fixture f;
  f.rest(f.version(1, 2, 20, true), {Value(), kOne, kOne});
  f.rest(f.version(2, 1, 30, true), {Value(), kTwo, kTwo});
  CHECK(f.find().empty());
}

TEST_CASE("conflicts: the id does not depend on who numbers the sites or spells the names",
          "[conflicts][unit]") {
  Fixture f({1, 2, 3}), g({3, 1, 2});
  g.table.name = "TASK";
  g.table.columns[1].name = "A";
  for (Fixture* x : {&f, &g}) {
    x->rest(x->version(1, 1, 10), {Value(), kOne, kOne});
    x->row.cells = {{1, x->version(2, 1, 20), kOne}, {1, x->version(3, 1, 30), kTwo}};
  }
  REQUIRE(f.find().size() == 1);
  REQUIRE(g.find().size() == 1);
  CHECK(f.find()[0].id == g.find()[0].id);
  CHECK(held_conflict_id(f.table, f.key) == held_conflict_id(g.table, g.key));
}

TEST_CASE("conflicts: ids differ by key, column and versions", "[conflicts][unit]") {
  Fixture f;
  f.rest(f.version(1, 1, 10), {Value(), kOne, kOne});
  f.rest(f.version(2, 1, 20), {Value(), kTwo, kTwo});
  const std::vector<Conflict> found = f.find();
  REQUIRE(found.size() == 2);
  CHECK(found[0].id != found[1].id);
  const std::string before = found[0].id;
  f.key[0] = kTwo;
  CHECK(f.find()[0].id != before);
  f.key[0] = kOne;
  f.row.rest[0].seq = 9;
  CHECK(f.find()[0].id != before);
}

TEST_CASE("conflicts: names and values are JSON", "[conflicts][unit]") {
  Fixture f;
  f.table.columns[0].name = "the \"id\"";
  f.key[0] = Value::text("a\nb");
  CHECK(key_to_json(f.table, f.key) == "{\"the \\\"id\\\"\": \"a\\nb\"}");
  const std::vector<Value> values = {Value(), kOne, Value()};
  CHECK(row_to_json(f.table, f.key, values) == "{\"the \\\"id\\\"\": \"a\\nb\", \"a\": 1}");
}
