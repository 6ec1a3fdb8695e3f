// Goal: values keep their bits through both encodings, and the order of encoded keys is the order
// of keys. Method: a table of ugly values, all pairs of it, then random ones.
#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/prng.hpp"
#include "syncline/value.h"

namespace syncline::test {
namespace {

using Catch::Matchers::Contains;

// In ascending order; integers and reals are not mixed.
const std::vector<Value>& ascending_integers() {
  static const std::vector<Value> values = [] {
    std::vector<Value> out = {Value(), Value::null()};
    for (int64_t integer :
         {INT64_MIN, INT64_MIN + 1, int64_t{-1} << 56, int64_t{-256}, int64_t{-255}, int64_t{-1},
          int64_t{0}, int64_t{1}, int64_t{255}, int64_t{256}, int64_t{65535}, int64_t{65536},
          int64_t{1} << 56, INT64_MAX - 1, INT64_MAX}) {
      out.push_back(Value::integer(integer));
    }
    return out;
  }();
  return values;
}

const std::vector<Value>& ascending_rest() {
  using namespace std::string_view_literals;
  static const std::vector<Value> values = [] {
    std::vector<Value> out = {Value::null()};
    const double infinity = std::numeric_limits<double>::infinity();
    for (double real :
         {-infinity, -1e308, -1.5, -5e-324, -0.0, 0.0, 5e-324, 0.1, 1.0, 1e308, infinity}) {
      out.push_back(Value::real(real));
    }
    for (std::string_view text : {""sv, "\0"sv, "\0\0"sv, "\0\x01"sv, "\0\xff"sv, "\x01"sv, "A"sv,
                                  "a"sv, "a\0"sv, "a\0b"sv, "ab"sv, "b"sv, "\xff"sv}) {
      out.push_back(Value::text(text));
    }
    for (std::string_view blob : {""sv, "\0"sv, "\xff\xff"sv})
      out.push_back(Value::blob(blob));
    return out;
  }();
  return values;
}

int sign(int number) {
  return (number > 0) - (number < 0);
}

int memcmp_order(std::string_view a, std::string_view b) {
  return sign(a.compare(b));
}

void check_order(const std::vector<Value>& ascending) {
  for (size_t i = 0; i < ascending.size(); ++i) {
    for (size_t j = 0; j < ascending.size(); ++j) {
      CAPTURE(i, j);
      const int order = i < j ? -1 : i > j ? 1 : 0;
      CHECK(sign(compare_values(ascending[i], ascending[j])) == order);
      CHECK(memcmp_order(encode_key({&ascending[i], 1}), encode_key({&ascending[j], 1})) == order);
      CHECK(ascending[i].identical(ascending[j]) == (i == j));
    }
  }
}

TEST_CASE("value: order and encoded order agree on ugly values", "[value][unit]") {
  check_order(ascending_integers());
  check_order(ascending_rest());
}

TEST_CASE("value: integers and reals compare by value, exactly", "[value][unit]") {
  const int64_t big = (int64_t{1} << 53) + 1;  // no double is equal to it
  CHECK(compare_values(Value::integer(big), Value::real(9007199254740992.0)) > 0);
  CHECK(compare_values(Value::real(9007199254740992.0), Value::integer(big)) < 0);
  CHECK(compare_values(Value::integer(2), Value::real(2.0)) < 0);
  CHECK(compare_values(Value::real(2.0), Value::integer(2)) > 0);
  CHECK(compare_values(Value::integer(-2), Value::real(-2.5)) > 0);
  CHECK(compare_values(Value::integer(3), Value::real(2.5)) > 0);
  CHECK(compare_values(Value::integer(INT64_MAX), Value::real(9223372036854775808.0)) < 0);
  CHECK(compare_values(Value::integer(INT64_MIN), Value::real(-9223372036854775808.0)) < 0);
  CHECK(compare_values(Value::integer(INT64_MIN), Value::real(-INFINITY)) > 0);
}

Value random_value(Prng* prng, Arena* arena, uint64_t column_kind) {
  switch (column_kind) {
    case 0:
      return Value::integer(static_cast<int64_t>(prng->next()) >> prng->below(64));
    case 1:
      return Value::real(static_cast<double>(static_cast<int64_t>(prng->next())) / 1e9);
    default: {
      std::string bytes(prng->below(5), '\0');
      for (char& c : bytes)
        c = static_cast<char>(prng->below(3) == 2 ? 255 : prng->below(2));
      const std::string_view copy = arena->copy(bytes);
      return column_kind == 2 ? Value::text(copy) : Value::blob(copy);
    }
  }
}

TEST_CASE("value: encoded keys order like keys and decode to themselves", "[value][unit]") {
  Prng prng(1);
  for (int round = 0; round < 2000; ++round) {
    CAPTURE(round);
    Arena arena;
    const size_t columns = 1 + prng.below(3);
    std::vector<Value> a, b;
    for (size_t i = 0; i < columns; ++i) {
      const uint64_t kind = prng.below(4);
      a.push_back(random_value(&prng, &arena, kind));
      b.push_back(prng.chance(0.4) ? a.back() : random_value(&prng, &arena, kind));
    }
    CHECK(memcmp_order(encode_key(a), encode_key(b)) == sign(compare_keys(a, b)));
    CHECK(identical_keys(a, b) == (compare_keys(a, b) == 0));
    std::vector<Value> decoded;
    REQUIRE(decode_key(encode_key(a), &arena, &decoded).ok());
    CHECK(identical_keys(a, decoded));
  }
}

TEST_CASE("value: a shorter key comes before what it begins", "[value][unit]") {
  const std::vector<Value> one = {Value::integer(1)}, two = {Value::integer(1), Value::text("")};
  CHECK(compare_keys(one, two) < 0);
  CHECK(encode_key(one) < encode_key(two));
}

TEST_CASE("value: malformed encoded keys are refused", "[value][unit]") {
  Arena arena;
  std::vector<Value> out;
  const std::vector<Value> key = {Value::integer(77777), Value::real(1.5),
                                  Value::text(std::string_view("a\0b", 3)), Value::null()};
  const std::string good = encode_key(key);
  for (size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    const Status status = decode_key(std::string_view(good).substr(0, size), &arena, &out);
    if (status.ok()) CHECK(out.size() < key.size());  // it ends between two elements
  }
  using namespace std::string_view_literals;
  for (std::string_view bad :
       {"\x00"sv, "\x03"sv, "\x15\x00"sv, "\x16\x00\x01"sv, "\x13\xff"sv, "\x30 ab"sv, "\x30\x00"sv,
        "\x30\x00\x01\x00\x00"sv, "\x21\xff\xf8\x00\x00\x00\x00\x00\x01"sv, "\x32"sv,
        "\x1c\xff\xff\xff\xff\xff\xff\xff\xff"sv}) {
    CHECK(decode_key(bad, &arena, &out).code() == StatusCode::corrupt_input);
  }
}

TEST_CASE("value: the canonical encoding keeps every bit", "[value][unit]") {
  std::vector<Value> values = ascending_integers();
  values.insert(values.end(), ascending_rest().begin(), ascending_rest().end());
  values.push_back(Value::same());
  std::string bytes;
  for (const Value& value : values)
    append_value(&bytes, value);
  std::string_view rest = bytes;
  for (const Value& value : values) {
    Value got;
    REQUIRE(read_value(&rest, &got).ok());
    CHECK(got.identical(value));
  }
  CHECK(rest.empty());
}

TEST_CASE("value: malformed canonical encodings are refused", "[value][unit]") {
  using namespace std::string_view_literals;
  for (std::string_view bad :
       {""sv, "\x07"sv, "\x02"sv, "\x02\x80"sv, "\x02\x80\x00"sv, "\x03 1234"sv, "\x04\x05 ab"sv,
        "\x05\xff\xff\xff\xff\xff\xff\xff\xff\x7f"sv, "\x03\x01\x00\x00\x00\x00\x00\xf8\x7f"sv}) {
    std::string_view input = bad;
    Value out;
    CHECK(read_value(&input, &out).code() == StatusCode::corrupt_input);
    CHECK(input == bad);
  }
}

TEST_CASE("value: not-a-number is the text NaN", "[value][unit]") {
  CHECK(Value::real(std::nan("")).identical(Value::text("NaN")));
}

TEST_CASE("value: JSON tells classes apart and is always valid", "[value][unit]") {
  using namespace std::string_view_literals;
  CHECK(value_to_json(Value()) == "null");
  CHECK(value_to_json(Value::null()) == "null");
  CHECK(value_to_json(Value::integer(-7)) == "-7");
  CHECK(value_to_json(Value::real(1)) == "1.0");
  CHECK(value_to_json(Value::real(0.1)) == "0.1");
  CHECK(value_to_json(Value::real(1e300)) == "1e+300");
  CHECK(value_to_json(Value::real(-INFINITY)) == "\"-Infinity\"");
  CHECK(value_to_json(Value::blob("\x00\xab"sv)) == R"("\\x00ab")");
  CHECK(value_to_json(Value::text("a\"b\\c\n\x1f")) == R"("a\"b\\c\n\u001f")");
  CHECK(value_to_json(Value::text("grün \xf0\x9f\x8c\xb3")) == "\"grün \xf0\x9f\x8c\xb3\"");
  // Not UTF-8: a lone byte, an overlong form, a surrogate, beyond U+10FFFF, a cut sequence, NUL.
  CHECK(value_to_json(Value::text("\xff")) == "\"\xef\xbf\xbd\"");
  CHECK(value_to_json(Value::text("\xc0\xaf")) == "\"\xef\xbf\xbd\xef\xbf\xbd\"");
  CHECK_THAT(value_to_json(Value::text("\xed\xa0\x80")), !Contains("\xed"));
  CHECK_THAT(value_to_json(Value::text("\xf4\x90\x80\x80")), !Contains("\xf4"));
  CHECK_THAT(value_to_json(Value::text("\xe2\x82")), !Contains("\xe2"));
  CHECK(value_to_json(Value::text("\0"sv)) == "\"\xef\xbf\xbd\"");
}

TEST_CASE("value: an arena keeps what it was given until cleared", "[value][unit]") {
  Arena arena;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::string> originals;
    std::vector<Value> copies;
    Prng prng(5);
    for (int i = 0; i < 300; ++i) {
      const size_t size = i % 50 == 0 ? 200'000 : prng.below(3000);
      originals.emplace_back(size, static_cast<char>('a' + i % 26));
      copies.push_back(
          arena.copy(i % 2 ? Value::text(originals.back()) : Value::blob(originals.back())));
      CHECK(arena.values(i % 5).size() == static_cast<size_t>(i % 5));
    }
    for (size_t i = 0; i < copies.size(); ++i)
      CHECK(copies[i].bytes() == originals[i]);
    const std::span<Value> key = arena.copy(RowKey(copies));
    CHECK(identical_keys(key, copies));
    arena.clear();
  }
}

}  // namespace
}  // namespace syncline::test
