// Packing and unpacking of row state: what a host stores comes back, whatever is left out because
// the base row shows it. Random states against themselves, then damaged bytes.
#include <algorithm>

#include "support/catch.hpp"
#include "support/prng.hpp"
#include "support/reference_merge.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

// Key, two columns that the table has, one that only a peer has.
TableInfo sample_table() {
  TableInfo table;
  table.name = "t";
  for (const char* name : {"id", "a", "b", "parked"}) {
    table.columns.push_back({name, "any", LogicalKind::any, true, false});
  }
  table.columns[3].present = false;
  table.key = {0};
  table.baseline = {1, 0, 0, false};
  return table;
}

SiteTable sample_sites() {
  SiteTable sites;
  for (uint8_t i = 0; i < 4; ++i) {
    SiteId id;
    id.bytes[0] = static_cast<uint8_t>(9 - i);
    sites.intern(id);
  }
  return sites;
}

Value random_value(Prng* prng) {
  switch (prng->below(6)) {
    case 0:
      return Value();
    case 1:
      return Value::null();
    case 2:
      return Value::integer(static_cast<int64_t>(prng->next()));
    case 3:
      return Value::real(0.25);
    case 4:
      return Value::text("text");
    default:
      return Value::blob(std::string_view("\0b", 2));
  }
}

std::vector<Version> random_versions(Prng* prng, const SiteTable& sites, size_t count) {
  std::vector<Version> versions;
  for (size_t i = 0; i < count; ++i) {
    const auto site = static_cast<SiteIndex>((i + prng->below(2) * 2) % 4);
    versions.push_back({1 + prng->below(100) * 4 + i, prng->next() >> (1 + prng->below(40)), site,
                        prng->chance(.3)});
  }
  std::sort(versions.begin(), versions.end(),
            [&](const Version& a, const Version& b) { return compare_versions(a, b, sites) < 0; });
  return versions;
}

RowState random_row(Prng* prng, const SiteTable& sites) {
  RowState row;
  row.column_count = 4;
  row.rest = random_versions(prng, sites, 1 + prng->below(3));
  for (size_t i = 0; i < row.rest.size() * 4; ++i)
    row.rest_values.push_back(random_value(prng));
  for (const ColumnNumber column : {1, 2, 3}) {
    if (!prng->chance(.4)) continue;
    for (const Version& v : random_versions(prng, sites, 1 + prng->below(3))) {
      row.cells.push_back({column, v, random_value(prng)});
    }
  }
  row.context = prng->below(3);
  row.held = prng->chance(.2);
  return row;
}

// Keys are not kept in state: they stand beside it.
void drop_keys(RowState* row) {
  for (size_t i = 0; i < row->rest.size(); ++i)
    row->rest_values[i * 4] = Value();
}

std::string text(const RowState& row) {
  return describe(reference_of(row)) + " context " + std::to_string(row.context) +
         (row.held ? " held" : "");
}

}  // namespace

TEST_CASE("row state: a row that is not in the base table comes back whole", "[row_state][unit]") {
  const TableInfo table = sample_table();
  const SiteTable sites = sample_sites();
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    Prng prng(seed);
    RowState row = random_row(&prng, sites), back;
    ShownRow shown;
    show_row(row, table, sites, &shown);
    std::string buffer;
    const PackedRow packed = pack_row(row, table, &shown, false, &buffer);
    REQUIRE(unpack_row(packed, 4, &back).ok());
    drop_keys(&row);
    INFO("seed " << seed);
    REQUIRE(text(back) == text(row));
  }
}

TEST_CASE("row state: what the base row shows is not stored again", "[row_state][unit]") {
  const TableInfo table = sample_table();
  const SiteTable sites = sample_sites();
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    Prng prng(seed);
    RowState row = random_row(&prng, sites), back;
    ShownRow shown;
    show_row(row, table, sites, &shown);
    std::string buffer;
    const PackedRow packed = pack_row(row, table, &shown, true, &buffer);
    REQUIRE(unpack_row(packed, 4, &back).ok());
    std::vector<Value> base = shown.values;
    base[3] = Value();  // the table lacks the column
    resolve_same(base, &back);
    drop_keys(&row);
    for (size_t i = 0; i < back.rest.size(); ++i)
      back.rest_values[i * 4] = Value();
    INFO("seed " << seed);
    REQUIRE(text(back) == text(row));
  }
}

