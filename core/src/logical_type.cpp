// Logical types: names, declarations, canonical spellings, and what would be lost between two.
#include "syncline/logical_type.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "temporal.h"

namespace syncline {
namespace {

struct KindName {
  std::string_view name;
  LogicalKind kind;
};
constexpr KindName kKindNames[] = {
    {"any", LogicalKind::any},
    {"boolean", LogicalKind::boolean},
    {"integer", LogicalKind::integer},
    {"float", LogicalKind::floating},
    {"numeric", LogicalKind::numeric},
    {"text", LogicalKind::text},
    {"bytes", LogicalKind::bytes},
    {"date", LogicalKind::date},
    {"time", LogicalKind::time},
    {"timestamp", LogicalKind::timestamp},
    {"timestamptz", LogicalKind::timestamptz},
    {"interval", LogicalKind::interval},
    {"uuid", LogicalKind::uuid},
    {"json", LogicalKind::json},
};

// Declared names with a meaning of their own; `array` is PostgreSQL's full name of the type, which
// an array of it is known by.
struct Declared {
  std::string_view name, type, array;
};
constexpr Declared kDeclared[] = {
    {"any", "any", ""},
    {"bool", "boolean", "boolean"},
    {"boolean", "boolean", "boolean"},
    {"int", "integer", "integer"},
    {"int2", "integer", "smallint"},
    {"int4", "integer", "integer"},
    {"int8", "integer", "bigint"},
    {"integer", "integer", "integer"},
    {"tinyint", "integer", "smallint"},
    {"smallint", "integer", "smallint"},
    {"mediumint", "integer", "integer"},
    {"bigint", "integer", "bigint"},
    {"serial", "integer", "integer"},
    {"smallserial", "integer", "smallint"},
    {"bigserial", "integer", "bigint"},
    {"real", "float", "real"},
    {"float", "float", "double precision"},
    {"float4", "float", "real"},
    {"float8", "float", "double precision"},
    {"double", "float", "double precision"},
    {"double precision", "float", "double precision"},
    {"numeric", "numeric", "numeric"},
    {"decimal", "numeric", "numeric"},
    {"dec", "numeric", "numeric"},
    {"text", "text", "text"},
    {"char", "text", "character"},
    {"character", "text", "character"},
    {"nchar", "text", "character"},
    {"varchar", "text", "character varying"},
    {"nvarchar", "text", "character varying"},
    {"character varying", "text", "character varying"},
    {"clob", "text", "text"},
    {"citext", "text", "citext"},
    {"blob", "bytes", "bytea"},
    {"bytea", "bytes", "bytea"},
    {"binary", "bytes", "bytea"},
    {"varbinary", "bytes", "bytea"},
    {"date", "date", "date"},
    {"time", "time", "time without time zone"},
    {"time without time zone", "time", "time without time zone"},
    {"datetime", "timestamp", "timestamp without time zone"},
    {"timestamp", "timestamp", "timestamp without time zone"},
    {"timestamp without time zone", "timestamp", "timestamp without time zone"},
    {"timestamptz", "timestamptz", "timestamp with time zone"},
    {"timestamp with time zone", "timestamptz", "timestamp with time zone"},
    {"interval", "interval", "interval"},
    {"uuid", "uuid", "uuid"},
    {"guid", "uuid", "uuid"},
    {"uniqueidentifier", "uuid", "uuid"},
    {"json", "json", "json"},
    {"jsonb", "json", "jsonb"},
};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// Lower case, without what stands in parentheses, single blanks: "VARCHAR (20)" -> "varchar".
std::string normal_declaration(std::string_view declared) {
  std::string name;
  int depth = 0;
  for (char c : declared) {
    if (c == '(') ++depth;
    if (depth == 0) {
      if (!is_space(c)) {
        name += lower(c);
      } else if (!name.empty() && name.back() != ' ') {
        name += ' ';
      }
    }
    if (c == ')' && depth > 0) --depth;
  }
  while (!name.empty() && name.back() == ' ')
    name.pop_back();
  if (const size_t gap = name.find("  "); gap != std::string::npos) name.erase(gap, 1);
  return name;
}

const Declared* find_declared(std::string_view name) {
  for (const Declared& declared : kDeclared) {
    if (declared.name == name) return &declared;
  }
  return nullptr;
}

// https://www.sqlite.org/datatype3.html, section 3.1. What has NUMERIC affinity only because its
// name says nothing holds whatever is stored.
std::string_view type_by_affinity(std::string_view name) {
  const auto has = [name](std::string_view part) { return name.find(part) != name.npos; };
  if (has("int")) return "integer";
  if (has("char") || has("clob") || has("text")) return "text";
  if (has("blob")) return "bytes";
  if (has("real") || has("floa") || has("doub")) return "float";
  return "any";
}

bool equal_ignoring_case(std::string_view text, std::string_view lower_case) {
  return std::equal(text.begin(), text.end(), lower_case.begin(), lower_case.end(),
                    [](char a, char b) { return lower(a) == b; });
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [text](std::string_view word) { return equal_ignoring_case(text, word); });
}

bool all_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "NaN", "Infinity" or "-Infinity" if `text` spells one of them, else empty.
std::string_view special_number(std::string_view text) {
  if (is_one_of(text, {"nan"})) return "NaN";
  if (is_one_of(text, {"infinity", "inf", "+infinity", "+inf"})) return "Infinity";
  if (is_one_of(text, {"-infinity", "-inf"})) return "-Infinity";
  return {};
}

// [sign] digits [. digits] [e [sign] digits] -> plain decimal text, scale kept as PostgreSQL does.
// False if it is not a number or beyond PostgreSQL's numeric.
bool plain_decimal(std::string_view text, std::string* out) {
  constexpr int64_t kDigitsBeforeMax = 131'072, kDigitsAfterMax = 16'383;
  const bool negative = !text.empty() && text.front() == '-';
  if (negative || (!text.empty() && text.front() == '+')) text.remove_prefix(1);
  int64_t exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != std::string_view::npos) {
    std::string_view digits = text.substr(e + 1);
    if (digits.starts_with("+")) {
      digits.remove_prefix(1);
      if (digits.starts_with("-")) return false;
    }
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), exponent);
    if (error != std::errc() || end != digits.data() + digits.size()) return false;
    if (std::abs(exponent) > kDigitsBeforeMax) return false;
    text = text.substr(0, e);
  }
  const size_t point = std::min(text.find('.'), text.size());
  std::string digits(text.substr(0, point));
  if (point < text.size()) digits += text.substr(point + 1);
  if (digits.empty() || !all_digits(digits)) return false;
  // Where the point goes among `digits`.
  int64_t before = static_cast<int64_t>(point) + exponent;
  if (before < 1) {
    if (1 - before > kDigitsAfterMax) return false;
    digits.insert(0, static_cast<size_t>(1 - before), '0');
    before = 1;
  }
  if (before > static_cast<int64_t>(digits.size())) {
    digits.resize(static_cast<size_t>(before), '0');
  }
  const size_t zeros = std::min(digits.find_first_not_of('0'), static_cast<size_t>(before) - 1);
  const bool is_zero = digits.find_first_not_of('0') == std::string::npos;
  std::string_view whole =
      std::string_view(digits).substr(zeros, static_cast<size_t>(before) - zeros);
  std::string_view fraction = std::string_view(digits).substr(static_cast<size_t>(before));
  if (static_cast<int64_t>(whole.size()) > kDigitsBeforeMax ||
      static_cast<int64_t>(fraction.size()) > kDigitsAfterMax) {
    return false;
  }
  *out = negative && !is_zero ? "-" : "";
  *out += whole;
  if (!fraction.empty()) *out += ".";
  *out += fraction;
  return true;
}

