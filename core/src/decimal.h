// Private: exact decimal numbers, as numeric columns hold them: "-12.50".
//
//   Decimal price, tax;
//   if (!Decimal::parse("12.50", &price) || !Decimal::parse("2.375", &tax)) ...
//   (price + tax).text();  // "14.875"
//
// A decimal is a whole number and a scale: how many of its digits stand after the point. Trailing
// zeros are kept and count for the text, never for comparisons: 1.50 equals 1.5. There is no
// negative zero, no NaN and no infinity.
//
// Bounds are those of PostgreSQL's numeric: 131,072 digits before the point, 16,383 after it.
// Parsing, text, sums, comparisons and rounding are linear in the digits. Products and quotients
// are quadratic and refuse operands of more than 16,384 digits: at most some 7 million steps.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace syncline {

class Decimal {
 public:
  static constexpr int64_t kDigitsBeforeMax = 131'072, kDigitsAfterMax = 16'383;
  // Of an operand of multiply, divide and remainder.
  static constexpr int64_t kFactorDigitsMax = 16'384;
  // What divide gives at least, whatever the scales of its operands.
  static constexpr int64_t kQuotientDigits = 16;

  Decimal() = default;  // 0
  explicit Decimal(int64_t integer);

  // Reads [sign] digits [. digits] [e [sign] digits], digits on one side of the point at least; no
  // blanks. An exponent moves the point: "1.50e1" is 15.0, "2e3" is 2000. False, *out unchanged,
  // for anything else (NaN and infinities among it) and for what is beyond the bounds.
  static bool parse(std::string_view text, Decimal* out);

  // The canonical text: what canonical_value makes of it in a numeric column. No exponent, no
  // leading zeros but one before the point, all digits of the scale.
  std::string text() const;

  // Exact, with the greater scale of the two. A sum may have one digit more than the bound allows
  // before the point: is_bounded() tells.
  friend Decimal operator+(const Decimal& a, const Decimal& b);
  friend Decimal operator-(const Decimal& a, const Decimal& b) { return a + -b; }
  Decimal operator-() const;

  // Exact, with the sum of the scales; rounded to kDigitsAfterMax digits if that is more.
  // False, *out unchanged, if a factor is too long.
  static bool multiply(const Decimal& a, const Decimal& b, Decimal* out);
  // Rounded (half away from zero) to the greatest of three scales: that of `a`, that of `b`, and
  // kQuotientDigits plus the number of digits that `b` has more than `a` before the point. Then
  // zeros at the end are dropped down to the greater scale of the two: 10.00 / 4 is 2.50, 1 / 3 is
  // 0.3333333333333333. False, *out unchanged, if `b` is zero or an operand too long.
  static bool divide(const Decimal& a, const Decimal& b, Decimal* out);
  // a - b * trunc(a / b), exact: the sign is that of `a`, the scale the greater of the two.
  // False, *out unchanged, if `b` is zero or an operand too long.
  static bool remainder(const Decimal& a, const Decimal& b, Decimal* out);

  // -1, 0 or 1, by value: the scale does not count.
  int compare(const Decimal& other) const;

  // Rounded half away from zero, or cut, to `places` digits after the point; a negative number of
  // places clears digits before it. The result has that scale, at least 0: zeros are added.
  Decimal rounded(int64_t places) const;
  Decimal truncated(int64_t places) const;
  Decimal without_trailing_zeros(int64_t scale_min = 0) const;

  bool is_zero() const { return limbs_.empty(); }
  bool is_negative() const { return negative_; }
  bool is_bounded() const;
  int64_t scale() const { return scale_; }
  int64_t digits_before() const;  // of the whole part, without leading zeros; 0 for 0.5
  int64_t digits() const { return digits_before() + scale_; }
  // The whole part, cut. False, *out unchanged, beyond 64 bits.
  bool integer(int64_t* out) const;
  // The nearest double (ties to even); infinite beyond the range of doubles.
  double real() const;

 private:
  size_t fraction_limbs() const { return static_cast<size_t>((scale_ + 8) / 9); }
  void set_scale(int64_t scale, size_t fraction_limbs);
  void normalize();

  // The absolute value: digits in groups of nine, the least first, as many groups after the point
  // as the scale needs; the last one is not 0. The digits after the scale are 0.
  std::vector<uint32_t> limbs_;
  int64_t scale_ = 0;
  bool negative_ = false;
};

}  // namespace syncline
