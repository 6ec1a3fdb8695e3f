// Goal: one meaning has one spelling, what is not of a type is left alone, and loss is told before
// it happens (logical_type.cpp, temporal.cpp). Method: tables of examples; every canonical value is
// canonical again.
#include <cmath>

#include "support/catch.hpp"
#include "syncline/logical_type.h"

namespace syncline::test {
namespace {

using Catch::Matchers::Contains;

// The canonical value, as JSON with its class to be seen.
std::string canonical(LogicalKind kind, const Value& value) {
  Arena arena;
  const Value once = canonical_value(kind, value, &arena);
  CHECK(canonical_value(kind, once, &arena).identical(once));
  return value_to_json(once);
}
std::string spelled(LogicalKind kind, std::string_view text) {
  const std::string json = canonical(kind, Value::text(text));
  return json.substr(1, json.size() - 2);
}
void check_unchanged(LogicalKind kind, const Value& value) {
  Arena arena;
  CAPTURE(value_to_json(value));
  CHECK(canonical_value(kind, value, &arena).identical(value));
}

TEST_CASE("logical_type: names and kinds", "[logical_type][unit]") {
  CHECK(logical_kind("float") == LogicalKind::floating);
  CHECK(logical_kind("any") == LogicalKind::any);
  CHECK(logical_kind("timestamptz") == LogicalKind::timestamptz);
  CHECK(logical_kind("pg:inet") == LogicalKind::other);
  CHECK(logical_kind("") == LogicalKind::other);
}

TEST_CASE("logical_type: declarations", "[logical_type][unit]") {
  const std::pair<const char*, const char*> cases[] = {
      {"", "any"},
      {"  ", "any"},
      {"ANY", "any"},
      {"INT", "integer"},
      {"Integer", "integer"},
      {"BIGINT", "integer"},
      {"INT8", "integer"},
      {"UNSIGNED BIG INT", "integer"},
      {"SERIAL", "integer"},
      {"bigserial", "integer"},
      {"BOOLEAN", "boolean"},
      {"bool", "boolean"},
      {"REAL", "float"},
      {"DOUBLE", "float"},
      {"double  precision", "float"},
      {"FLOAT(24)", "float"},
      {"NUMERIC", "numeric"},
      {"DECIMAL(10, 2)", "numeric"},
      {"decimal (10,5)", "numeric"},
      {"TEXT", "text"},
      {"VARCHAR(255)", "text"},
      {"NATIVE CHARACTER(70)", "text"},
      {"NVARCHAR(100)", "text"},
      {"CLOB", "text"},
      {"character varying (20)", "text"},
      {"BLOB", "bytes"},
      {"BYTEA", "bytes"},
      {"LONGBLOB", "bytes"},
      {"DATE", "date"},
      {"TIME", "time"},
      {"DATETIME", "timestamp"},
      {"TIMESTAMP(3)", "timestamp"},
      {"TIMESTAMP (3) WITH TIME ZONE", "timestamptz"},
      {"timestamptz", "timestamptz"},
      {"timestamp without time zone", "timestamp"},
      {"INTERVAL", "interval"},
      {"UUID", "uuid"},
      {"GUID", "uuid"},
      {"JSON", "json"},
      {"JSONB", "json"},
      {"INTEGER[]", "pg:integer[]"},
      {"bigint[][]", "pg:bigint[]"},
      {"INT[3]", "pg:integer[]"},
      {"varchar(20)[]", "pg:character varying[]"},
      {"mood[]", "pg:mood[]"},
      {"[]", "any"},
      {"STRING", "any"},
      {"inet", "any"},
      {"FLOATING POINT", "integer"},
      {"MONEY", "any"},
  };
  for (const auto& [declared, type] : cases) {
    CAPTURE(declared);
    CHECK(logical_type_of_declaration(declared) == type);
  }
}

TEST_CASE("logical_type: booleans", "[logical_type][unit]") {
  for (const char* text : {"t", "true", "TRUE", "True", "1", "yes", "on"}) {
    CHECK(canonical(LogicalKind::boolean, Value::text(text)) == "1");
  }
  for (const char* text : {"f", "false", "FALSE", "0", "no", "off"}) {
    CHECK(canonical(LogicalKind::boolean, Value::text(text)) == "0");
  }
  CHECK(canonical(LogicalKind::boolean, Value::real(1)) == "1");
  for (const Value& value : {Value::integer(0), Value::integer(1), Value::integer(2), Value::null(),
                             Value::text("maybe"), Value::text(""), Value::real(0.5), Value()}) {
    check_unchanged(LogicalKind::boolean, value);
  }
}

TEST_CASE("logical_type: integers, floats and text", "[logical_type][unit]") {
  CHECK(canonical(LogicalKind::integer, Value::real(3)) == "3");
  CHECK(canonical(LogicalKind::integer, Value::text("4326")) == "4326");
  for (const Value& value :
       {Value::real(3.5), Value::real(9.3e18), Value::real(-INFINITY), Value::text("4326 "),
        Value::text("9223372036854775808"), Value::text("01"), Value::text("-0"),
        Value::blob("1")}) {
    check_unchanged(LogicalKind::integer, value);
  }
  CHECK(canonical(LogicalKind::floating, Value::integer(3)) == "3.0");
  CHECK(canonical(LogicalKind::floating, Value::text("1.5")) == "1.5");
  CHECK(canonical(LogicalKind::floating, Value::text("nan")) == "\"NaN\"");
  CHECK(canonical(LogicalKind::floating, Value::text("-Infinity")) == "\"-Infinity\"");
  check_unchanged(LogicalKind::floating, Value::text("1.5x"));
  CHECK(canonical(LogicalKind::text, Value::integer(-7)) == "\"-7\"");
  CHECK(canonical(LogicalKind::text, Value::real(7)) == "\"7.0\"");
  check_unchanged(LogicalKind::text, Value::blob("x"));
  check_unchanged(LogicalKind::any, Value::integer(7));
}

TEST_CASE("logical_type: numerics are plain decimals, scale kept", "[logical_type][unit]") {
  const std::pair<const char*, const char*> cases[] = {
      {"12.50", "12.50"},
      {"+1", "1"},
      {"007", "7"},
      {"-0012.30", "-12.30"},
      {".5", "0.5"},
      {"5.", "5"},
      {"0", "0"},
      {"-0", "0"},
      {"-0.00", "0.00"},
      {"000", "0"},
      {"1e3", "1000"},
      {"1.5E3", "1500"},
      {"1.50e1", "15.0"},
      {"1e-3", "0.001"},
      {"12.5e-3", "0.0125"},
      {"-1.2345e2", "-123.45"},
      {"0e5", "0"},
      {"nan", "NaN"},
      {"inf", "Infinity"},
      {"123456789012345678901234567890.123", "123456789012345678901234567890.123"}};
  for (const auto& [text, plain] : cases) {
    CAPTURE(text);
    CHECK(spelled(LogicalKind::numeric, text) == plain);
  }
  for (const char* text : {"", ".", "-", "1e", "e3", "1.2.3", "1,5", " 1", "0x10", "1e999999999",
                           "1e-999999999", "1e99999999999999999999", "--1", "1e+-3"}) {
    check_unchanged(LogicalKind::numeric, Value::text(text));
  }
  CHECK(canonical(LogicalKind::numeric, Value::integer(INT64_MIN)) == "\"-9223372036854775808\"");
  CHECK(canonical(LogicalKind::numeric, Value::real(0.1)) == "\"0.1\"");
  CHECK(canonical(LogicalKind::numeric, Value::real(-12.5)) == "\"-12.5\"");
  CHECK(canonical(LogicalKind::numeric, Value::real(3)) == "\"3\"");
  CHECK(canonical(LogicalKind::numeric, Value::real(1e23)) == "\"1" + std::string(23, '0') + "\"");
  CHECK(canonical(LogicalKind::numeric, Value::real(1.5e-7)) == "\"0.00000015\"");
  CHECK(canonical(LogicalKind::numeric, Value::real(INFINITY)) == "\"Infinity\"");
  check_unchanged(LogicalKind::numeric, Value::blob("1"));
}

TEST_CASE("logical_type: uuids", "[logical_type][unit]") {
  const std::string uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
  for (const char* text :
       {"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
        "a0eebc999c0b4ef8bb6d6bb9bd380a11", "a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11",
        "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}"}) {
    CHECK(spelled(LogicalKind::uuid, text) == uuid);
  }
  check_unchanged(LogicalKind::uuid, Value::text(uuid));
  for (const char* text :
       {"", "{}", "a0eebc99", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1g",
        "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0e-ebc999c0b4ef8bb6d6bb9bd380a11",
        "a0eebc99--9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11-",
        "a0eebc999c0b4ef8bb6d6bb9bd380a11ff"}) {
    check_unchanged(LogicalKind::uuid, Value::text(text));
  }
}

TEST_CASE("logical_type: dates and times", "[logical_type][unit]") {
  CHECK(spelled(LogicalKind::date, "2024-02-29") == "2024-02-29");
  CHECK(spelled(LogicalKind::time, "12:30") == "12:30:00");
  CHECK(spelled(LogicalKind::time, "12:30:01.500") == "12:30:01.5");
  for (const char* text : {"2023-02-29", "2024-13-01", "2024-00-10", "2024-1-1", "0000-01-01",
                           "infinity", "0044-03-15 BC", "20240229", "2024-02-29 ", ""}) {
    check_unchanged(LogicalKind::date, Value::text(text));
  }
  for (const char* text :
       {"24:00:00", "12:60:00", "12:30:60", "12", "12:30:01.", "12:30:00.1234567"}) {
    check_unchanged(LogicalKind::time, Value::text(text));
  }
  check_unchanged(LogicalKind::date, Value::integer(1'700'000'000));
}

TEST_CASE("logical_type: timestamps", "[logical_type][unit]") {
  const std::pair<const char*, const char*> cases[] = {
      {"2024-01-01T12:00:00Z", "2024-01-01 12:00:00+00"},
      {"2024-01-01 12:00:00+00", "2024-01-01 12:00:00+00"},
      {"2024-01-01 12:00", "2024-01-01 12:00:00+00"},
      {"2024-01-01", "2024-01-01 00:00:00+00"},
      {"2024-02-29 23:30:00.120000-02:00", "2024-03-01 01:30:00.12+00"},
      {"2024-03-01t00:15:00 +05:30", "2024-02-29 18:45:00+00"},
      {"2023-03-01T00:00:00+0100", "2023-02-28 23:00:00+00"},
      {"2024-01-01 00:00:00.000001+00:00:01", "2023-12-31 23:59:59.000001+00"},
      {"1969-12-31T23:59:59.999999Z", "1969-12-31 23:59:59.999999+00"},
      {"1900-03-01 00:00:00+14", "1900-02-28 10:00:00+00"},
      {"0001-01-01 00:00:00+00", "0001-01-01 00:00:00+00"},
      {"12345-06-07 08:09:10Z", "12345-06-07 08:09:10+00"},
      {"2000-02-28 23:59:59-00:00:01", "2000-02-29 00:00:00+00"}};
  for (const auto& [text, utc] : cases) {
    CAPTURE(text);
    CHECK(spelled(LogicalKind::timestamptz, text) == utc);
  }
  for (const char* text :
       {"infinity", "-infinity", "0001-01-01 00:00:00+01", "2024-01-01 12:00:00+16",
        "2024-01-01 12:00:00 BC", "2024-01-01X12:00:00", "now", "2024-01-01 12:00:00 UTC",
        "2024-01-01 12:00:00.1234567Z", "0044-03-15 12:00:00+00 BC"}) {
    check_unchanged(LogicalKind::timestamptz, Value::text(text));
  }
  CHECK(spelled(LogicalKind::timestamp, "2024-01-01T12:00:00.50") == "2024-01-01 12:00:00.5");
  CHECK(spelled(LogicalKind::timestamp, "2024-01-01T12:00:00Z") == "2024-01-01 12:00:00");
  check_unchanged(LogicalKind::timestamp, Value::text("2024-01-01 12:00:00+02"));
}

TEST_CASE("logical_type: equal in meaning", "[logical_type][unit]") {
  const auto equal = [](LogicalKind kind, const Value& a, const Value& b) {
    CHECK(equal_in_meaning(kind, a, b) == equal_in_meaning(kind, b, a));
    return equal_in_meaning(kind, a, b);
  };
  CHECK(equal(LogicalKind::numeric, Value::text("1.50"), Value::text("1.5")));
  CHECK(equal(LogicalKind::numeric, Value::text("100"), Value::integer(100)));
  CHECK(equal(LogicalKind::numeric, Value::text("1.0"), Value::text("1")));
  CHECK(!equal(LogicalKind::numeric, Value::text("100"), Value::text("1")));
  CHECK(!equal(LogicalKind::numeric, Value::text("NaN"), Value::text("1")));
  CHECK(equal(LogicalKind::boolean, Value::text("true"), Value::integer(1)));
  CHECK(equal(LogicalKind::floating, Value::real(0.0), Value::real(-0.0)));
  CHECK(equal(LogicalKind::timestamptz, Value::text("2024-01-01 12:00:00+02"),
              Value::text("2024-01-01T10:00:00Z")));
  CHECK(equal(LogicalKind::json, Value::text("{\"a\": [1, 2]}"), Value::text("{\"a\":[1,2]}")));
  CHECK(!equal(LogicalKind::json, Value::text("\"a b\""), Value::text("\"ab\"")));
  CHECK(!equal(LogicalKind::json, Value::text("\"\\\" b\""), Value::text("\"\\\"b\"")));
  CHECK(!equal(LogicalKind::json, Value::text("[1 2]"), Value::text("[12]")));
  CHECK(!equal(LogicalKind::text, Value::text("1.0"), Value::text("1")));
  CHECK(!equal(LogicalKind::any, Value::integer(1), Value::real(1)));
  CHECK(!equal(LogicalKind::text, Value::null(), Value::text("")));
}

TEST_CASE("logical_type: loss is told, and only loss", "[logical_type][unit]") {
  const std::pair<const char*, const char*> fine[] = {
      {"integer", "integer"}, {"pg:inet", "pg:inet"}, {"pg:inet", "text"},   {"uuid", "text"},
      {"integer", "numeric"}, {"integer", "text"},    {"float", "numeric"},  {"boolean", "integer"},
      {"text", "any"},        {"bytes", "any"},       {"date", "timestamp"}, {"json", "text"}};
  for (const auto& [from, to] : fine)
    CHECK(type_loss(from, to).empty());
  const std::pair<const char*, const char*> lossy[] = {
      {"float", "integer"},   {"text", "integer"},    {"any", "integer"},
      {"any", "text"},        {"integer", "float"},   {"numeric", "float"},
      {"numeric", "integer"}, {"integer", "boolean"}, {"text", "bytes"},
      {"bytes", "text"},      {"timestamp", "date"},  {"timestamptz", "timestamp"},
      {"text", "uuid"},       {"pg:inet", "pg:cidr"}, {"text", "pg:inet"}};
  for (const auto& [from, to] : lossy) {
    CAPTURE(from, to);
    const std::string loss = type_loss(from, to);
    CHECK_THAT(loss,
               Contains(std::string("'") + from + "'") && Contains(std::string("'") + to + "'"));
  }
}

}  // namespace
}  // namespace syncline::test