std::string shortest_real(double value) {
  char text[40];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  return std::string(text, end);
}

Value text_in(Arena* arena, std::string_view text) {
  return Value::text(arena->copy(text));
}

Value canonical_boolean(const Value& value) {
  if (value.is(ValueKind::real) && (value.as_real() == 0 || value.as_real() == 1)) {
    return Value::integer(value.as_real() == 1);
  }
  if (!value.is(ValueKind::text)) return value;
  if (is_one_of(value.bytes(), {"t", "true", "y", "yes", "on", "1"})) return Value::integer(1);
  if (is_one_of(value.bytes(), {"f", "false", "n", "no", "off", "0"})) return Value::integer(0);
  return value;
}

Value canonical_integer(const Value& value) {
  constexpr double kTwo63 = 9223372036854775808.0;
  if (value.is(ValueKind::real)) {
    const double real = value.as_real();
    const bool whole = real >= -kTwo63 && real < kTwo63 && std::trunc(real) == real;
    return whole ? Value::integer(static_cast<int64_t>(real)) : value;
  }
  if (!value.is(ValueKind::text)) return value;
  const std::string_view text = value.bytes();
  int64_t integer;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), integer);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  // '01' and '1' are two keys of a text column: only the spelling that comes back is the integer.
  return whole && std::to_string(integer) == text ? Value::integer(integer) : value;
}

