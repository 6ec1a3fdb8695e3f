#include "temporal.h"

#include <cstdint>
#include <cstdio>

namespace syncline {
namespace {

struct Moment {
  int64_t year = 1;
  int month = 1, day = 1, hour = 0, minute = 0, second = 0;
  std::string fraction;  // digits, without trailing zeros
  bool zoned = false;
  int64_t offset_seconds = 0;  // east of Greenwich
};

// What PostgreSQL's timestamp can hold.
constexpr int64_t kYearMax = 294'276;

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
  bool take(char c) {
    if (peek() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // A number of exactly `digits` digits.
  bool fixed(int digits, int* out) {
    int64_t value;
    if (static_cast<int>(count_digits()) < digits || !number(digits, &value)) return false;
    *out = static_cast<int>(value);
    return true;
  }
  size_t count_digits() const {
    size_t count = 0;
    while (count < rest_.size() && rest_[count] >= '0' && rest_[count] <= '9')
      ++count;
    return count;
  }
  bool number(size_t digits, int64_t* out) {
    *out = 0;
    for (size_t i = 0; i < digits; ++i)
      *out = *out * 10 + (rest_[i] - '0');
    rest_.remove_prefix(digits);
    return digits > 0;
  }
  std::string_view view(size_t size) {
    const std::string_view result = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return result;
  }

 private:
  std::string_view rest_;
};

int days_in_month(int64_t year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return kDays[month - 1] + (month == 2 && leap ? 1 : 0);
}

bool scan_date(Scanner* in, Moment* out) {
  const size_t year_digits = in->count_digits();
  if (year_digits < 4 || year_digits > 6 || !in->number(year_digits, &out->year)) return false;
  return in->take('-') && in->fixed(2, &out->month) && in->take('-') && in->fixed(2, &out->day) &&
         out->year >= 1 && out->year <= kYearMax && out->month >= 1 && out->month <= 12 &&
         out->day >= 1 && out->day <= days_in_month(out->year, out->month);
}

bool scan_time(Scanner* in, Moment* out) {
  if (!in->fixed(2, &out->hour) || !in->take(':') || !in->fixed(2, &out->minute)) return false;
  if (in->take(':')) {
    if (!in->fixed(2, &out->second)) return false;
    if (in->take('.')) {
      const size_t digits = in->count_digits();
      if (digits == 0) return false;
      std::string_view fraction = in->view(digits);
      while (!fraction.empty() && fraction.back() == '0')
        fraction.remove_suffix(1);
      if (fraction.size() > 6) return false;
      out->fraction = fraction;
    }
  }
  return out->hour <= 23 && out->minute <= 59 && out->second <= 59;
}

// "Z", "+02", "+02:00", "+0200", "+02:00:00"; PostgreSQL allows up to 15:59:59.
bool scan_zone(Scanner* in, Moment* out) {
  out->zoned = true;
  if (in->take('Z') || in->take('z')) return true;
  const int sign = in->peek() == '-' ? -1 : 1;
  if (!in->take('-') && !in->take('+')) return false;
  int hours = 0, minutes = 0, seconds = 0;
  if (!in->fixed(2, &hours)) return false;
  if (in->take(':')) {
    if (!in->fixed(2, &minutes)) return false;
    if (in->take(':') && !in->fixed(2, &seconds)) return false;
  } else if (!in->at_end() && !in->fixed(2, &minutes)) {
    return false;
  }
  if (hours > 15 || minutes > 59 || seconds > 59) return false;
  out->offset_seconds = sign * (int64_t{hours} * 3600 + minutes * 60 + seconds);
  return true;
}

bool scan_timestamp(std::string_view text, Moment* out) {
  Scanner in(text);
  if (!scan_date(&in, out)) return false;
  if (in.at_end()) return true;
  if (!in.take('T') && !in.take('t') && !in.take(' ')) return false;
  if (!scan_time(&in, out)) return false;
  if (in.at_end()) return true;
  in.take(' ');
  return scan_zone(&in, out) && in.at_end();
}

// Days since 1970-01-01 and back. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
// days_from_civil and civil_from_days; here only for years from 1 on.
int64_t days_from_civil(int64_t year, int month, int day) {
  year -= month <= 2;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

void civil_from_days(int64_t days, Moment* out) {
  days += 719'468;
  const int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const int64_t day_of_era = days - era * 146'097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted_month = (5 * day_of_year + 2) / 153;
  out->day = static_cast<int>(day_of_year - (153 * shifted_month + 2) / 5 + 1);
  out->month = static_cast<int>(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
  out->year = year_of_era + era * 400 + (out->month <= 2 ? 1 : 0);
}

// Moves a moment to UTC.
void to_utc(Moment* moment) {
  constexpr int64_t kDay = 86'400;
  int64_t seconds = int64_t{moment->hour} * 3600 + moment->minute * 60 + moment->second;
  seconds -= moment->offset_seconds;
  const int64_t days = seconds < 0 ? -1 : seconds >= kDay ? 1 : 0;
  seconds -= days * kDay;
  civil_from_days(days_from_civil(moment->year, moment->month, moment->day) + days, moment);
  moment->hour = static_cast<int>(seconds / 3600);
  moment->minute = static_cast<int>(seconds / 60 % 60);
  moment->second = static_cast<int>(seconds % 60);
  moment->offset_seconds = 0;
}

std::string print_date(const Moment& moment) {
  char text[32];
  std::snprintf(text, sizeof text, "%04lld-%02d-%02d", static_cast<long long>(moment.year),
                moment.month, moment.day);
  return text;
}

std::string print_time(const Moment& moment) {
  char text[48];
  std::snprintf(text, sizeof text, "%02d:%02d:%02d", moment.hour, moment.minute, moment.second);
  return moment.fraction.empty() ? text : std::string(text) + "." + moment.fraction;
}

}  // namespace

bool canonical_date(std::string_view text, std::string* out) {
  Moment moment;
  Scanner in(text);
  if (!scan_date(&in, &moment) || !in.at_end()) return false;
  *out = print_date(moment);
  return true;
}

bool canonical_time(std::string_view text, std::string* out) {
  Moment moment;
  Scanner in(text);
  if (!scan_time(&in, &moment) || !in.at_end()) return false;
  *out = print_time(moment);
  return true;
}

bool canonical_timestamp(std::string_view text, std::string* out) {
  Moment moment;
  if (!scan_timestamp(text, &moment) || moment.offset_seconds != 0) return false;
  *out = print_date(moment) + " " + print_time(moment);
  return true;
}

bool canonical_timestamptz(std::string_view text, std::string* out) {
  Moment moment;
  if (!scan_timestamp(text, &moment)) return false;
  to_utc(&moment);
  if (moment.year < 1 || moment.year > kYearMax) return false;
  *out = print_date(moment) + " " + print_time(moment) + "+00";
  return true;
}

}  // namespace syncline
