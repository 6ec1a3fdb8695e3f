// Folding the log of one row into its state, against a naive replay of the same events.
#include <algorithm>

#include "support/catch.hpp"
#include "support/prng.hpp"
#include "support/reference_merge.hpp"
#include "syncline/fold.h"

using namespace syncline;
using namespace syncline::test;

namespace {

constexpr SiteIndex kSelf = 0;
constexpr SiteIndex kOther = 1;

struct Fixture {
  Fixture() {
    for (uint8_t i = 0; i < 3; ++i) {
      SiteId id;
      id.bytes[0] = i;
      sites.intern(id);
    }
    for (const char* name : {"id", "a", "b", "parked"}) {
      table.columns.push_back({name, "any", LogicalKind::any, true, false});
    }
    table.columns[3].present = false;
    table.key = {0};
    table.baseline = {1, 0, kSelf, false};
    row.column_count = 4;
  }

  void fold(std::vector<LogEvent> events, bool exists, const std::vector<Value>& image) {
    fold_row({kSelf, events, exists, image}, table, sites, &arena, &row);
  }
  void insert(uint64_t seq, Hlc hlc) { fold({{seq, hlc, kMaskAll, 4}}, true, base); }
  std::string text() const { return describe(reference_of(row)); }
  bool only(ColumnNumber column, uint64_t seq) const {
    const ReferenceCell cell = reference_of(row)[column];
    return cell.size() == 1 && cell.begin()->first.second == seq;
  }

  SiteTable sites;
  TableInfo table;
  Arena arena;
  RowState row;
  std::vector<Value> base = {Value::integer(1), Value::text("a"), Value::text("b"), Value()};
};

}  // namespace

TEST_CASE("fold: an insert is one version for the whole row", "[fold][unit]") {
  Fixture f;
  f.insert(5, 100);
  REQUIRE(f.row.rest.size() == 1);
  CHECK(f.row.rest[0].seq == 5);
  CHECK(f.row.rest[0].hlc == 100);
  CHECK(f.row.cells.empty());
  CHECK(f.row.rest_values[1].is(ValueKind::same));
}

TEST_CASE("fold: an update writes the cells of its mask", "[fold][unit]") {
  Fixture f;
  f.insert(5, 100);
  f.fold({{6, 101, 1 << 1, 4}}, true, f.base);
  CHECK(f.only(1, 6));
  CHECK(f.only(2, 5));
  f.fold({{7, 102, 1 << 2, 4}, {8, 103, 1 << 1, 4}}, true, f.base);
  CHECK(f.only(1, 8));
  CHECK(f.only(2, 7));
  CHECK(f.only(4, 5));  // existence
}

TEST_CASE("fold: a column that the trigger did not know counts as changed", "[fold][unit]") {
  Fixture f;
  f.insert(5, 100);
  f.fold({{6, 101, 0, 2}}, true, f.base);
  CHECK(f.only(1, 5));
  CHECK(f.only(2, 6));
}

TEST_CASE("fold: columns from 62 on share one bit of the mask", "[fold][unit]") {
  Fixture f;
  f.table.columns.resize(70, {"c", "any", LogicalKind::any, true, false});
  f.row.column_count = 70;
  f.base.resize(70, Value::integer(1));
  f.insert(5, 100);
  f.fold({{6, 101, kMaskMany, 70}}, true, f.base);
  CHECK(f.only(61, 5));
  CHECK(f.only(62, 6));
  CHECK(f.only(69, 6));
}

TEST_CASE("fold: a delete leaves a tombstone with the image, parked columns included",
          "[fold][unit]") {
  Fixture f;
  std::vector<Value> values = f.base;
  values[3] = Value::text("parked");
  f.row.write_all({4, 90, kOther, false}, values);
  f.fold({{6, 101, kMaskAll, 4}}, false, f.base);
  REQUIRE(f.row.rest.size() == 1);
  CHECK(f.row.rest[0].dead);
  CHECK(f.row.rest_values[1].identical(Value::text("a")));
  CHECK(f.row.rest_values[3].identical(Value::text("parked")));
}

TEST_CASE("fold: a delete from before a column was there keeps what was parked in it",
          "[fold][unit]") {
  Fixture f;
  const std::vector<Value> values = {Value(), Value::text("a"), Value::text("b"),
                                     Value::text("parked")};
  f.row.write_all({9, 50, kOther, false}, values);
  f.table.columns[3].present = true;  // since then
  f.fold({{5, 100, kMaskAll, 3}}, false, f.base);
  CHECK(f.row.rest[0].dead);
  CHECK(f.row.rest_values[3].identical(Value::text("parked")));
}

TEST_CASE("fold: an insert gives columns it does not know no value", "[fold][unit]") {
  Fixture f;
  std::vector<Value> values = f.base;
  values[3] = Value::text("parked");
  f.row.write_all({4, 90, kOther, true}, values);
  f.fold({{6, 101, kMaskAll, 4}}, true, f.base);
  CHECK(f.row.rest_values[3].is(ValueKind::absent));
}

