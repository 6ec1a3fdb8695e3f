// Goal: whatever the expression and the values, there is one value or one error, within the bounds
// (expression_*.cpp). Method: laws over all pairs of odd values in columns of all kinds; random
// bytes, tokens and well-formed expressions; bombs against every bound.
#include <algorithm>
#include <cmath>

#include "support/catch.hpp"
#include "support/prng.hpp"
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

std::string message(std::string_view text) {
  Shared expression;
  const Status status = Expression::parse(text, &expression);
  CHECK(expression == nullptr);
  CHECK_FALSE(status.ok());
  return status.message() + "; " + status.hint();
}

std::string repeated(std::string_view text, size_t count) {
  std::string out;
  while (count-- > 0)
    out += text;
  return out;
}

TEST_CASE("expression: bounds", "[expression][unit]") {
  CHECK(value(repeated("(", 60) + "1" + repeated(")", 60)) == "1");
  CHECK(value(repeated("NOT ", 61) + "1") == "0");
  for (const char* nest : {"(", "NOT ", "- ", "abs(", "CASE WHEN "}) {
    CHECK_THAT(message(repeated(nest, 300) + "1"), Contains("more than 64 levels"));
  }
  CHECK(value("1" + repeated("+1", 500)) == "501");
  CHECK_THAT(message("1" + repeated("+1", 1000)), Contains("more than 1024 parts"));
  CHECK(value("1" + std::string(4095, ' ')) == "1");
  CHECK_THAT(message("1" + std::string(4096, ' ')), Contains("longer than 4096 bytes"));
  Shared expression;
  CHECK(Expression::parse(std::string(5000, 'x'), &expression).code() ==
        StatusCode::limit_exceeded);
}

