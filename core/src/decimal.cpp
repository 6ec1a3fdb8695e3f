// Exact decimals in groups of nine digits ("limbs"), aligned at the point: sums need no scaling.
// Products are the schoolbook's; quotients follow Knuth, The Art of Computer Programming, vol. 2,
// 4.3.1, algorithm D, in base 10^9.
#include "decimal.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>

namespace syncline {
namespace {

using Limbs = std::vector<uint32_t>;

constexpr uint32_t kBase = 1'000'000'000;
constexpr int kLimbDigits = 9;
constexpr uint32_t kPowers[] = {1,       10,        100,        1'000,      10'000,
                                100'000, 1'000'000, 10'000'000, 100'000'000};

void strip(Limbs* limbs) {
  while (!limbs->empty() && limbs->back() == 0)
    limbs->pop_back();
}

// The limb at the same place before or after the point, whatever the number of limbs after it.
uint32_t limb_at(const Limbs& limbs, int64_t index) {
  return index >= 0 && index < static_cast<int64_t>(limbs.size())
             ? limbs[static_cast<size_t>(index)]
             : 0;
}

// Compares absolute values; a_shift and b_shift are the limbs after the point.
int compare_limbs(const Limbs& a, size_t a_shift, const Limbs& b, size_t b_shift) {
  const auto top = [](const Limbs& limbs, size_t shift) {
    return static_cast<int64_t>(limbs.size()) - static_cast<int64_t>(shift);
  };
  if (a.empty() || b.empty()) return static_cast<int>(b.empty()) - static_cast<int>(a.empty());
  if (top(a, a_shift) != top(b, b_shift)) return top(a, a_shift) < top(b, b_shift) ? -1 : 1;
  const int64_t bottom = -static_cast<int64_t>(std::max(a_shift, b_shift));
  for (int64_t place = top(a, a_shift) - 1; place >= bottom; --place) {
    const uint32_t x = limb_at(a, place + static_cast<int64_t>(a_shift));
    const uint32_t y = limb_at(b, place + static_cast<int64_t>(b_shift));
    if (x != y) return x < y ? -1 : 1;
  }
  return 0;
}

// Limbs with zeros put in below, so that `shift` limbs stand after the point.
Limbs aligned(const Limbs& limbs, size_t from_shift, size_t shift) {
  Limbs out(shift - from_shift, 0);
  out.insert(out.end(), limbs.begin(), limbs.end());
  return out;
}

void add_to(Limbs* a, const Limbs& b) {
  a->resize(std::max(a->size(), b.size()) + 1, 0);
  uint32_t carry = 0;
  for (size_t i = 0; i < a->size(); ++i) {
    const uint32_t sum = (*a)[i] + (i < b.size() ? b[i] : 0) + carry;
    carry = sum >= kBase;
    (*a)[i] = carry ? sum - kBase : sum;
  }
}

// REQUIRES: b <= a.
void subtract_from(Limbs* a, const Limbs& b) {
  uint32_t borrow = 0;
  for (size_t i = 0; i < a->size(); ++i) {
    const uint32_t taken = (i < b.size() ? b[i] : 0) + borrow;
    borrow = (*a)[i] < taken;
    (*a)[i] += borrow ? kBase - taken : 0 - taken;
  }
}

uint32_t multiply_by(Limbs* a, uint32_t factor) {
  uint64_t carry = 0;
  for (uint32_t& limb : *a) {
    carry += uint64_t{limb} * factor;
    limb = static_cast<uint32_t>(carry % kBase);
    carry /= kBase;
  }
  return static_cast<uint32_t>(carry);
}

uint32_t divide_by(Limbs* a, uint32_t divisor) {
  uint64_t rest = 0;
  for (size_t i = a->size(); i-- > 0;) {
    rest = rest * kBase + (*a)[i];
    (*a)[i] = static_cast<uint32_t>(rest / divisor);
    rest %= divisor;
  }
  return static_cast<uint32_t>(rest);
}

// One step of algorithm D: the quotient's limb at `at`, taken from `a` with `b` times it.
uint32_t quotient_limb(Limbs* a, const Limbs& b, size_t at) {
  const size_t n = b.size();
  const uint64_t head = uint64_t{(*a)[at + n]} * kBase + (*a)[at + n - 1];
  uint64_t guess = head / b[n - 1], rest = head % b[n - 1];
  while (guess >= kBase || guess * b[n - 2] > rest * kBase + (*a)[at + n - 2]) {
    --guess;
    rest += b[n - 1];
    if (rest >= kBase) break;
  }
  uint64_t carry = 0;
  int64_t borrow = 0;
  for (size_t i = 0; i <= n; ++i) {
    const uint64_t product = (i < n ? guess * b[i] : 0) + carry;
    carry = product / kBase;
    int64_t limb = static_cast<int64_t>((*a)[at + i]) - static_cast<int64_t>(product % kBase);
    limb -= borrow;
    borrow = limb < 0;
    (*a)[at + i] = static_cast<uint32_t>(borrow ? limb + kBase : limb);
  }
  if (borrow == 0) return static_cast<uint32_t>(guess);
  // One too many (rare): add the divisor back.
  uint32_t over = 0;
  for (size_t i = 0; i <= n; ++i) {
    const uint32_t sum = (*a)[at + i] + (i < n ? b[i] : 0) + over;
    over = sum >= kBase;
    (*a)[at + i] = over ? sum - kBase : sum;
  }
  return static_cast<uint32_t>(guess - 1);
}

// *a becomes the remainder; returns the quotient. REQUIRES: b is not empty, its last limb not 0.
Limbs divide_limbs(Limbs* a, Limbs b) {
  if (b.size() == 1) {
    Limbs quotient = std::move(*a);
    *a = Limbs{divide_by(&quotient, b[0])};
    return quotient;
  }
  if (a->size() < b.size()) return {};
  // Makes the divisor's first limb at least half the base, which keeps guesses within 2.
  const uint32_t factor = kBase / (b.back() + 1);
  a->push_back(0);
  multiply_by(a, factor);
  multiply_by(&b, factor);
  Limbs quotient(a->size() - b.size(), 0);
  for (size_t i = quotient.size(); i-- > 0;)
    quotient[i] = quotient_limb(a, b, i);
  divide_by(a, factor);
  return quotient;
}

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// Takes "e-12" off the end of `text`. False if what follows the e is not a number in reach.
bool take_exponent(std::string_view* text, int64_t* exponent) {
  *exponent = 0;
  const size_t e = text->find_first_of("eE");
  if (e == std::string_view::npos) return true;
  std::string_view digits = text->substr(e + 1);
  *text = text->substr(0, e);
  const bool negative = digits.starts_with("-");
  if (negative || digits.starts_with("+")) digits.remove_prefix(1);
  if (digits.empty() || !all_digits(digits)) return false;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), *exponent);
  if (error != std::errc() || *exponent > Decimal::kDigitsBeforeMax) return false;
  if (negative) *exponent = -*exponent;
  return true;
}

}  // namespace

