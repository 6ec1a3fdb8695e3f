// Goal: decimal arithmetic is exact, keeps scales, and refuses what is beyond its bounds
// (decimal.cpp). Method: tables of examples; random operations against 128-bit integers; the laws
// of division on random long operands; texts agree with canonical_value.
#include <array>
#include <optional>

#include "../core/src/decimal.h"
#include "support/catch.hpp"
#include "support/prng.hpp"
#include "syncline/logical_type.h"

namespace syncline::test {
namespace {

Decimal decimal(std::string_view text) {
  Decimal out;
  INFO(text);
  REQUIRE(Decimal::parse(text, &out));
  return out;
}
std::string canonical(std::string_view text) {
  return decimal(text).text();
}
std::string multiplied(std::string_view a, std::string_view b) {
  Decimal out;
  return Decimal::multiply(decimal(a), decimal(b), &out) ? out.text() : "refused";
}
std::string divided(std::string_view a, std::string_view b) {
  Decimal out;
  return Decimal::divide(decimal(a), decimal(b), &out) ? out.text() : "refused";
}
std::string remaining(std::string_view a, std::string_view b) {
  Decimal out;
  return Decimal::remainder(decimal(a), decimal(b), &out) ? out.text() : "refused";
}

TEST_CASE("decimal: one text for one number and scale", "[decimal][unit]") {
  const std::pair<const char*, const char*> cases[] = {
      {"0", "0"},
      {"-0", "0"},
      {"-0.00", "0.00"},
      {"+7", "7"},
      {"007", "7"},
      {"-12.50", "-12.50"},
      {".5", "0.5"},
      {"5.", "5"},
      {"1e3", "1000"},
      {"1.50e1", "15.0"},
      {"1.5E+3", "1500"},
      {"1.5e-3", "0.0015"},
      {"0e5", "0"},
      {"0.0e-2", "0.000"},
      {"12345678901", "12345678901"},
      {"-1000000000.000000001", "-1000000000.000000001"},
      {"0.1000000000", "0.1000000000"},
  };
  for (const auto& [text, expected] : cases) {
    CAPTURE(text);
    CHECK(canonical(text) == expected);
    CHECK(canonical(expected) == expected);
  }
  CHECK(Decimal().text() == "0");
  CHECK(Decimal(INT64_MIN).text() == "-9223372036854775808");
  CHECK(Decimal(1'000'000'000).text() == "1000000000");
}

TEST_CASE("decimal: what is no decimal is refused", "[decimal][unit]") {
  for (const char* text : {"",          "-",
                           "+",         ".",
                           "-.",        "e5",
                           ".e5",       "1e",
                           "1e+",       "1e+-5",
                           "1e5.5",     " 1",
                           "1 ",        "1,5",
                           "1.2.3",     "--1",
                           "+-1",       "0x10",
                           "1_000",     "NaN",
                           "nan",       "Infinity",
                           "-inf",      "1e131073",
                           "1e-16384",  "1e99999999999999999999",
                           "10e131071", "1e131072",
                           "\xd9\xa1"}) {
    Decimal out(42);
    CAPTURE(text);
    CHECK_FALSE(Decimal::parse(text, &out));
    CHECK(out.text() == "42");
  }
}

TEST_CASE("decimal: the greatest numbers are held, greater ones are not", "[decimal][unit]") {
  const std::string whole(131'072, '9'), fraction(16'383, '9');
  CHECK(canonical(whole + "." + fraction) == whole + "." + fraction);
  CHECK(canonical("000" + whole) == whole);
  Decimal out;
  CHECK_FALSE(Decimal::parse("1" + whole, &out));
  CHECK_FALSE(Decimal::parse("0." + fraction + "9", &out));
  CHECK_FALSE(Decimal::parse(std::string(1'000'000, '9'), &out));
  CHECK(canonical("1e131071") == "1" + std::string(131'071, '0'));
  const Decimal sum = decimal(whole) + Decimal(1);
  CHECK(sum.text() == "1" + std::string(131'072, '0'));
  CHECK_FALSE(sum.is_bounded());
  CHECK((sum - Decimal(1)).is_bounded());
}

TEST_CASE("decimal: sums keep the greater scale", "[decimal][unit]") {
  CHECK((decimal("12.50") + decimal("2.375")).text() == "14.875");
  CHECK((decimal("1.50") - decimal("1.5")).text() == "0.00");
  CHECK((decimal("999999999.999999999") + decimal("0.000000001")).text() == "1000000000.000000000");
  CHECK((decimal("1") - decimal("0.0000000000000000001")).text() == "0.9999999999999999999");
  CHECK((decimal("-5") + decimal("2.0")).text() == "-3.0");
  CHECK((-decimal("0.0")).text() == "0.0");
  CHECK((-decimal("-0.5")).text() == "0.5");
}

TEST_CASE("decimal: products, quotients and remainders", "[decimal][unit]") {
  CHECK(multiplied("12.50", "-2.0") == "-25.000");
  CHECK(multiplied("0.00", "-2.0") == "0.000");
  CHECK(multiplied("999999999999999999", "999999999999999999") ==
        "999999999999999998000000000000000001");
  CHECK(divided("1", "3") == "0.3333333333333333");
  CHECK(divided("2", "3") == "0.6666666666666667");
  CHECK(divided("-2", "3") == "-0.6666666666666667");
  CHECK(divided("10.00", "4") == "2.50");
  CHECK(divided("10", "4") == "2.5");
  CHECK(divided("1", "100000000000000000000") == "0.00000000000000000001");
  CHECK(divided("1", "7000000000000000000000") == "0.0000000000000000000001428571428571429");
  CHECK(divided("0.00", "7") == "0.00");
  CHECK(divided("7", "0.00") == "refused");
  CHECK(remaining("7", "3") == "1");
  CHECK(remaining("-7.5", "2") == "-1.5");
  CHECK(remaining("7", "-0.3") == "0.1");
  CHECK(remaining("1e30", "7.77") == "1.00");
  CHECK(remaining("7", "0") == "refused");
  const std::string greatest(16'384, '9'), too_long(16'385, '9');
  CHECK(multiplied(greatest, greatest).size() == 32'768);
  CHECK(divided(greatest, greatest) == "1");
  for (const auto& operation : {multiplied, divided, remaining}) {
    CHECK(operation(too_long, "2") == "refused");
    CHECK(operation("2", too_long) == "refused");
  }
}

TEST_CASE("decimal: a product of long fractions is rounded to the bound", "[decimal][unit]") {
  const std::string tiny = "0." + std::string(9'999, '0') + "2";
  const std::string zeros(16'383, '0');
  CHECK(multiplied(tiny, tiny) == "0." + zeros);
  const std::string half = "0." + std::string(8'191, '0') + "5";
  // 25 at the places 16,383 and 16,384.
  CHECK(multiplied(half, half) == "0." + std::string(16'382, '0') + "3");
}

TEST_CASE("decimal: rounding and cutting", "[decimal][unit]") {
  const auto rounded = [](const char* text, int64_t places) {
    return decimal(text).rounded(places).text();
  };
  CHECK(rounded("2.5", 0) == "3");
  CHECK(rounded("-2.5", 0) == "-3");
  CHECK(rounded("2.4999999999999999999", 0) == "2");
  CHECK(rounded("0.05", 1) == "0.1");
  CHECK(rounded("0.049", 1) == "0.0");
  CHECK(rounded("-0.049", 1) == "0.0");
  CHECK(rounded("1.5", 3) == "1.500");
  CHECK(rounded("99999999.9999999995", 9) == "100000000.000000000");
  CHECK(rounded("1250", -2) == "1300");
  CHECK(rounded("50", -2) == "100");
  CHECK(rounded("49", -2) == "0");
  CHECK(rounded("500", -4) == "0");
  CHECK(rounded("123456789012345678", -9) == "123456789000000000");
  CHECK(decimal("-2.999").truncated(0).text() == "-2");
  CHECK(decimal("2.999").truncated(2).text() == "2.99");
  CHECK(decimal("1999999999").truncated(-9).text() == "1000000000");
  CHECK(decimal("1.5000").without_trailing_zeros().text() == "1.5");
  CHECK(decimal("100.00").without_trailing_zeros().text() == "100");
  CHECK(decimal("100.00").without_trailing_zeros(1).text() == "100.0");
}

TEST_CASE("decimal: integers and doubles", "[decimal][unit]") {
  int64_t integer = 0;
  CHECK(decimal("-9223372036854775808.9").integer(&integer));
  CHECK(integer == INT64_MIN);
  CHECK_FALSE(decimal("9223372036854775808").integer(&integer));
  CHECK_FALSE(decimal("1e40").integer(&integer));
  CHECK(decimal("0.1").real() == 0.1);
  CHECK(decimal("-1e400").real() == -HUGE_VAL);
  CHECK(decimal("1e-400").real() == 0.0);
  CHECK(decimal("9007199254740993").real() == 9007199254740992.0);
}

// A random number of at most 17 digits and its value in units of 10^-scale.
struct Known {
  Decimal decimal;
  __int128 units;
  int64_t scale;
};
Known random_known(Prng* prng) {
  Known known{};
  known.scale = static_cast<int64_t>(prng->below(12));
  const uint64_t bounds[] = {1, 10, 1000, 1'000'000'000, 100'000'000'000'000'000};
  known.units = static_cast<__int128>(prng->below(bounds[prng->below(5)]));
  std::string digits = std::to_string(static_cast<uint64_t>(known.units));
  if (prng->chance(0.5)) {
    known.units = -known.units;
    digits.insert(0, "-");
  }
  known.decimal = decimal(digits + "e-" + std::to_string(known.scale));
  return known;
}
__int128 scaled(__int128 units, int64_t from, int64_t to) {
  for (; from < to; ++from)
    units *= 10;
  return units;
}
std::string text_of(__int128 units, int64_t scale) {
  const bool negative = units < 0;
  std::string digits;
  for (unsigned __int128 rest = negative ? -units : units; rest != 0; rest /= 10)
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(rest % 10)));
  while (static_cast<int64_t>(digits.size()) <= scale)
    digits.insert(0, "0");
  if (scale > 0) digits.insert(digits.size() - static_cast<size_t>(scale), ".");
  return (negative ? "-" : "") + digits;
}

TEST_CASE("decimal: random operations agree with 128-bit integers", "[decimal][unit]") {
  Prng prng(7);
  for (int run = 0; run < 20'000; ++run) {
    const Known a = random_known(&prng), b = random_known(&prng);
    const int64_t scale = std::max(a.scale, b.scale);
    const __int128 x = scaled(a.units, a.scale, scale), y = scaled(b.units, b.scale, scale);
    CAPTURE(run, a.decimal.text(), b.decimal.text());
    REQUIRE(a.decimal.text() == text_of(a.units, a.scale));
    REQUIRE((a.decimal + b.decimal).text() == text_of(x + y, scale));
    REQUIRE((a.decimal - b.decimal).text() == text_of(x - y, scale));
    REQUIRE(a.decimal.compare(b.decimal) == (x < y ? -1 : x > y ? 1 : 0));
    Decimal out;
    REQUIRE(Decimal::multiply(a.decimal, b.decimal, &out));
    REQUIRE(out.text() == text_of(a.units * b.units, a.scale + b.scale));
    REQUIRE(Decimal::remainder(a.decimal, b.decimal, &out) == (y != 0));
    if (y == 0) continue;
    REQUIRE(out.text() == text_of(x % y, scale));
    REQUIRE(Decimal::divide(a.decimal, b.decimal, &out));
    // The quotient is within half a unit of its last place (it may have lost zeros).
    Decimal back;
    REQUIRE(Decimal::multiply(out, b.decimal, &back));
    const Decimal error = back - a.decimal;
    const Decimal unit = decimal("0.5e-16");
    Decimal allowed;
    REQUIRE(Decimal::multiply(unit, b.units < 0 ? -b.decimal : b.decimal, &allowed));
    REQUIRE((error.is_negative() ? -error : error).compare(allowed) <= 0);
  }
}

std::string random_digits(Prng* prng, size_t count) {
  // Runs of 0 and 9 make carries and the rare branch of long division.
  std::string digits(1, static_cast<char>('1' + prng->below(9)));
  while (digits.size() < count)
    digits.append(1 + prng->below(20), prng->chance(0.6)
                                           ? (prng->chance(0.5) ? '0' : '9')
                                           : static_cast<char>('0' + prng->below(10)));
  return digits;
}

TEST_CASE("decimal: quotient times divisor plus remainder is the dividend", "[decimal][unit]") {
  Prng prng(11);
  for (int run = 0; run < 3'000; ++run) {
    const Decimal b = decimal(random_digits(&prng, 1 + prng.below(120)));
    const Decimal q = decimal(random_digits(&prng, 1 + prng.below(120)));
    Decimal r = decimal(random_digits(&prng, 1 + prng.below(120))), product, out;
    REQUIRE(Decimal::remainder(r, b, &r));
    REQUIRE(r.compare(b) < 0);
    REQUIRE(Decimal::multiply(q, b, &product));
    CAPTURE(run, b.text(), q.text(), r.text());
    REQUIRE(Decimal::remainder(product + r, b, &out));
    REQUIRE(out.compare(r) == 0);
    REQUIRE(Decimal::divide(product, b, &out));
    REQUIRE(out.text() == q.text());
    REQUIRE(Decimal::divide(product + r, b, &out));
    REQUIRE((out.rounded(3) - q).compare(Decimal(1)) <= 0);
    REQUIRE(out.compare(q) >= 0);
  }
}

TEST_CASE("decimal: parses what canonical_value takes for numeric", "[decimal][unit]") {
  Prng prng(13);
  const std::string_view alphabet = "0011259..--+eE ";
  Arena arena;
  for (int run = 0; run < 50'000; ++run) {
    std::string text;
    for (uint64_t length = prng.below(9); length > 0; --length)
      text += alphabet[prng.below(alphabet.size())];
    const Value canonical = canonical_value(LogicalKind::numeric, Value::text(text), &arena);
    Decimal out;
    CAPTURE(text);
    if (Decimal::parse(text, &out)) {
      REQUIRE(out.text() == canonical.bytes());
    } else {
      REQUIRE(canonical.bytes() == text);
    }
    arena.clear();
  }
}

}  // namespace
}  // namespace syncline::test