TEST_CASE("row state: who said nothing does not come to say what a policy shows",
          "[row_state][unit]") {
  TableInfo table = sample_table();
  auto policy = std::make_shared<Policy>();
  policy->kind = PolicyKind::first_writer;
  table.columns[1].policy = policy;
  const SiteTable sites = sample_sites();
  const Version first{1, hlc_from_ms(1000), 0, false}, last{1, hlc_from_ms(2000), 1, false};
  RowState row, back;
  row.column_count = 4;
  row.write_all(last, std::vector<Value>(4));
  row.cells = {{1, first, Value::integer(139)}, {1, last, Value()}};
  ShownRow shown;
  show_row(row, table, sites, &shown);
  CHECK(shown.values[1].identical(Value::integer(139)));
  std::string buffer;
  REQUIRE(unpack_row(pack_row(row, table, &shown, true, &buffer), 4, &back).ok());
  resolve_same(shown.values, &back);
  CHECK(back.cells[0].value.identical(Value::integer(139)));
  CHECK(back.cells[1].value.is(ValueKind::absent));
  // It holds the column's default, wherever the column is.
  table.columns[1].set_missing(Value::text("default"));
  CHECK(lacks_values(table, back));
  fill_missing(table, &back);
  CHECK_FALSE(lacks_values(table, back));
  CHECK(back.cells[0].value.identical(Value::integer(139)));
  CHECK(back.cells[1].value.identical(Value::text("default")));
}

TEST_CASE("row state: a row written at once takes no bytes", "[row_state][unit]") {
  TableInfo table = sample_table();
  table.columns[3].present = true;
  const SiteTable sites = sample_sites();
  RowState row;
  row.column_count = 4;
  const std::vector<Value> values = {Value::integer(1), Value::text("a"), Value::null(),
                                     Value::integer(3)};
  row.write_all({5, hlc_from_ms(1000), 2, false}, values);
  ShownRow shown;
  show_row(row, table, sites, &shown);
  std::string buffer;
  const PackedRow packed = pack_row(row, table, &shown, true, &buffer);
  CHECK(packed.cells.empty());
  CHECK(packed.site == 2);
  CHECK(packed.seq == 5);
  CHECK(packed.hlc == hlc_from_ms(1000));
  CHECK(packed.flags == 0);
}

TEST_CASE("row state: values of a column that only peers have are always kept",
          "[row_state][unit]") {
  const TableInfo table = sample_table();
  const SiteTable sites = sample_sites();
  RowState row, back;
  row.column_count = 4;
  const std::vector<Value> values = {Value::integer(1), Value::text("a"), Value::null(),
                                     Value::text("kept")};
  row.write_all({5, 9, 0, false}, values);
  ShownRow shown;
  show_row(row, table, sites, &shown);
  std::string buffer;
  const PackedRow packed = pack_row(row, table, &shown, true, &buffer);
  REQUIRE(unpack_row(packed, 4, &back).ok());
  CHECK(back.rest_values[3].identical(Value::text("kept")));
  CHECK(back.rest_values[1].is(ValueKind::same));
}

TEST_CASE("row state: damaged bytes are refused, never misread beyond their end",
          "[row_state][unit]") {
  const TableInfo table = sample_table();
  const SiteTable sites = sample_sites();
  int refused = 0;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    Prng prng(seed);
    const RowState row = random_row(&prng, sites);
    std::string buffer;
    PackedRow packed = pack_row(row, table, nullptr, false, &buffer);
    if (buffer.empty()) continue;
    for (size_t length = 1; length < buffer.size(); ++length) {
      const std::string cut = buffer.substr(0, length);
      packed.cells = cut;
      RowState back;
      refused += unpack_row(packed, 4, &back).ok() ? 0 : 1;
    }
    std::string flipped = buffer;
    flipped[prng.below(flipped.size())] ^= static_cast<char>(1 << prng.below(8));
    packed.cells = flipped;
    RowState back;
    refused += unpack_row(packed, 4, &back).ok() ? 0 : 1;
  }
  CHECK(refused > 1000);
}

TEST_CASE("row state: an unknown format is named as such", "[row_state][unit]") {
  PackedRow packed;
  packed.cells = std::string_view("\x7f\x00\x00\x00", 4);
  RowState back;
  CHECK(unpack_row(packed, 4, &back).code() == StatusCode::unsupported_version);
}

TEST_CASE("row state: write_cell makes one version the only one of its column",
          "[row_state][unit]") {
  RowState row;
  row.column_count = 4;
  row.write_all({1, 1, 0, false}, std::vector<Value>(4, Value::integer(0)));
  row.cells = {{1, {2, 2, 1, false}, Value::integer(1)}, {1, {3, 3, 2, false}, Value::integer(2)}};
  row.write_cell(1, {4, 4, 3, false}, Value::integer(3));
  REQUIRE(row.cells.size() == 1);
  CHECK(row.cells[0].version.seq == 4);
  row.write_cell(1, {1, 1, 0, false}, Value::integer(9));  // the version of `rest`
  CHECK(row.cells.empty());
  CHECK(row.rest_values[1].identical(Value::integer(9)));
}