TEST_CASE("expression: bombs give NULL", "[expression][unit]") {
  const std::string long_text(1 << 20, 'x');
  const ExpressionInput input{.a = Value::text(long_text), .b = Value::text("y")};
  CHECK(value("length(" + repeated("a || ", 7) + "a)", input) == "8388608");
  CHECK(value("length(" + repeated("a || ", 15) + "a)", input) == "null");
  const std::string half(8 << 20, 'x');
  const ExpressionInput halves{.a = Value::text(half), .b = Value::text(half)};
  CHECK(value("length(a || b)", halves) == "16777216");
  CHECK(value("coalesce(a || b || 'x', 'beyond')", halves) == "\"beyond\"");
  CHECK(value("replace(a, 'x', '" + std::string(100, 'z') + "')", input) == "null");
  CHECK(value("length(replace(a, 'x', 'zz'))", input) == "2097152");
  // Steps: each upper() looks at a mebibyte.
  CHECK(value("coalesce(b, " + repeated("upper(a), ", 20) + "1)", input) == "\"y\"");
  CHECK(value("coalesce(b, " + repeated("upper(a), ", 80) + "1)", input) == "null");
  // A big value that is only chosen costs nothing and is not copied.
  const std::string huge(100'000'000, 'x');
  Arena arena;
  const ExpressionInput choice{.a = Value::text(huge), .b = Value::text("y")};
  CHECK(parsed("coalesce(a, b)")->evaluate(choice, &arena).bytes().data() == huge.data());
  CHECK(value("a = a", choice) == "1");
  // Steps that run out in the last operation of all.
  CHECK(value("1 > a", choice) == "null");
  const std::string digits(16'000, '9');
  const ExpressionInput numbers{.a = Value::text(digits), .kind = LogicalKind::numeric};
  CHECK(value("length(a * a)", numbers) == "\"32000\"");
  CHECK(value("a * a * a", numbers) == "null");
  CHECK(value("coalesce('x', " + repeated("a * a, ", 30) + "1)", numbers) == "null");
  // A pattern that nearly matches everywhere.
  const std::string nearly = std::string(1 << 19, 'x') + "y";
  const ExpressionInput search{.a = Value::text(long_text), .b = Value::text(nearly)};
  CHECK(value("length(replace(a, b, ''))", search) == "1048576");
  // JSON of many small values.
  const std::string many = "[" + repeated("1,", 900'000) + "1]";
  CHECK(value("a ->> 0", {.a = Value::text(many)}) == "1");
  const std::string too_many = "[" + repeated("1,", 1'000'000) + "1]";
  CHECK(value("coalesce(a ->> 0, 'x')", {.a = Value::text(too_many)}) == "null");
  // Digits of a column are looked at each time.
  const std::string ones(10'000'000, '1');
  const ExpressionInput column{.a = Value::text(ones), .kind = LogicalKind::integer};
  CHECK(value("length(a)", column) == "10000000");
  CHECK(value("max(" + repeated("length(a), ", 10) + "0)", column) == "null");
  // Numbers with few bytes and many digits.
  const std::string wide = "[" + repeated("1e131071,", 1000) + "1]";
  CHECK(value("a -> '$'", {.a = Value::text(wide)}) == "null");
  CHECK(value("a ->> -1", {.a = Value::text(wide)}) == "null");
}

// Values of all classes with something odd about them, and the kinds they may stand in.
const std::vector<Value> kOddValues = {
    Value::null(),
    Value(),
    Value::same(),
    Value::integer(0),
    Value::integer(1),
    Value::integer(-1),
    Value::integer(INT64_MAX),
    Value::integer(INT64_MIN),
    Value::real(0.0),
    Value::real(-0.0),
    Value::real(0.1),
    Value::real(9007199254740993.0),
    Value::real(1e308),
    Value::real(5e-324),
    Value::real(INFINITY),
    Value::real(-INFINITY),
    Value::text(""),
    Value::text("0"),
    Value::text("-12.50"),
    Value::text("1e400"),
    Value::text("99999999999999999999"),
    Value::text("NaN"),
    Value::text("Infinity"),
    Value::text("text"),
    Value::text("\xff\x80"),
    Value::text("[1, {\"a\": null}]"),
    Value::text("$"),
    Value::blob(""),
    Value::blob(std::string_view("\0\xff", 2)),
};
constexpr LogicalKind kKinds[] = {
    LogicalKind::any,     LogicalKind::boolean, LogicalKind::integer, LogicalKind::floating,
    LogicalKind::numeric, LogicalKind::text,    LogicalKind::json,    LogicalKind::timestamptz};

TEST_CASE("expression: laws hold for odd values", "[expression][unit]") {
  const std::vector<Shared> laws = {
      parsed("a IS a"),
      parsed("(a = b) IS (b = a)"),
      parsed("(a < b) IS (b > a)"),
      parsed("(a <= b) IS (NOT a > b)"),
      parsed("(a < b) IS NOT TRUE OR (a <> b)"),
      parsed("(a + b) IS (b + a)"),
      parsed("(a * b) IS (b * a)"),
      parsed("(a - b) IS NULL OR (a - b) IS (-(b - a)) OR (b - a) IS NULL"),
      parsed("(a IS NOT b) = (NOT a IS b)"),
      parsed("(a IS DISTINCT FROM b) = (a IS NOT b)"),
      parsed("max(a, b) IS max(b, a)"),
      parsed("(min(a, b) IS NULL) = (a IS NULL AND b IS NULL)"),
      parsed("(NOT (a AND b)) IS (NOT a OR NOT b)"),
      parsed("length(a || b) IS (length(a) + length(b)) OR (a || b) IS NULL OR a = '' "
             "OR length(a || b) > 0"),
      parsed("abs(a) IS NULL OR abs(a) >= 0"),
      parsed("(a / b) IS NULL OR b <> 0"),
      parsed("coalesce(a, b) IS CASE WHEN a IS NULL THEN b ELSE a END"),
  };
  for (const LogicalKind kind : kKinds) {
    for (const Value& a : kOddValues) {
      for (const Value& b : kOddValues) {
        for (const Shared& law : laws) {
          Arena arena;
          const Value result = law->evaluate({.a = a, .b = b, .kind = kind}, &arena);
          CAPTURE(law->text(), value_to_json(a), value_to_json(b), static_cast<int>(kind));
          const std::string truth = value_to_json(result);
          REQUIRE((truth == "1" || truth == "1.0" || truth == "\"1\""));
        }
      }
    }
  }
}

const std::vector<std::string> kTokens = {"a",
                                          "b",
                                          "base",
                                          "a_at",
                                          "b_at",
                                          "\"a\"",
                                          "1",
                                          "0",
                                          "2.5",
                                          "1e300",
                                          "'x'",
                                          "'12'",
                                          "'$.a'",
                                          "'[1]'",
                                          "NULL",
                                          "TRUE",
                                          "FALSE",
                                          "(",
                                          "(",
                                          ")",
                                          ")",
                                          ",",
                                          "+",
                                          "-",
                                          "*",
                                          "/",
                                          "%",
                                          "||",
                                          "->",
                                          "->>",
                                          "=",
                                          "<>",
                                          "<=",
                                          "IS",
                                          "NOT",
                                          "AND",
                                          "OR",
                                          "IN",
                                          "IN (",
                                          "BETWEEN",
                                          "CASE",
                                          "WHEN",
                                          "THEN",
                                          "ELSE",
                                          "END",
                                          "CAST(",
                                          "AS",
                                          "text",
                                          "numeric",
                                          "integer",
                                          "max(",
                                          "min(",
                                          "abs(",
                                          "round(",
                                          "length(",
                                          "substr(",
                                          "replace(",
                                          "trim(",
                                          "coalesce(",
                                          "nullif(",
                                          "json_extract(",
                                          "DISTINCT",
                                          "FROM",
                                          "9223372036854775807",
                                          "'it''s'",
                                          "\"",
                                          "'",
                                          "--",
                                          "\xc3\xa4",
                                          "e",
                                          "."};

// Evaluates for a random input twice: the same bits.
void evaluate_twice(const Shared& expression, Prng* prng) {
  const ExpressionInput input{.a = prng->pick(kOddValues),
                              .b = prng->pick(kOddValues),
                              .base = prng->pick(kOddValues),
                              .a_at = static_cast<int64_t>(prng->next()),
                              .b_at = static_cast<int64_t>(prng->next()),
                              .kind = kKinds[prng->below(std::size(kKinds))]};
  Arena arena;
  const Value once = expression->evaluate(input, &arena);
  REQUIRE(once.identical(parsed(expression->text())->evaluate(input, &arena)));
  REQUIRE((once.is(ValueKind::null) || once.is(ValueKind::integer) || once.is(ValueKind::real) ||
           once.is_bytes()));
}

TEST_CASE("expression: random bytes and tokens are refused or evaluated", "[expression][unit]") {
  Prng prng(number_from_env("SYNCLINE_SEED", 17));
  const uint64_t runs = number_from_env("SYNCLINE_RUNS", 30'000);
  uint64_t accepted = 0;
  for (uint64_t run = 0; run < runs; ++run) {
    std::string text;
    const bool bytes = prng.chance(0.2);
    for (uint64_t length = prng.below(bytes ? 40 : 12); length > 0; --length) {
      if (bytes)
        text += static_cast<char>(prng.below(256));
      else
        text += prng.pick(kTokens) + (prng.chance(0.8) ? " " : "");
    }
    CAPTURE(run, text);
    Shared expression;
    const Status status = Expression::parse(text, &expression);
    REQUIRE(status.ok() == (expression != nullptr));
    if (!status.ok()) {
      REQUIRE_FALSE(status.message().empty());
      continue;
    }
    ++accepted;
    evaluate_twice(expression, &prng);
  }
  CHECK(accepted > runs / 100);
}

// A random well-formed expression.
std::string grown(Prng* prng, int depth) {
  static const std::vector<std::string> leaves = {"a",   "b",    "base", "a_at", "1",    "-3",
                                                  "0.1", "NULL", "'x'",  "'7'",  "TRUE", "'$[0]'"};
  static const std::vector<std::string> shapes = {"(? + ?)",
                                                  "(? - ?)",
                                                  "(? * ?)",
                                                  "(? / ?)",
                                                  "(? % ?)",
                                                  "(? || ?)",
                                                  "(? = ?)",
                                                  "(? < ?)",
                                                  "(? IS NOT ?)",
                                                  "(? AND ?)",
                                                  "(? OR ?)",
                                                  "(NOT ?)",
                                                  "(- ?)",
                                                  "(? BETWEEN ? AND ?)",
                                                  "(? NOT IN (?, ?))",
                                                  "CASE WHEN ? THEN ? ELSE ? END",
                                                  "CASE ? WHEN ? THEN ? END",
                                                  "coalesce(?, ?)",
                                                  "nullif(?, ?)",
                                                  "max(?, ?)",
                                                  "min(?, ?, ?)",
                                                  "abs(?)",
                                                  "round(?, ?)",
                                                  "length(?)",
                                                  "lower(?)",
                                                  "trim(?, ?)",
                                                  "substr(?, ?, ?)",
                                                  "replace(?, ?, ?)",
                                                  "(? -> ?)",
                                                  "(? ->> ?)",
                                                  "CAST(? AS text)",
                                                  "CAST(? AS numeric)",
                                                  "CAST(? AS integer)",
                                                  "CAST(? AS real)"};
  if (depth == 0 || prng->chance(0.2)) return prng->pick(leaves);
  std::string text = prng->pick(shapes);
  for (size_t hole; (hole = text.find('?')) != std::string::npos;) {
    std::string part = grown(prng, depth - 1);
    std::replace(part.begin(), part.end(), '?', ' ');
    text.replace(hole, 1, part);
  }
  return text;
}

TEST_CASE("expression: every well-formed expression has a value", "[expression][unit]") {
  Prng prng(number_from_env("SYNCLINE_SEED", 19));
  const uint64_t runs = number_from_env("SYNCLINE_RUNS", 20'000);
  for (uint64_t run = 0; run < runs; ++run) {
    const std::string text = grown(&prng, 4);
    CAPTURE(run, text);
    Shared expression;
    const Status status = Expression::parse(text, &expression);
    if (status.code() == StatusCode::limit_exceeded) continue;
    REQUIRE(status.message() == "");
    evaluate_twice(expression, &prng);
  }
}

}  // namespace
}  // namespace syncline::test