Decimal::Decimal(int64_t integer) : negative_(integer < 0) {
  uint64_t rest = negative_ ? 0 - static_cast<uint64_t>(integer) : static_cast<uint64_t>(integer);
  for (; rest != 0; rest /= kBase)
    limbs_.push_back(static_cast<uint32_t>(rest % kBase));
}

bool Decimal::parse(std::string_view text, Decimal* out) {
  const bool negative = text.starts_with("-");
  if (negative || text.starts_with("+")) text.remove_prefix(1);
  int64_t exponent;
  if (!take_exponent(&text, &exponent)) return false;
  const size_t point = std::min(text.find('.'), text.size());
  std::string_view whole = text.substr(0, point);
  const std::string_view fraction = text.substr(std::min(point + 1, text.size()));
  if (whole.empty() && fraction.empty()) return false;
  if (!all_digits(whole) || !all_digits(fraction)) return false;
  const int64_t scale = static_cast<int64_t>(fraction.size()) - exponent;
  if (scale > kDigitsAfterMax) return false;
  whole.remove_prefix(std::min(whole.find_first_not_of('0'), whole.size()));
  if (static_cast<int64_t>(whole.size()) > kDigitsBeforeMax + kDigitsAfterMax) return false;
  std::string digits(whole);
  digits += fraction;
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  if (!digits.empty() && static_cast<int64_t>(digits.size()) - scale > kDigitsBeforeMax) {
    return false;
  }
  Decimal read;
  read.scale_ = std::max<int64_t>(scale, 0);
  read.negative_ = negative;
  if (!digits.empty()) {
    const int64_t after = static_cast<int64_t>(read.fraction_limbs()) * kLimbDigits;
    digits.append(static_cast<size_t>(after - scale), '0');
  }
  for (size_t end = digits.size(); end > 0;) {
    const size_t start = end - std::min<size_t>(end, kLimbDigits);
    uint32_t limb = 0;
    for (size_t i = start; i < end; ++i)
      limb = limb * 10 + static_cast<uint32_t>(digits[i] - '0');
    read.limbs_.push_back(limb);
    end = start;
  }
  read.normalize();
  *out = std::move(read);
  return true;
}

