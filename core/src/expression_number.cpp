// Numbers in expressions: integers of 64 bits, IEEE doubles and exact decimals, and what comes of
// mixing them. A decimal on either side makes the operation exact; else a real makes it real.
#include <algorithm>
#include <cmath>

#include "expression_nodes.h"
#include "syncline/logical_type.h"

namespace syncline {
namespace {

constexpr double kTwo63 = 9223372036854775808.0;

// No negative zero: not every engine stores it.
Operand real_result(double real) {
  return std::isfinite(real) ? Operand{Value::real(real == 0 ? 0.0 : real)} : Operand{};
}
Operand integer_result(int64_t integer) {
  return {Value::integer(integer)};
}

double real_of(const Operand& number) {
  return number.value.is(ValueKind::real) ? number.value.as_real()
                                          : static_cast<double>(number.value.as_integer());
}

Operand integer_arithmetic(Operator operation, int64_t x, int64_t y) {
  int64_t result = 0;
  switch (operation) {
    case Operator::add:
      return __builtin_add_overflow(x, y, &result) ? Operand{} : integer_result(result);
    case Operator::subtract:
      return __builtin_sub_overflow(x, y, &result) ? Operand{} : integer_result(result);
    case Operator::multiply:
      return __builtin_mul_overflow(x, y, &result) ? Operand{} : integer_result(result);
    case Operator::divide:
      if (y == 0 || (x == INT64_MIN && y == -1)) return {};
      return integer_result(x / y);
    default:
      if (y == 0) return {};
      return integer_result(y == -1 ? 0 : x % y);
  }
}

Operand real_arithmetic(Operator operation, double x, double y) {
  switch (operation) {
    case Operator::add:
      return real_result(x + y);
    case Operator::subtract:
      return real_result(x - y);
    case Operator::multiply:
      return real_result(x * y);
    case Operator::divide:
      return y == 0 ? Operand{} : real_result(x / y);
    default:
      return y == 0 ? Operand{} : real_result(std::fmod(x, y));  // exact in IEEE arithmetic
  }
}

Operand decimal_arithmetic(Operator operation, const Decimal& x, const Decimal& y,
                           Workspace* work) {
  // Products and quotients are quadratic: groups of nine digits times groups of nine digits.
  const bool linear = operation == Operator::add || operation == Operator::subtract;
  const auto groups = [](const Decimal& d) { return static_cast<uint64_t>(d.digits() / 9 + 3); };
  if (!work->take(linear ? 9 * (groups(x) + groups(y))
                         : (groups(x) + groups(y)) * (groups(x) + groups(y)))) {
    return {};
  }
  Decimal result;
  switch (operation) {
    case Operator::add:
      return work->decimal(x + y);
    case Operator::subtract:
      return work->decimal(x - y);
    case Operator::multiply:
      return Decimal::multiply(x, y, &result) ? work->decimal(result) : Operand{};
    case Operator::divide:
      return Decimal::divide(x, y, &result) ? work->decimal(result) : Operand{};
    default:
      return Decimal::remainder(x, y, &result) ? work->decimal(result) : Operand{};
  }
}

Operand binary(Operator operation, const Operand& a, const Operand& b, Workspace* work) {
  Operand x, y;
  if (!work->number_of(a, &x) || !work->number_of(b, &y)) return {};
  if (x.numeric || y.numeric) {
    Decimal left, right;
    if (!work->decimal_of(x, &left) || !work->decimal_of(y, &right)) return {};
    return decimal_arithmetic(operation, left, right, work);
  }
  if (x.value.is(ValueKind::real) || y.value.is(ValueKind::real)) {
    return real_arithmetic(operation, real_of(x), real_of(y));
  }
  return integer_arithmetic(operation, x.value.as_integer(), y.value.as_integer());
}

// The number with its sign turned if it is negative, or always.
Operand turned(const Operand& operand, bool only_negative, Workspace* work) {
  Operand number;
  if (!work->number_of(operand, &number)) return {};
  if (number.numeric) {
    Decimal decimal;
    if (!work->decimal_of(number, &decimal)) return {};
    return work->decimal(only_negative && !decimal.is_negative() ? decimal : -decimal);
  }
  if (number.value.is(ValueKind::real)) {
    const double real = number.value.as_real();
    return real_result(only_negative ? std::fabs(real) : -real);
  }
  const int64_t integer = number.value.as_integer();
  if (only_negative && integer >= 0) return number;
  return integer_arithmetic(Operator::subtract, 0, integer);
}

// Half away from zero, on the decimal spelling: 2.675 to two places is 2.68, whatever its bits.
Operand rounded(Operands operands, Workspace* work) {
  Operand number;
  int64_t places = 0;
  if (!work->number_of(operands[0], &number)) return {};
  if (operands.size() > 1 && !work->integer_of(operands[1], &places)) return {};
  if (number.value.is(ValueKind::integer) && places >= 0) return number;
  Decimal decimal;
  if (!work->decimal_of(number, &decimal)) return {};
  const bool real = number.value.is(ValueKind::real);
  if (real && places >= decimal.scale()) return number;
  if (places > Decimal::kDigitsAfterMax ||
      !work->take(static_cast<uint64_t>(std::max<int64_t>(places, decimal.digits())))) {
    return {};
  }
  decimal = decimal.rounded(std::max<int64_t>(places, -Decimal::kDigitsBeforeMax - 1));
  if (number.numeric) return work->decimal(decimal);
  if (real) return real_result(decimal.real());
  int64_t integer;
  return decimal.integer(&integer) ? integer_result(integer) : Operand{};
}

// Exact: the integer is never rounded.
int compare_integer_real(int64_t integer, double real) {
  if (real >= kTwo63) return -1;
  if (real < -kTwo63) return 1;
  const double whole = std::trunc(real);
  const auto cut = static_cast<int64_t>(whole);
  if (integer != cut) return integer < cut ? -1 : 1;
  return whole < real ? -1 : whole > real ? 1 : 0;
}

int compare_numbers(const Operand& x, const Operand& y, Workspace* work) {
  if (x.numeric || y.numeric) {
    Decimal left, right;
    // What has no decimal is infinite.
    if (!work->decimal_of(x, &left)) return !x.numeric && x.value.as_real() < 0 ? -1 : 1;
    if (!work->decimal_of(y, &right)) return !y.numeric && y.value.as_real() < 0 ? 1 : -1;
    return left.compare(right);
  }
  const bool x_real = x.value.is(ValueKind::real), y_real = y.value.is(ValueKind::real);
  if (x_real && y_real) {
    const double left = x.value.as_real(), right = y.value.as_real();
    return left < right ? -1 : left > right ? 1 : 0;
  }
  if (x_real) return -compare_integer_real(y.value.as_integer(), x.value.as_real());
  if (y_real) return compare_integer_real(x.value.as_integer(), y.value.as_real());
  const int64_t left = x.value.as_integer(), right = y.value.as_integer();
  return left < right ? -1 : left > right ? 1 : 0;
}

Operand cast_integer(const Operand& number, Workspace* work) {
  if (number.value.is(ValueKind::integer)) return number;
  if (number.value.is(ValueKind::real)) {
    const double whole = std::trunc(number.value.as_real());
    if (!(whole >= -kTwo63 && whole < kTwo63)) return {};
    return integer_result(static_cast<int64_t>(whole));
  }
  Decimal decimal;
  int64_t integer;
  if (!work->decimal_of(number, &decimal) || !decimal.integer(&integer)) return {};
  return integer_result(integer);
}

}  // namespace

bool Workspace::number_of(const Operand& operand, Operand* out) {
  if (operand.is_number()) {
    *out = operand;
    return true;
  }
  if (!operand.value.is(ValueKind::text) || !take(operand.value.bytes().size())) return false;
  Decimal decimal_value;
  if (!Decimal::parse(operand.value.bytes(), &decimal_value)) return false;
  *out = decimal(decimal_value);
  return !out->is_null();
}

bool Workspace::decimal_of(const Operand& number, Decimal* out) {
  if (number.value.is(ValueKind::integer)) {
    *out = Decimal(number.value.as_integer());
    return true;
  }
  const Value spelled =
      number.numeric ? number.value : canonical_value(LogicalKind::text, number.value, &arena_);
  return take(spelled.bytes().size()) && Decimal::parse(spelled.bytes(), out);
}

bool Workspace::integer_of(const Operand& operand, int64_t* out) {
  Operand number;
  if (!number_of(operand, &number)) return false;
  const Operand whole = cast_integer(number, this);
  if (whole.is_null() || compare_numbers(whole, number, this) != 0) return false;
  *out = whole.value.as_integer();
  return true;
}

Operand Workspace::decimal(const Decimal& decimal) {
  if (!decimal.is_bounded() || !take(static_cast<uint64_t>(decimal.digits()))) return {};
  return {Value::text(arena_.copy(decimal.text())), true};
}

Operand evaluate_arithmetic(Operator operation, Operands operands, Workspace* work) {
  switch (operation) {
    case Operator::negate:
      return turned(operands[0], /*only_negative=*/false, work);
    case Operator::abs:
      return turned(operands[0], /*only_negative=*/true, work);
    case Operator::round:
      return rounded(operands, work);
    default:
      return binary(operation, operands[0], operands[1], work);
  }
}

Operand evaluate_cast(Operator operation, const Operand& operand, Workspace* work) {
  if (operation == Operator::cast_text) {
    std::string_view text;
    return work->text_of(operand, &text) ? Operand{Value::text(text)} : Operand{};
  }
  Operand number;
  if (!work->number_of(operand, &number)) return {};
  if (operation == Operator::cast_integer) return cast_integer(number, work);
  if (operation == Operator::cast_real && number.value.is(ValueKind::real)) return number;
  if (operation == Operator::cast_real && number.value.is(ValueKind::integer)) {
    return real_result(real_of(number));
  }
  Decimal decimal;
  if (!work->decimal_of(number, &decimal)) return {};
  return operation == Operator::cast_real ? real_result(decimal.real()) : work->decimal(decimal);
}

int compare_operands(const Operand& a, const Operand& b, Workspace* work) {
  if (!a.is_number() && !b.is_number()) {
    const size_t shorter = std::min(a.value.bytes().size(), b.value.bytes().size());
    // Many bytes at a time.
    return work->take(shorter / 16) ? compare_values(a.value, b.value) : 0;
  }
  Operand x, y;
  if (work->number_of(a, &x) && work->number_of(b, &y)) return compare_numbers(x, y, work);
  return a.is_number() ? -1 : 1;  // numbers before text and blobs
}

}  // namespace syncline
