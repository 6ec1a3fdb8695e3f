// Giving versions to another site id: which change, and that version order holds afterwards.
// relabel.cpp is driven with rows made by hand.
#include <vector>

#include "support/catch.hpp"
#include "syncline/row_state.h"

using namespace syncline;

namespace {

SiteTable three_sites() {
  SiteTable sites;
  for (uint8_t first : {1, 2, 3}) {
    SiteId id;
    id.bytes[0] = first;
    sites.intern(id);
  }
  return sites;
}

RowState row_of(std::vector<Version> rest, std::vector<CellVersion> cells) {
  RowState row;
  row.column_count = 2;
  for (const Version& v : rest) {
    row.rest_values.push_back(Value::integer(static_cast<int64_t>(v.seq)));
    row.rest_values.push_back(Value::same());
  }
  row.rest = std::move(rest);
  row.cells = std::move(cells);
  return row;
}

}  // namespace

TEST_CASE("relabel: versions beyond the seq go over, others stay", "[relabel][unit]") {
  const SiteTable sites = three_sites();
  RowState row = row_of({{5, 100, 0, false}}, {{1, {9, 110, 0, true}, Value::null()}});
  REQUIRE(relabel_versions({0, 5, 2}, sites, &row));
  CHECK(row.rest[0].site == 0);
  CHECK(row.cells[0].version.site == 2);
  CHECK(row.cells[0].version.seq == 9);
  CHECK(row.cells[0].version.dead);
}

TEST_CASE("relabel: a row without such versions is left alone", "[relabel][unit]") {
  const SiteTable sites = three_sites();
  RowState row = row_of({{5, 100, 0, false}}, {{1, {9, 110, 1, false}, Value::null()}});
  CHECK_FALSE(relabel_versions({0, 5, 2}, sites, &row));
  CHECK_FALSE(relabel_versions({2, 0, 1}, sites, &row));
}

TEST_CASE("relabel: version order and values follow the new id", "[relabel][unit]") {
  const SiteTable sites = three_sites();
  // equal clocks: the site id decides, and site 0 becomes site 2, beyond site 1
  RowState row = row_of({{7, 100, 0, false}, {8, 100, 1, false}},
                        {{1, {6, 90, 0, false}, Value::integer(6)},
                         {1, {4, 90, 1, false}, Value::integer(4)}});
  REQUIRE(relabel_versions({0, 0, 2}, sites, &row));
  CHECK(row.rest[0].site == 1);
  CHECK(row.rest[1].site == 2);
  CHECK(row.rest_values[0].as_integer() == 8);
  CHECK(row.rest_values[2].as_integer() == 7);
  CHECK(row.cells[0].value.as_integer() == 4);
  CHECK(row.cells[1].value.as_integer() == 6);
}

TEST_CASE("relabel: a new id stands among the known ones where the old one stood",
          "[relabel][unit]") {
  SiteTable sites = three_sites();
  SiteId random;
  uint64_t state = 7;
  for (int round = 0; round < 200; ++round) {
    for (uint8_t& byte : random.bytes) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      byte = static_cast<uint8_t>(state >> 56);
    }
    for (const SiteIndex old : {0u, 1u, 2u}) {
      const SiteId id = site_id_beside(sites.id(old), sites, random);
      CHECK(sites.find(id) == -1);
      for (const SiteIndex other : {0u, 1u, 2u}) {
        if (other != old) CHECK((id < sites.id(other)) == (sites.id(old) < sites.id(other)));
      }
    }
  }
  // Next to an id that differs in the last bytes there is no room for a random one.
  SiteId near = sites.id(1), far = near;
  near.bytes[15] = 2;
  far.bytes[15] = 4;
  sites.intern(near);
  sites.intern(far);
  CHECK(site_id_beside(near, sites, random) == random);
}

TEST_CASE("relabel: an id at either end of the order gets one there", "[relabel][unit]") {
  SiteTable sites;
  SiteId lowest, highest;
  lowest.bytes[15] = 1;
  highest.bytes.fill(0xff);
  sites.intern(lowest);
  sites.intern(highest);
  for (const SiteId& random : {lowest, highest, SiteId{}}) {
    for (const SiteId& old : {lowest, highest}) {
      const SiteId id = site_id_beside(old, sites, random);
      CHECK(sites.find(id) == -1);
      CHECK(id != kNobody);
    }
  }
}

TEST_CASE("relabel: clocks beyond the latest one become it, those of others stay",
          "[relabel][unit]") {
  const SiteTable sites = three_sites();
  RowState row = row_of({{4, 80, 0, false}, {7, 900, 0, false}, {8, 900, 1, false}},
                        {{1, {9, 950, 0, true}, Value::null()}});
  REQUIRE(relabel_versions({0, 4, 2, 100}, sites, &row));
  CHECK(row.rest[0].hlc == 80);
  CHECK(row.rest[1].hlc == 100);
  CHECK(row.rest[1].site == 2);
  CHECK(row.rest[2].hlc == 900);
  CHECK(row.cells[0].version.hlc == 100);
  CHECK(row.cells[0].version.dead);
}