Value canonical_float(const Value& value) {
  if (value.is(ValueKind::integer)) return Value::real(static_cast<double>(value.as_integer()));
  if (!value.is(ValueKind::text)) return value;
  const std::string_view text = value.bytes();
  const std::string_view special = special_number(text);
  if (special == "NaN") return Value::text("NaN");
  if (!special.empty()) return Value::real(special == "Infinity" ? INFINITY : -INFINITY);
  double real;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), real);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole ? Value::real(real) : value;
}

Value canonical_numeric(const Value& value, Arena* arena) {
  if (value.is(ValueKind::integer)) return text_in(arena, std::to_string(value.as_integer()));
  std::string text;
  if (value.is(ValueKind::real)) {
    text = shortest_real(value.as_real());
  } else if (value.is(ValueKind::text)) {
    text = value.bytes();
  } else {
    return value;
  }
  const std::string_view special = special_number(text);
  if (!special.empty()) return Value::text(special);
  std::string plain;
  if (!plain_decimal(text, &plain)) return value;
  if (value.is(ValueKind::text) && plain == text) return value;
  return text_in(arena, plain);
}

// 32 hex digits, hyphens after any four of them, perhaps in braces: what PostgreSQL reads.
Value canonical_uuid(const Value& value, Arena* arena) {
  if (!value.is(ValueKind::text)) return value;
  std::string_view text = value.bytes();
  if (text.size() >= 2 && text.front() == '{' && text.back() == '}') {
    text = text.substr(1, text.size() - 2);
  }
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = lower(text[i]);
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    const bool hyphen = c == '-' && !digits.empty() && digits.size() % 4 == 0 && text[i - 1] != '-';
    if (hex) digits += c;
    if ((!hex && !hyphen) || digits.size() > 32) return value;
  }
  if (digits.size() != 32 || text.back() == '-') return value;
  for (size_t at : {8, 13, 18, 23})
    digits.insert(at, 1, '-');
  return digits == value.bytes() ? value : text_in(arena, digits);
}

Value canonical_temporal(bool (*spell)(std::string_view, std::string*), const Value& value,
                         Arena* arena) {
  std::string text;
  if (!value.is(ValueKind::text) || !spell(value.bytes(), &text)) return value;
  return text == value.bytes() ? value : text_in(arena, text);
}

// A number from a column of numbers is told by its digits, as SQLite's TEXT affinity does.
Value canonical_text(const Value& value, Arena* arena) {
  if (value.is(ValueKind::integer)) return text_in(arena, std::to_string(value.as_integer()));
  if (!value.is(ValueKind::real)) return value;
  std::string text = shortest_real(value.as_real());
  if (std::isinf(value.as_real())) text = value.as_real() < 0 ? "-Infinity" : "Infinity";
  if (text.find_first_of(".ey") == std::string::npos) text += ".0";
  return text_in(arena, text);
}

// A column declared JSON has NUMERIC affinity in SQLite: a JSON number is stored as one.
Value canonical_json(const Value& value, Arena* arena) {
  if (value.is(ValueKind::integer)) return text_in(arena, std::to_string(value.as_integer()));
  if (value.is(ValueKind::real) && std::isfinite(value.as_real())) {
    return text_in(arena, shortest_real(value.as_real()));
  }
  return value;
}

std::string without_json_space(std::string_view json) {
  std::string result;
  bool quoted = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (!quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) {
      // Blanks between two tokens that would run together make it malformed anyway; keep one.
      const bool inside = !result.empty() && i + 1 < json.size() &&
                          std::isalnum(static_cast<unsigned char>(result.back())) &&
                          std::isalnum(static_cast<unsigned char>(json[i + 1]));
      if (inside) result += ' ';
      continue;
    }
    result += c;
    if (quoted && c == '\\' && i + 1 < json.size()) {
      result += json[++i];
    } else if (c == '"') {
      quoted = !quoted;
    }
  }
  return result;
}

std::string_view without_trailing_zeros(std::string_view decimal) {
  if (decimal.find('.') == std::string_view::npos) return decimal;
  while (decimal.back() == '0')
    decimal.remove_suffix(1);
  if (decimal.back() == '.') decimal.remove_suffix(1);
  return decimal;
}

// Everything a value of `from` can be is a value of `to`.
bool is_wider(LogicalKind from, LogicalKind to) {
  switch (from) {
    case LogicalKind::boolean:
      return to == LogicalKind::integer || to == LogicalKind::numeric ||
             to == LogicalKind::floating || to == LogicalKind::text;
    case LogicalKind::integer:
    case LogicalKind::floating:
      return to == LogicalKind::numeric || to == LogicalKind::text;
    case LogicalKind::date:
      return to == LogicalKind::timestamp || to == LogicalKind::text;
    case LogicalKind::any:
    case LogicalKind::bytes:
    case LogicalKind::text:
      return false;
    default:
      return to == LogicalKind::text;  // what travels as text
  }
}

}  // namespace

