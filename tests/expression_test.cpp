// Goal: expressions mean what docs/expressions.md says, on any input, and refuse what it does not
// have (expression_parse.cpp, expression_tokens.cpp, expression_eval.cpp, expression_number.cpp,
// expression_text.cpp, expression_json.cpp). Method: tables of examples, those of the page among
// them; laws over all pairs of odd values; random bytes and random tokens; bombs against the
// bounds.
#include <cmath>
#include <fstream>

#include "support/catch.hpp"
#include "syncline/expression.h"

namespace syncline::test {
namespace {

using Catch::Matchers::Contains;
using Shared = std::shared_ptr<const Expression>;

Shared parsed(std::string_view text) {
  Shared expression;
  const Status status = Expression::parse(text, &expression);
  INFO(text << ": " << status.message());
  REQUIRE(status.ok());
  return expression;
}

// The value of an expression, as JSON with its class to be seen.
std::string value(std::string_view text, const ExpressionInput& input = {}) {
  Arena arena;
  return value_to_json(parsed(text)->evaluate(input, &arena));
}
using Table = std::vector<std::pair<const char*, const char*>>;
void check(const Table& table, const ExpressionInput& input = {}) {
  for (const auto& [text, expected] : table) {
    CAPTURE(text);
    CHECK(value(text, input) == expected);
  }
}

std::string message(std::string_view text) {
  Shared expression;
  const Status status = Expression::parse(text, &expression);
  CHECK(expression == nullptr);
  CHECK_FALSE(status.ok());
  return status.message() + "; " + status.hint();
}

TEST_CASE("expression: literals and names", "[expression][unit]") {
  const ExpressionInput input{.a = Value::integer(1),
                              .b = Value::text("two"),
                              .base = Value(),
                              .a_at = 1'700'000'000'000,
                              .b_at = -5};
  check({{"1", "1"},
         {"-9223372036854775808", "-9223372036854775808"},
         {"- 7", "-7"},
         {"+7", "7"},
         {"- -7", "7"},
         {"1.5", "1.5"},
         {".5", "0.5"},
         {"5.", "5.0"},
         {"1e3", "1000.0"},
         {"1E-2", "0.01"},
         {"'it''s'", "\"it's\""},
         {"''", "\"\""},
         {"'\"'", "\"\\\"\""},
         {"NULL", "null"},
         {"true", "1"},
         {"False", "0"},
         {"a", "1"},
         {"A", "1"},
         {"\"B\"", "\"two\""},
         {"base", "null"},
         {"a_at", "1700000000000"},
         {"B_AT", "-5"},
         {" ( (\ta\n) ) ", "1"}},
        input);
  CHECK_FALSE(parsed("a + b")->uses_base());
  CHECK(parsed("a + BASE")->uses_base());
  CHECK(parsed("a + b")->text() == "a + b");
}

TEST_CASE("expression: what binds tighter", "[expression][unit]") {
  check({{"1 + 2 * 3", "7"},
         {"(1 + 2) * 3", "9"},
         {"10 - 4 - 3", "3"},
         {"100 / 10 / 5", "2"},
         {"2 * 3 || 4", "\"68\""},
         {"1 + 2 < 4", "1"},
         {"1 < 2 AND 3 < 2 OR TRUE", "1"},
         {"TRUE OR TRUE AND FALSE", "1"},
         {"NOT FALSE AND FALSE", "0"},
         {"NOT 1 = 2", "1"},
         {"NOT NOT 5", "1"},
         {"1 = 2 IS NULL", "0"},
         {"NULL = 2 IS NULL", "1"},
         {"2 BETWEEN 1 AND 3 AND FALSE", "0"},
         {"-2 + 3", "1"},
         {"-'3' || '4'", "\"-34\""}});
}

TEST_CASE("expression: integers", "[expression][unit]") {
  check({{"7 / 2", "3"},
         {"-7 / 2", "-3"},
         {"7 / -2", "-3"},
         {"7 % -2", "1"},
         {"-7 % 2", "-1"},
         {"1 / 0", "null"},
         {"1 % 0", "null"},
         {"9223372036854775807 + 1", "null"},
         {"-9223372036854775808 - 1", "null"},
         {"-9223372036854775808 / -1", "null"},
         {"-9223372036854775808 % -1", "0"},
         {"3037000500 * 3037000500", "null"},
         {"- -9223372036854775808", "null"},
         {"abs(-9223372036854775808)", "null"},
         {"abs(-5)", "5"},
         {"round(15, -1)", "20"},
         {"round(-15, -1)", "-20"},
         {"round(14, -1)", "10"},
         {"round(9223372036854775807, -1)", "null"},
         {"round(5, 3)", "5"},
         {"round(5, 1000000000000)", "5"},
         {"round(5, -1000000000000)", "0"}});
}

TEST_CASE("expression: reals", "[expression][unit]") {
  check({{"1 + 0.5", "1.5"},
         {"7 / 2.0", "3.5"},
         {"1.0 / 0", "null"},
         {"1.0 % 0.0", "null"},
         {"-5.5 % 2", "-1.5"},
         {"1e308 * 10", "null"},
         {"9223372036854775807 + 0.0", "9223372036854775808.0"},
         {"abs(-0.5)", "0.5"},
         {"-0.5", "-0.5"},
         {"-0.0", "0.0"},
         {"-(0.0)", "0.0"},
         {"0.0 * -1", "0.0"},
         {"-0.5 % 0.5", "0.0"},
         {"round(2.5)", "3.0"},
         {"round(-2.5)", "-3.0"},
         {"round(2.675, 2)", "2.68"},
         {"round(1.005, 2)", "1.01"},
         {"round(1234.5, -2)", "1200.0"},
         {"round(1e300, 5)", "1e+300"},
         {"round(1e300, -299)", "1e+300"},
         {"round(1.5, 400)", "1.5"},
         {"round(1.5, 20000)", "1.5"},
         {"round(1.5, 0.5)", "null"},
         {"round(1.5, NULL)", "null"},
         {"round('1.25', '1')", "\"1.3\""}});
  const ExpressionInput infinite{.a = Value::real(INFINITY), .b = Value::real(-INFINITY)};
  check({{"a", "\"Infinity\""},
         {"a + b", "null"},
         {"a + 1", "null"},
         {"a > 1e308", "1"},
         {"b < -1e308", "1"},
         {"a > CAST('1e9000' AS numeric)", "1"},
         {"CAST('1e9000' AS numeric) > b", "1"},
         {"CAST(a AS numeric)", "null"},
         {"CAST(a AS text)", "\"Infinity\""},
         {"CAST(a AS integer)", "null"},
         {"round(a)", "null"},
         {"max(a, b) IS a", "1"}},
        infinite);
  // A column's "NaN" is text: it has no place in arithmetic.
  const ExpressionInput nan{
      .a = Value::text("NaN"), .b = Value::real(1), .kind = LogicalKind::floating};
  check({{"a + b", "null"}, {"a", "\"NaN\""}, {"max(a, b)", "\"NaN\""}}, nan);
}

TEST_CASE("expression: decimals", "[expression][unit]") {
  const ExpressionInput input{.a = Value::text("1.50"),
                              .b = Value::text("-2"),
                              .base = Value::integer(1),
                              .kind = LogicalKind::numeric};
  check({{"a", "\"1.50\""},
         {"a + b", "\"-0.50\""},
         {"a - b - base", "\"2.50\""},
         {"a * a", "\"2.2500\""},
         {"a / b", "\"-0.75\""},
         {"a % 1", "\"0.50\""},
         {"-a", "\"-1.50\""},
         {"abs(b)", "\"2\""},
         {"a / 0", "null"},
         {"a % 0.0", "null"},
         {"a + 0.1", "\"1.60\""},
         {"a * 1e2", "\"150.000\""},
         {"a = 1.5", "\"1\""},
         {"a = '1.5'", "\"1\""},
         {"a > b", "\"1\""},
         {"b < '-1.9'", "\"1\""},
         {"nullif(a, 1.5)", "null"},
         {"base + 9223372036854775807", "\"9223372036854775808\""},
         {"round(a)", "\"2\""},
         {"round(a, 3)", "\"1.500\""},
         {"round(a, 16384)", "null"},
         {"CAST(a AS integer)", "\"1\""},
         {"length(a)", "\"4\""},
         {"CAST('x' AS numeric)", "null"}},
        input);
  // Text that spells a number counts as one; results leave in the class of the column.
  const ExpressionInput integer{.kind = LogicalKind::integer};
  check({{"'2' + '3'", "5"},
         {"'2' + '3.0'", "5"},
         {"'2.5' + '3'", "\"5.5\""},
         {"2.0 + 3", "5"},
         {"'7' / 2", "\"3.5\""},
         {"' 7' + 1", "null"},
         {"'7x' + 1", "null"},
         {"'0x10' + 1", "null"}},
        integer);
  CHECK(value("'2.50' + 1", {.kind = LogicalKind::floating}) == "3.5");
  CHECK(value("'2.50' + 1", {.kind = LogicalKind::any}) == "\"3.50\"");
  CHECK(value("1 = 1", {.kind = LogicalKind::boolean}) == "1");
}

TEST_CASE("expression: comparisons and truth", "[expression][unit]") {
  check({{"1 = 1.0", "1"},
         {"1 == 1", "1"},
         {"1 <> 1", "0"},
         {"1 != 2", "1"},
         {"9223372036854775807 = 9223372036854775807.0", "0"},
         {"9223372036854775807 < 9223372036854775807.0", "1"},
         {"9007199254740993 > 9007199254740992.0", "1"},
         {"-0.0 = 0", "1"},
         {"-0.0 = 0.0", "1"},
         {"-1 > -1.5", "1"},
         {"'10' < '9'", "1"},
         {"'10' < 9", "0"},
         {"9 < '10'", "1"},
         {"9 < 'x'", "1"},
         {"'x' < 9", "0"},
         {"'a' < 'B'", "0"},
         {"'a' = 'A'", "0"},
         {"'ä' > 'z'", "1"},
         {"NULL = NULL", "null"},
         {"NULL IS NULL", "1"},
         {"1 IS NULL", "0"},
         {"1 IS NOT NULL", "1"},
         {"1 IS 1.0", "1"},
         {"1 IS NOT '1'", "0"},
         {"NULL IS NOT 1", "1"},
         {"NULL IS DISTINCT FROM NULL", "0"},
         {"1 IS NOT DISTINCT FROM 1", "1"},
         {"2 IS TRUE", "1"},
         {"NULL IS TRUE", "0"},
         {"NULL IS NOT TRUE", "1"},
         {"0 IS FALSE", "1"},
         {"NULL IS FALSE", "0"},
         {"1 BETWEEN 1 AND 2", "1"},
         {"1 NOT BETWEEN 1 AND 2", "0"},
         {"3 BETWEEN NULL AND 2", "0"},
         {"1 BETWEEN NULL AND 2", "null"},
         {"1 IN (2, 1)", "1"},
         {"1 IN (2, NULL)", "null"},
         {"1 NOT IN (2, NULL)", "null"},
         {"NULL IN (1)", "null"},
         {"1 NOT IN (2, 3)", "1"},
         {"NULL AND FALSE", "0"},
         {"NULL AND TRUE", "null"},
         {"NULL OR TRUE", "1"},
         {"NULL OR FALSE", "null"},
         {"NOT NULL", "null"},
         {"NOT 'x'", "null"},
         {"NOT '0.0'", "1"},
         {"0.1 AND '2'", "1"}});
}

TEST_CASE("expression: choices", "[expression][unit]") {
  check({{"CASE WHEN 1 THEN 'x' END", "\"x\""},
         {"CASE WHEN 0 THEN 'x' END", "null"},
         {"CASE WHEN NULL THEN 1 WHEN 1 THEN 2 ELSE 3 END", "2"},
         {"CASE 5 WHEN 4 THEN 'x' WHEN 5.0 THEN 'y' END", "\"y\""},
         {"CASE NULL WHEN NULL THEN 1 ELSE 2 END", "2"},
         {"CASE (1) WHEN 1 THEN CASE WHEN 0 THEN 1 ELSE 7 END END", "7"},
         {"coalesce(NULL, NULL)", "null"},
         {"coalesce(NULL, 0, 1)", "0"},
         {"ifnull(NULL, 1)", "1"},
         {"nullif(1, 1.0)", "null"},
         {"nullif(1, 2)", "1"},
         {"nullif(1, NULL)", "1"},
         {"nullif(NULL, 1)", "null"},
         {"max(1, 2, NULL)", "2"},
         {"min(1, 2, NULL)", "1"},
         {"max(NULL, NULL)", "null"},
         {"max(1, 1.0)", "1"},
         {"max(1.0, 1)", "1.0"},
         {"GREATEST(1, 'x', '2')", "\"x\""},
         {"least('10', 9)", "9"}});
}

TEST_CASE("expression: text functions", "[expression][unit]") {
  check({{"'a' || NULL", "null"},
         {"1 || 2.0", "\"12.0\""},
         {"1e20 || ''", "\"1e+20\""},
         {"length('Zürich')", "6"},
         {"length('')", "0"},
         {"length(123)", "3"},
         {"length(1.5)", "3"},
         {"length(NULL)", "null"},
         {"upper('aÄäz{')", "\"AÄäZ{\""},
         {"lower('AÄäZ[')", "\"aÄäz[\""},
         {"trim('  x  ')", "\"x\""},
         {"ltrim('  x  ')", "\"x  \""},
         {"rtrim('  x  ')", "\"  x\""},
         {"trim('\tx\t')", "\"\\tx\\t\""},
         {"trim('xäyäx', 'äx')", "\"y\""},
         {"trim('xx', 'x')", "\"\""},
         {"trim('x', '')", "\"x\""},
         {"trim('ü', 'ä')", "\"ü\""},
         {"substr('abcdef', 2, 3)", "\"bcd\""},
         {"substr('abcdef', 5, 9)", "\"ef\""},
         {"substr('abcdef', 0, 3)", "\"ab\""},
         {"substr('abcdef', -2)", "\"ef\""},
         {"substr('abcdef', -9, 5)", "\"ab\""},
         {"substr('abcdef', 7)", "\"\""},
         {"substr('abcdef', 1, -1)", "\"\""},
         {"substr('äöü', 2, 1)", "\"ö\""},
         {"substr('abc', 9223372036854775807, 9223372036854775807)", "\"\""},
         {"substr('abc', -9223372036854775808, 9223372036854775807)", "\"ab\""},
         {"substr('abc', -9223372036854775807 - 1)", "\"abc\""},
         {"substr('abc', 1.5)", "null"},
         {"substr('abc', 2.0)", "\"bc\""},
         {"replace('aaa', 'aa', 'b')", "\"ba\""},
         {"replace('abababc', 'ababc', 'x')", "\"abx\""},
         {"replace('abc', '', 'x')", "\"abc\""},
         {"replace('abc', 'b', '')", "\"ac\""},
         {"replace('abc', 'b', NULL)", "null"},
         {"replace(1213, 1, 'x')", "\"x2x3\""},
         {"CAST('2.9' AS integer)", "2"},
         {"CAST(-2.9 AS int)", "-2"},
         {"CAST('1e30' AS bigint)", "null"},
         {"CAST(9.3e18 AS integer)", "null"},
         {"CAST('0.1' AS real)", "0.1"},
         {"CAST('1e999' AS double precision)", "null"},
         {"CAST(3 AS float)", "3.0"},
         {"CAST(1.0 AS text)", "\"1.0\""},
         {"CAST('x' AS real)", "null"},
         {"CAST('007' AS decimal)", "\"7\""},
         {"CAST(NULL AS text)", "null"}});
  const ExpressionInput blobs{.a = Value::blob("\x01\xff"), .b = Value::blob("\x02")};
  check({{"a || b", "\"\\\\x01ff02\""},
         {"a || 'x'", "null"},
         {"length(a)", "2"},
         {"upper(a)", "null"},
         {"a < b", "1"},
         {"a > 'x'", "1"},
         {"a + 1", "null"},
         {"CAST(a AS text)", "null"},
         {"NOT a", "null"},
         {"max(a, b)", "\"\\\\x02\""}},
        blobs);
  // Bytes that are no UTF-8 are cut somewhere, never outside.
  const ExpressionInput broken{.a = Value::text("\x80\xff\xc3")};
  check({{"length(a)", "2"}, {"length(substr(a, 2))", "1"}, {"length(trim(a, a))", "0"}}, broken);
}

TEST_CASE("expression: JSON", "[expression][unit]") {
  const ExpressionInput input{
      .a = Value::text(R"( {"b": [10, 20, {"c": "x\u00e4"}], "a": 1.50e1, "n": null, "t": true,
                            "big": 12345678901234567890123, "b b": {"z": 1, "y": [ ], "z": 2},
                            "$": 5, "neg": -0.0, "max": 9223372036854775807} )"),
      .b = Value::text("[1, [2, 3], 4]")};
  check({{"a -> 'b'", R"("[10,20,{\"c\":\"xä\"}]")"},
         {"a -> 'b' -> 2", R"("{\"c\":\"xä\"}")"},
         {"a -> 'b' -> 2 ->> 'c'", "\"xä\""},
         {"a -> 'b' -> 2 -> 'c'", R"("\"xä\"")"},
         {"a ->> 'a'", "15.0"},
         {"a -> 'a'", "\"15.0\""},
         {"a ->> 'n'", "null"},
         {"a -> 'n'", "\"null\""},
         {"a ->> 't'", "1"},
         {"a -> 't'", "\"true\""},
         {"a ->> 'big'", "1.2345678901234568e+22"},
         {"a -> 'big'", "\"12345678901234567890123\""},
         {"a ->> 'max'", "9223372036854775807"},
         {"a -> 'neg'", "\"0.0\""},
         {"a -> 'b b'", R"("{\"y\":[],\"z\":2}")"},
         {"a ->> '$.b[0]'", "10"},
         {"a ->> '$.b[2].c'", "\"xä\""},
         {"a ->> '$.b[-2]'", "20"},
         {"a ->> '$.b[#-3]'", "10"},
         {"a ->> '$.b[3]'", "null"},
         {"a ->> '$.b[-4]'", "null"},
         {"a ->> '$.\"b b\".z'", "2"},
         {"a ->> '$.$'", "5"},
         {"a ->> '$.b.c'", "null"},
         {"json_extract(a, '$.a')", "15.0"},
         {"b -> 1", "\"[2,3]\""},
         {"b ->> -1", "4"},
         {"b ->> 5", "null"},
         {"b ->> '1'", "null"},
         {"b ->> 1.0", "null"},
         {"b ->> NULL", "null"},
         {"b ->> ('$[' || '0]')", "1"},
         {"b ->> ('$[' || 'x]')", "null"},
         {"json_extract(b, 'a' || 'b')", "null"},
         {"NULL -> 'x'", "null"},
         {"'{' -> 'x'", "null"},
         {"'[1] 2' -> 0", "null"},
         {"'[1e999]' ->> 0", "null"},
         {"'[1e200]' ->> 0", "1e+200"},
         {"'[1e2, 100.0]' ->> 0", "100"},
         {"'[1e2, 100.0]' -> '$'", "\"[100,100.0]\""},
         {"'7' ->> '$'", "7"},
         {"7 ->> '$'", "7"},
         {R"('"\u0000"' ->> '$')", "null"},
         {R"('{"\u0000": 1, "x": 2}' ->> 'x')", "null"},
         {R"('"\ud83d\ude00"' ->> '$')", "\"\xf0\x9f\x98\x80\""},
         {R"('"\ud83d"' ->> '$')", "null"}},
        input);
  const std::string open(100, '['), close(100, ']');
  CHECK(value("length(a -> '$')", {.a = Value::text(open + close)}) == "200");
  CHECK(value("length(a -> '$')", {.a = Value::text("[" + open + close + "]")}) == "null");
  CHECK(value("a -> 0", {.a = Value::text(std::string(1'000'000, '['))}) == "null");
}

TEST_CASE("expression: errors quote the place and the nearest name", "[expression][unit]") {
  CHECK(message("a + bse") ==
        "unknown name \"bse\" at character 5 of the expression; did you mean \"base\"?");
  CHECK_THAT(message("a + xyzzy"), Contains("there are a, a_at, b, b_at and base"));
  CHECK_THAT(message("\"hello\""), Contains("text stands in single quotes"));
  CHECK_THAT(message("lenght(a)"), Contains("unknown function \"lenght\" at character 1") &&
                                       Contains("did you mean \"length\"?"));
  CHECK_THAT(message("random()"), Contains("unknown function") && Contains("abs, coalesce"));
  CHECK_THAT(message("max"), Contains("parentheses"));
  CHECK_THAT(message("'ä' + + "), Contains("expected a value, found end at character 9"));
  CHECK_THAT(message("max(a)"), Contains("\"max\" takes 2 or more operands, not 1"));
  CHECK_THAT(message("abs()"), Contains("takes 1 operands, not 0"));
  CHECK_THAT(message("round(1,2,3)"), Contains("takes 1 or 2 operands, not 3"));
  CHECK_THAT(message("CAST(a AS intger)"),
             Contains("unknown type \"intger\"") && Contains("did you mean \"integer\"?"));
  CHECK_THAT(message("a b"), Contains("unexpected \"b\" at character 3"));
  CHECK_THAT(message("(a"), Contains("expected ), found end"));
  CHECK_THAT(message("a = b = 1"), Contains("do not chain") && Contains("character 7"));
  CHECK_THAT(message("a NOT b"), Contains("expected BETWEEN or IN"));
  CHECK_THAT(message("a = NOT b"), Contains("expected a value, found \"NOT\""));
  CHECK_THAT(message("CASE a END"), Contains("expected WHEN"));
  CHECK_THAT(message("CASE WHEN a THEN b"), Contains("expected END, found end"));
  CHECK_THAT(message("a BETWEEN 1"), Contains("expected AND"));
  CHECK_THAT(message("a IN ()"), Contains("expected a value"));
  CHECK_THAT(message("'abc"), Contains("the quote ' is not closed at character 1"));
  CHECK_THAT(message("a -- b"), Contains("a comment at character 3"));
  CHECK_THAT(message("a ; b"), Contains("unexpected \";\""));
  CHECK_THAT(message("a ü b"), Contains("unexpected \"ü\" at character 3"));
  CHECK_THAT(message("1x"), Contains("malformed number"));
  CHECK_THAT(message("1e"), Contains("malformed number"));
  CHECK_THAT(message("1.2.3"), Contains("malformed number"));
  CHECK_THAT(message("1e999"), Contains("out of range"));
  CHECK_THAT(message("9223372036854775808"), Contains("beyond 64 bits"));
  CHECK_THAT(message("a -> '$.'"), Contains("not a JSON path at character 6"));
  CHECK_THAT(message("json_extract(a, 'x')"), Contains("not a JSON path"));
  for (const char* path : {"$x", "$.", "$[", "$[]", "$[x]", "$.a..b", "$.\"a", "$[1", "$[#1]", ""})
    CHECK_FALSE(message("json_extract(a, '" + std::string(path) + "')").empty());
  CHECK_THAT(message(""), Contains("expected a value, found end at character 1"));
  CHECK_THAT(message("'\xff'"), Contains("not well-formed UTF-8"));
  CHECK_THAT(message(std::string_view("a\0b", 3)), Contains("not well-formed UTF-8"));
  CHECK_THAT(message("a LIKE b"), Contains("unexpected \"LIKE\""));
  CHECK_THAT(message("a::text"), Contains("unexpected \":\""));
  CHECK_THAT(message("'" + std::string(60, 'x') + "' 1"), Contains("\"1\""));
  CHECK_THAT(message("1 '" + std::string(60, 'x') + "'"), Contains("xxx...\""));
}

// The value that a literal in the page stands for.
Value literal(std::string_view text, Arena* arena) {
  return parsed(text)->evaluate({}, arena);
}
std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  return first == std::string::npos ? ""
                                    : text.substr(first, text.find_last_not_of(' ') + 1 - first);
}

// "given integer: a = 3, b = 'x, y'" -> the input. A comma inside quotes parts nothing.
ExpressionInput given(const std::string& line, Arena* arena) {
  const size_t colon = line.find(':');
  ExpressionInput input{.kind = logical_kind(line.substr(6, colon - 6))};
  REQUIRE(input.kind != LogicalKind::other);
  bool quoted = false;
  std::string part;
  const auto assign = [&] {
    const size_t equals = part.find('=');
    const std::string name = trimmed(part.substr(0, equals));
    const Value held = literal(part.substr(equals + 1), arena);
    if (name == "a_at" || name == "b_at") {
      (name == "a_at" ? input.a_at : input.b_at) = held.as_integer();
    } else {
      REQUIRE((name == "a" || name == "b" || name == "base"));
      (name == "a" ? input.a : name == "b" ? input.b : input.base) = held;
    }
    part.clear();
  };
  for (const char c : line.substr(colon + 1)) {
    if (c == '\'') quoted = !quoted;
    if (c == ',' && !quoted)
      assign();
    else
      part += c;
  }
  assign();
  return input;
}

TEST_CASE("expression: the examples in the documentation are true", "[expression][unit]") {
  std::ifstream page(SYNCLINE_SOURCE_DIR "/docs/expressions.md");
  std::string line, examples;
  while (std::getline(page, line) && !line.starts_with("<!-- examples"))
    continue;
  Arena arena;
  ExpressionInput input;
  int count = 0;
  while (std::getline(page, line) && !line.starts_with("<!-- end")) {
    if (line.empty() || line.starts_with("```")) continue;
    if (line.starts_with("given ")) {
      input = given(line, &arena);
      continue;
    }
    const size_t arrow = line.find(" => ");
    CAPTURE(line);
    REQUIRE(arrow != std::string::npos);
    const Value result = parsed(line.substr(0, arrow))->evaluate(input, &arena);
    const Value expected = literal(line.substr(arrow + 4), &arena);
    CHECK(value_to_json(result) == value_to_json(expected));
    CHECK(result.identical(expected));
    examples += line.substr(0, arrow) + "\n";
    ++count;
  }
  CHECK(count > 60);
  for (const std::string& function : Expression::function_names()) {
    CAPTURE(function);
    CHECK_THAT(examples, Contains(function + "("));
  }
}

}  // namespace
}  // namespace syncline::test