std::string Decimal::text() const {
  const size_t after = fraction_limbs();
  std::string digits;
  for (size_t i = std::max(limbs_.size(), after + 1); i-- > 0;) {
    const uint32_t limb = i < limbs_.size() ? limbs_[i] : 0;
    for (int place = kLimbDigits - 1; place >= 0; --place)
      digits += static_cast<char>('0' + limb / kPowers[place] % 10);
  }
  const size_t point = digits.size() - after * kLimbDigits;
  const size_t zeros = std::min(digits.find_first_not_of('0'), point - 1);
  std::string out(negative_ ? "-" : "");
  out.append(digits, zeros, point - zeros);
  if (scale_ == 0) return out;
  out += '.';
  return out.append(digits, point, static_cast<size_t>(scale_));
}

Decimal Decimal::operator-() const {
  Decimal out = *this;
  out.negative_ = !negative_ && !is_zero();
  return out;
}

Decimal operator+(const Decimal& a, const Decimal& b) {
  Decimal out;
  out.scale_ = std::max(a.scale_, b.scale_);
  const size_t after = out.fraction_limbs();
  const bool a_greater =
      compare_limbs(a.limbs_, a.fraction_limbs(), b.limbs_, b.fraction_limbs()) >= 0;
  const Decimal& greater = a_greater ? a : b;
  const Decimal& smaller = a_greater ? b : a;
  out.limbs_ = aligned(greater.limbs_, greater.fraction_limbs(), after);
  out.negative_ = greater.negative_;
  const Limbs other = aligned(smaller.limbs_, smaller.fraction_limbs(), after);
  if (a.negative_ == b.negative_) {
    add_to(&out.limbs_, other);
  } else {
    subtract_from(&out.limbs_, other);
  }
  out.normalize();
  return out;
}

bool Decimal::multiply(const Decimal& a, const Decimal& b, Decimal* out) {
  if (a.digits() > kFactorDigitsMax || b.digits() > kFactorDigitsMax) return false;
  Decimal product;
  product.negative_ = a.negative_ != b.negative_;
  product.limbs_.assign(a.limbs_.size() + b.limbs_.size(), 0);
  for (size_t i = 0; i < a.limbs_.size(); ++i) {
    uint64_t carry = 0;
    for (size_t j = 0; j < b.limbs_.size(); ++j) {
      carry += uint64_t{a.limbs_[i]} * b.limbs_[j] + product.limbs_[i + j];
      product.limbs_[i + j] = static_cast<uint32_t>(carry % kBase);
      carry /= kBase;
    }
    product.limbs_[i + b.limbs_.size()] = static_cast<uint32_t>(carry);
  }
  product.set_scale(a.scale_ + b.scale_, a.fraction_limbs() + b.fraction_limbs());
  *out = product.scale_ > kDigitsAfterMax ? product.rounded(kDigitsAfterMax) : std::move(product);
  return true;
}

bool Decimal::divide(const Decimal& a, const Decimal& b, Decimal* out) {
  if (b.is_zero() || a.digits() > kFactorDigitsMax || b.digits() > kFactorDigitsMax) return false;
  const int64_t scale_min = std::max(a.scale_, b.scale_);
  const int64_t longer = std::max<int64_t>(b.digits_before() - a.digits_before(), 0);
  const int64_t scale = std::min(std::max(scale_min, kQuotientDigits + longer), kDigitsAfterMax);
  // One digit more than is kept, cut: it says which way to round.
  const size_t after = static_cast<size_t>(scale + 1 + kLimbDigits - 1) / kLimbDigits;
  Limbs dividend = aligned(a.limbs_, a.fraction_limbs(), after + b.fraction_limbs());
  Decimal quotient;
  quotient.limbs_ = divide_limbs(&dividend, b.limbs_);
  quotient.scale_ = static_cast<int64_t>(after) * kLimbDigits;
  quotient.negative_ = a.negative_ != b.negative_;
  quotient.normalize();
  *out = quotient.rounded(scale).without_trailing_zeros(scale_min);
  return true;
}

