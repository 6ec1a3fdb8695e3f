// Dates and times as text: from the ISO 8601 spellings in use to the one PostgreSQL prints.
// Private to logical_type.cpp.
#pragma once

#include <string>
#include <string_view>

namespace syncline {

// Each returns false, leaving *out as it was, for text that is not of the type or would lose
// something: an unknown spelling, a day that does not exist, years before 1, more than six digits
// of a second. Such text travels as it is, and so do "infinity" and years "BC".

bool canonical_date(std::string_view text, std::string* out);  // "2024-02-29"
bool canonical_time(std::string_view text, std::string* out);  // "12:00:00.5"
// "2024-02-29 12:00:00.5". A date alone is its midnight; "Z" and "+00" are dropped, other zones are
// not of the type.
bool canonical_timestamp(std::string_view text, std::string* out);
// "2024-02-29 12:00:00.5+00". Moved to UTC; without a zone it is UTC already, as in SQLite.
bool canonical_timestamptz(std::string_view text, std::string* out);

}  // namespace syncline
