// Digests: one spelling for one meaning, sums that do not depend on order, storage: digest.cpp and
// canonical_json.cpp.
#include "syncline/digest.h"

#include "support/catch.hpp"
#include "syncline/codec.h"

using namespace syncline;

namespace {

TableInfo table_of(const std::vector<std::pair<std::string, std::string>>& columns) {
  TableInfo table;
  table.name = "t";
  for (const auto& [name, type] : columns) {
    ColumnInfo column;
    column.name = name;
    column.type = type;
    column.kind = logical_kind(type);
    table.columns.push_back(column);
  }
  table.key = {0};
  return table;
}

Digest digest(const TableInfo& table, const std::vector<Value>& row) {
  RowDigester digester;
  REQUIRE(RowDigester::make(plan_of(table.schema()), table, &digester).ok());
  return digester.row_digest(RowKey(row).first(1), row);
}

Digest one(const std::string& type, const Value& value) {
  return digest(table_of({{"id", "integer"}, {"v", type}}), {Value::integer(1), value});
}

std::string json(std::string_view text) {
  std::string out;
  return canonical_json_text(text, &out) ? out : "malformed";
}

}  // namespace

TEST_CASE("digest: values of one meaning have one digest", "[digest]") {
  CHECK(one("numeric", Value::text("1.50")) == one("numeric", Value::real(1.5)));
  CHECK(one("numeric", Value::text("100")) == one("numeric", Value::text("1e2")));
  CHECK(one("numeric", Value::text("-0.00")) == one("numeric", Value::integer(0)));
  CHECK(one("float", Value::real(-0.0)) == one("float", Value::real(0.0)));
  CHECK(one("float", Value::integer(2)) == one("float", Value::real(2.0)));
  CHECK(one("boolean", Value::text("yes")) == one("boolean", Value::integer(1)));
  CHECK(one("timestamptz", Value::text("2024-01-01T12:00:00Z")) ==
        one("timestamptz", Value::text("2024-01-01 12:00:00+00")));
  CHECK(one("json", Value::text("{\"b\": [1.0], \"a\":2}")) ==
        one("json", Value::text("{\"a\": 2,\"b\":[1]}")));
}

TEST_CASE("digest: values of different meaning have different digests", "[digest]") {
  CHECK(one("text", Value::text("1.50")) != one("text", Value::text("1.5")));
  CHECK(one("text", Value::text("")) != one("text", Value::null()));
  CHECK(one("bytes", Value::blob("a")) != one("bytes", Value::text("a")));
  CHECK(one("any", Value::integer(1)) != one("any", Value::real(1.0)));
  CHECK(one("numeric", Value::text("0.1")) != one("numeric", Value::text("0.01")));
  const std::string long_a(100'000, 'a'), long_b = long_a.substr(1) + "b";
  CHECK(one("text", Value::text(long_a)) != one("text", Value::text(long_b)));
  CHECK(one("text", Value::text(long_a)) != one("bytes", Value::blob(long_a)));
}

TEST_CASE("digest: values do not run together, and columns go by name", "[digest]") {
  const TableInfo ab = table_of({{"id", "integer"}, {"a", "text"}, {"b", "text"}});
  const TableInfo ba = table_of({{"id", "integer"}, {"B", "text"}, {"a", "text"}});
  const Value id = Value::integer(1);
  CHECK(digest(ab, {id, Value::text("xy"), Value::text("")}) !=
        digest(ab, {id, Value::text("x"), Value::text("y")}));
  CHECK(digest(ab, {id, Value::text("1"), Value::text("2")}) ==
        digest(ba, {id, Value::text("2"), Value::text("1")}));
}

TEST_CASE("digest: JSON has one spelling", "[digest]") {
  CHECK(json(" {\"a\" : 1, \"a\": 2 } ") == "{\"a\":2}");
  CHECK(json("[1.10, 1e2, -0.0, 123456789012345678901234567890.5]") ==
        "[1.1,100,0,123456789012345678901234567890.5]");
  CHECK(json("\"\\u0041\"") == "\"A\"");
  CHECK(json("[[],{}]") == "[[],{}]");
  CHECK(json("{\"a\":}") == "malformed");
  CHECK(json("1 2") == "malformed");
  CHECK(json(std::string(5000, '[') + std::string(5000, ']')) == "malformed");
}

TEST_CASE("digest: two sides agree on columns and types", "[digest]") {
  const TableSchema ours = table_of({{"id", "text"}, {"a", "text"}, {"x", "integer"}}).schema();
  const TableSchema theirs = table_of({{"ID", "uuid"}, {"y", "text"}, {"A", "pg:inet"}}).schema();
  DigestPlan plan;
  std::vector<std::string> left_out;
  REQUIRE(common_plan(ours, theirs, &plan, &left_out).ok());
  CHECK(plan.key[0].type == "uuid");
  REQUIRE(plan.columns.size() == 1);
  CHECK(plan.columns[0].type == "pg:inet");
  CHECK(left_out == std::vector<std::string>{"x", "y"});
  const TableSchema other = table_of({{"key", "text"}}).schema();
  CHECK(common_plan(ours, other, &plan, &left_out).code() == StatusCode::schema_mismatch);
}

TEST_CASE("digest: a plan survives its bytes, and damaged ones are refused", "[digest]") {
  const DigestPlan plan =
      plan_of(table_of({{"id", "text"}, {"a", "text"}, {"x", "integer"}}).schema());
  std::string bytes;
  append_plan(&bytes, plan);
  ByteReader in(bytes);
  DigestPlan read;
  REQUIRE(read_plan(&in, &read).ok());
  CHECK(read == plan);
  for (size_t size = 0; size < bytes.size(); ++size) {
    ByteReader cut(std::string_view(bytes).substr(0, size));
    CHECK_FALSE(read_plan(&cut, &read).ok());
  }
}

TEST_CASE("digest: sums do not depend on the order, and twice is not never", "[digest]") {
  const Digest a{1, UINT64_MAX}, b{UINT64_MAX, 7};
  RowSum ab, ba, twice;
  ab.add({1, a});
  ab.add({1, b});
  ba.add({1, b});
  ba.add({1, a});
  twice.add({1, a});
  twice.add({1, a});
  CHECK(ab == ba);
  CHECK(ab.sum == Digest{0, 7});  // carries over
  CHECK(twice != RowSum());
  CHECK(to_hex(Digest{0xab, 1}) == "000000000000000100000000000000ab");
}

TEST_CASE("digest: buckets add up at every level, and survive storage", "[digest]") {
  BucketSums sums;
  for (uint64_t i = 0; i < 5000; ++i)
    sums.add(i * 0x9e3779b97f4a7c15, {i, i * i});
  const RowSum all = sums.total();
  CHECK(all.count == 5000);
  const RowSum part = sums.total(5, 6);
  sums.coarsen();
  CHECK(sums.bits() < BucketSums::kBitsMax);
  CHECK(sums.total() == all);
  CHECK(sums.total(5, 6) == part);
  BucketSums read;
  REQUIRE(BucketSums::unpack(sums.pack(), &read).ok());
  CHECK(read.bits() == sums.bits());
  for (uint64_t b = 0; b < uint64_t{1} << sums.bits(); ++b)
    CHECK(read[b] == sums[b]);
  std::string packed = sums.pack();
  CHECK_FALSE(BucketSums::unpack(packed.substr(0, packed.size() - 1), &read).ok());
  packed[1] = 40;
  CHECK_FALSE(BucketSums::unpack(packed, &read).ok());
}
