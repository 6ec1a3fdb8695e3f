// What a column's values mean, whichever engine holds them.
//
// | logical type | values on the wire                                             |
// |--------------|----------------------------------------------------------------|
// | any          | whatever class the application stored (a column without a type) |
// | boolean      | integer 0 or 1                                                 |
// | integer      | integer                                                        |
// | float        | real; text "NaN" for not-a-number                              |
// | numeric      | decimal text, scale kept: "-12.50"; text "NaN"                  |
// | text         | text                                                           |
// | bytes        | blob                                                           |
// | uuid         | text, 36 characters, lower case                                |
// | date, time, timestamp, interval | ISO 8601 text as PostgreSQL prints it        |
// | timestamptz  | the same in UTC: "2024-02-29 12:00:00.5+00"                      |
// | json         | text                                                           |
// | pg:NAME      | text form of PostgreSQL type NAME (arrays, enums, ranges, ...)  |
//
// SQLite columns may hold anything, so a value of another class can arrive: it travels as it is,
// and a host that cannot hold it quarantines the row and says so.
#pragma once

#include <string>
#include <string_view>

#include "syncline/status.h"
#include "syncline/value.h"

namespace syncline {

enum class LogicalKind : uint8_t {
  any, boolean, integer, floating, numeric, text, bytes, date, time, timestamp, timestamptz,
  interval, uuid, json, other,
};

// The kind of a wire name such as "integer" or "pg:inet"; unknown names are `other`.
LogicalKind logical_kind(std::string_view type_name);

// The logical type name of a column declared `declared` in SQLite ("VARCHAR(20)" -> "text",
// "TIMESTAMP WITH TIME ZONE" -> "timestamptz", "" -> "any"). Follows SQLite's affinity rules where
// no better name is known; docs/sql_reference.md lists the names.
std::string logical_type_of_declaration(std::string_view declared);

// Brings a value to the canonical spelling of its type: "TRUE" and 1 are 1 in a boolean, a real
// in a numeric column becomes its shortest decimal text, a number in a text column its digits,
// "2024-01-01T12:00:00Z" becomes "2024-01-01 12:00:00+00". What is not of the type comes back
// unchanged. New bytes live in `arena`. Idempotent. Cost: one switch for the plain types.
Value canonical_value(LogicalKind kind, const Value& value, Arena* arena);

// Equal in meaning: identical, or equal after canonical_value, with numerics compared without
// trailing zeros and JSON without insignificant white space. Decides whether two concurrent
// versions are a conflict.
bool equal_in_meaning(LogicalKind kind, const Value& a, const Value& b);

// Why a column of type `to` cannot hold every value of type `from` without loss, or an empty
// string. Reported before the first sync.
std::string type_loss(std::string_view from, std::string_view to);

}  // namespace syncline