TEST_CASE("fold: a write from before a column was added gives it no value", "[fold][unit]") {
  Fixture f;
  const std::vector<ColumnNumber> unseen = {2};
  f.fold({{5, 100, kMaskAll, 2, {}, false, unseen}}, true, f.base);
  CHECK(f.row.rest_values[1].is(ValueKind::same));
  CHECK(f.row.rest_values[2].is(ValueKind::absent));
  f.row.rest_values[2] = Value::text("parked");
  f.fold({{6, 101, 1 << 1, 4, {}, false, unseen}}, true, f.base);
  CHECK(f.only(2, 5));
  f.table.row_grain = true;
  f.fold({{7, 102, 1 << 1, 4, {}, false, unseen}}, true, f.base);
  CHECK(f.only(2, 7));
  CHECK(f.row.rest_values[2].identical(Value::text("parked")));
}

TEST_CASE("fold: the base table has the last word on existence", "[fold][unit]") {
  Fixture f;
  f.insert(5, 100);
  f.fold({{6, 101, 1 << 1, 4}}, false, f.base);  // an update, yet the row is gone
  CHECK(f.row.rest[0].dead);
  CHECK(f.row.cells.empty());
  f.fold({{7, 102, 0, 4}}, true, f.base);  // no insert in the log, yet it is back
  CHECK_FALSE(f.row.rest[0].dead);
}

TEST_CASE("fold: a later write never sorts before what it replaces", "[fold][unit]") {
  Fixture f;
  f.row.write_all({4, 1000, kOther, false}, f.base);
  f.fold({{5, 10, 1 << 1, 4}}, true, f.base);  // our clock is far behind
  CHECK(compare_versions(f.row.exceptions(1)[0].version, f.row.rest[0], f.sites) > 0);
  f.fold({{6, 10, kMaskAll, 4}}, false, f.base);
  CHECK(f.row.rest[0].hlc > 1000);
}

TEST_CASE("fold: an insert over a held row stands beside what is held", "[fold][unit]") {
  Fixture f;
  f.row.write_all({4, 90, kOther, false}, f.base);
  f.row.write_cell(1, {5, 95, kOther, false}, Value::text("held"));
  f.row.held = true;
  f.insert(7, 100);
  CHECK_FALSE(f.row.held);
  CHECK(reference_of(f.row)[1].size() == 2);
  CHECK(reference_of(f.row)[2].size() == 2);
  CHECK(f.row.rest.size() == 2);
}

TEST_CASE("fold: what comes and goes beside a held row supersedes only itself", "[fold][unit]") {
  Fixture f;
  f.row.write_all({4, 90, kOther, false}, f.base);
  f.row.held = true;
  f.fold({{7, 100, kMaskAll, 4}, {8, 101, 1 << 1, 4}, {9, 102, kMaskAll, 4}}, false, f.base);
  CHECK(f.row.held);
  const ReferenceRow cells = reference_of(f.row);
  for (const ReferenceCell& cell : cells) {
    CHECK(cell.size() == 2);
    CHECK(cell.count({kOther, 4}) == 1);
    CHECK(cell.count({kSelf, 9}) == 1);
  }
  CHECK(f.row.cells.empty());
}

TEST_CASE("fold: a held row that a delete beside it kills is held no more", "[fold][unit]") {
  Fixture f;
  f.table.on_delete = OnDelete::delete_wins;
  f.row.write_all({4, 90, kOther, false}, f.base);
  f.row.held = true;
  f.fold({{7, 100, kMaskAll, 4}, {8, 101, kMaskAll, 4}}, false, f.base);
  CHECK_FALSE(f.row.held);
}

TEST_CASE("fold: folding at once or one by one gives the same row", "[fold][unit]") {
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    Prng prng(seed);
    Fixture at_once, one_by_one;
    const std::vector<Value> foreign(4, Value::integer(7));
    if (prng.chance(.5)) {
      at_once.row.write_all({3, 50, kOther, false}, foreign);
      at_once.row.write_cell(2, {4, 200, kOther, false}, Value::integer(8));
      one_by_one.row = at_once.row;
    }
    bool exists = !at_once.row.empty();
    std::vector<LogEvent> events;
    for (uint64_t seq = 10; seq < 11 + prng.below(5); ++seq) {
      const bool structural = !exists || prng.chance(.4);
      const int64_t mask = structural ? kMaskAll : int64_t{2} << prng.below(2);
      events.push_back({seq, 100 + seq / 2, mask, 4});
      exists = structural ? !exists : exists;
      one_by_one.fold({events.back()}, exists, one_by_one.base);
    }
    at_once.fold(events, exists, at_once.base);
    INFO("seed " << seed);
    REQUIRE(same_versions(at_once.row, one_by_one.row));
  }
}