bool Decimal::remainder(const Decimal& a, const Decimal& b, Decimal* out) {
  if (b.is_zero() || a.digits() > kFactorDigitsMax || b.digits() > kFactorDigitsMax) return false;
  Decimal rest;
  rest.scale_ = std::max(a.scale_, b.scale_);
  rest.negative_ = a.negative_;
  rest.limbs_ = aligned(a.limbs_, a.fraction_limbs(), rest.fraction_limbs());
  divide_limbs(&rest.limbs_, aligned(b.limbs_, b.fraction_limbs(), rest.fraction_limbs()));
  rest.normalize();
  *out = std::move(rest);
  return true;
}

int Decimal::compare(const Decimal& other) const {
  if (negative_ != other.negative_) return negative_ ? -1 : 1;
  const int order = compare_limbs(limbs_, fraction_limbs(), other.limbs_, other.fraction_limbs());
  return negative_ ? -order : order;
}

Decimal Decimal::rounded(int64_t places) const {
  if (places >= scale_) return truncated(places);
  if (-places > digits_before()) return Decimal();
  // Half of the last place kept, added to the absolute value; then cut.
  Decimal half;
  half.scale_ = std::max<int64_t>(places + 1, 0);
  half.negative_ = negative_;
  const int64_t place = static_cast<int64_t>(half.fraction_limbs()) * kLimbDigits - places - 1;
  half.limbs_.assign(static_cast<size_t>(place / kLimbDigits) + 1, 0);
  half.limbs_.back() = 5 * kPowers[place % kLimbDigits];
  return (*this + half).truncated(places);
}

Decimal Decimal::truncated(int64_t places) const {
  places = std::min(places, kDigitsAfterMax);
  Decimal out = *this;
  if (places < scale_) {
    // Of the limbs below, all digits go; of the one that holds the place, the last few.
    const int64_t below =
        std::max<int64_t>(static_cast<int64_t>(fraction_limbs()) * kLimbDigits - places, 0);
    const size_t cut = std::min(static_cast<size_t>(below / kLimbDigits), out.limbs_.size());
    std::fill(out.limbs_.begin(), out.limbs_.begin() + static_cast<ptrdiff_t>(cut), 0);
    if (cut < out.limbs_.size()) {
      out.limbs_[cut] -= out.limbs_[cut] % kPowers[below % kLimbDigits];
    }
  }
  out.set_scale(std::max<int64_t>(places, 0), fraction_limbs());
  return out;
}

Decimal Decimal::without_trailing_zeros(int64_t scale_min) const {
  int64_t scale = scale_;
  const std::string digits = text();
  for (size_t i = digits.size(); scale > scale_min && digits[i - 1] == '0'; --i)
    --scale;
  return scale < scale_ ? truncated(scale) : *this;
}

bool Decimal::is_bounded() const {
  return digits_before() <= kDigitsBeforeMax && scale_ <= kDigitsAfterMax;
}

int64_t Decimal::digits_before() const {
  if (limbs_.size() <= fraction_limbs()) return 0;
  int64_t digits = static_cast<int64_t>(limbs_.size() - fraction_limbs() - 1) * kLimbDigits;
  for (uint32_t top = limbs_.back(); top != 0; top /= 10)
    ++digits;
  return digits;
}

bool Decimal::integer(int64_t* out) const {
  if (digits_before() > 19) return false;
  const std::string whole = truncated(0).text();
  const auto [end, error] = std::from_chars(whole.data(), whole.data() + whole.size(), *out);
  return error == std::errc();
}

double Decimal::real() const {
  const std::string digits = text();
  double real = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), real);
  if (error == std::errc()) return real;
  // Out of range: too great or too small.
  const double bound = digits_before() > 0 ? HUGE_VAL : 0.0;
  return negative_ ? -bound : bound;
}

// Takes limbs that have `fraction_limbs` after the point to what `scale` needs: those that go are
// 0.
void Decimal::set_scale(int64_t scale, size_t fraction_limbs) {
  scale_ = scale;
  const size_t needed = this->fraction_limbs();
  if (needed > fraction_limbs) {
    limbs_.insert(limbs_.begin(), needed - fraction_limbs, 0);
  } else {
    const size_t gone = std::min(fraction_limbs - needed, limbs_.size());
    limbs_.erase(limbs_.begin(), limbs_.begin() + static_cast<ptrdiff_t>(gone));
  }
  normalize();
}

void Decimal::normalize() {
  strip(&limbs_);
  if (limbs_.empty()) negative_ = false;
}

}  // namespace syncline