LogicalKind logical_kind(std::string_view type_name) {
  for (const KindName& known : kKindNames) {
    if (known.name == type_name) return known.kind;
  }
  return LogicalKind::other;
}

std::string logical_type_of_declaration(std::string_view declared) {
  std::string name = normal_declaration(declared);
  if (name.empty()) return "any";
  std::string_view element = name;
  size_t dimensions = 0;
  for (size_t open; element.ends_with("]") && (open = element.rfind('[')) != element.npos;) {
    if (!all_digits(element.substr(open + 1, element.size() - open - 2))) break;
    element = element.substr(0, open);
    while (element.ends_with(" "))
      element.remove_suffix(1);
    ++dimensions;
  }
  const Declared* known = find_declared(element);
  if (dimensions > 0 && !element.empty()) {
    // PostgreSQL's name of an array type does not tell its dimensions.
    const bool named = known != nullptr && !known->array.empty();
    return "pg:" + std::string(named ? known->array : element) + "[]";
  }
  return std::string(known != nullptr ? known->type : type_by_affinity(name));
}

Value canonical_value(LogicalKind kind, const Value& value, Arena* arena) {
  switch (kind) {
    case LogicalKind::any:
    case LogicalKind::bytes:
    case LogicalKind::interval:
    case LogicalKind::other:
      return value;
    case LogicalKind::text:
      return value.is(ValueKind::text) ? value : canonical_text(value, arena);
    case LogicalKind::boolean:
      return canonical_boolean(value);
    case LogicalKind::integer:
      return value.is(ValueKind::integer) ? value : canonical_integer(value);
    case LogicalKind::floating:
      return value.is(ValueKind::real) ? value : canonical_float(value);
    case LogicalKind::numeric:
      return canonical_numeric(value, arena);
    case LogicalKind::date:
      return canonical_temporal(canonical_date, value, arena);
    case LogicalKind::time:
      return canonical_temporal(canonical_time, value, arena);
    case LogicalKind::timestamp:
      return canonical_temporal(canonical_timestamp, value, arena);
    case LogicalKind::timestamptz:
      return canonical_temporal(canonical_timestamptz, value, arena);
    case LogicalKind::uuid:
      return canonical_uuid(value, arena);
    case LogicalKind::json:
      return canonical_json(value, arena);
  }
  return value;
}

bool equal_in_meaning(LogicalKind kind, const Value& a, const Value& b) {
  if (a.identical(b)) return true;
  Arena arena;
  const Value x = canonical_value(kind, a, &arena), y = canonical_value(kind, b, &arena);
  if (x.identical(y)) return true;
  if (x.kind() != y.kind()) return false;
  if (kind == LogicalKind::floating && x.is(ValueKind::real)) return x.as_real() == y.as_real();
  if (!x.is(ValueKind::text)) return false;
  if (kind == LogicalKind::numeric) {
    std::string plain_x, plain_y;
    return plain_decimal(x.bytes(), &plain_x) && plain_decimal(y.bytes(), &plain_y) &&
           without_trailing_zeros(plain_x) == without_trailing_zeros(plain_y);
  }
  return kind == LogicalKind::json &&
         without_json_space(x.bytes()) == without_json_space(y.bytes());
}

std::string type_loss(std::string_view from, std::string_view to) {
  const LogicalKind from_kind = logical_kind(from), to_kind = logical_kind(to);
  if (from == to || to_kind == LogicalKind::any || is_wider(from_kind, to_kind)) return "";
  std::string loss = "'" + std::string(to) + "' cannot hold every value of '" + std::string(from);
  loss += "'";
  if (from_kind == LogicalKind::any) return loss + ": values of any class may stand there";
  if (from_kind == LogicalKind::integer && to_kind == LogicalKind::floating) {
    return loss + ": integers beyond 2^53 are rounded";
  }
  if (to_kind == LogicalKind::integer &&
      (from_kind == LogicalKind::floating || from_kind == LogicalKind::numeric)) {
    return loss + ": fractions and numbers beyond 64 bits do not fit";
  }
  if (from_kind == LogicalKind::numeric && to_kind == LogicalKind::floating) {
    return loss + ": digits beyond the 15th are rounded";
  }
  if (from_kind == LogicalKind::timestamptz && to_kind == LogicalKind::timestamp) {
    return loss + ": the time zone does not fit";
  }
  return loss;
}

}  // namespace syncline
