// Values and filters that people give. See decision.h and decision_value.h.
#include "decision_value.h"

#include <algorithm>

#include "decimal.h"
#include "syncline/decision.h"
#include "syncline/json.h"

namespace syncline {
namespace {

using Json = SortedJson;

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// "\x00ff" to bytes. False: it is not in that form.
bool bytes_from(std::string_view text, std::string* out) {
  if (text.substr(0, 2) != "\\x" || text.size() % 2 != 0) return false;
  for (size_t i = 2; i < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return false;
    out->push_back(static_cast<char>(high * 16 + low));
  }
  return true;
}

bool is_number(const Value& value) {
  return value.is(ValueKind::integer) || value.is(ValueKind::real);
}

bool is_special_number(std::string_view text) {
  return text == "NaN" || text == "Infinity" || text == "-Infinity";
}

bool has_uuid_form(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : digit(text[i]) < 0) return false;
  }
  return true;
}

// Whether a value in canonical spelling is one of the type.
bool fits(LogicalKind kind, const Value& value) {
  Decimal decimal;
  switch (kind) {
    case LogicalKind::any: return true;
    case LogicalKind::boolean:
      return value.is(ValueKind::integer) && (value.as_integer() == 0 || value.as_integer() == 1);
    case LogicalKind::integer: return value.is(ValueKind::integer);
    case LogicalKind::floating:
      return is_number(value) || (value.is(ValueKind::text) && is_special_number(value.bytes()));
    case LogicalKind::numeric:
      return is_number(value) ||
             (value.is(ValueKind::text) &&
              (Decimal::parse(value.bytes(), &decimal) || is_special_number(value.bytes())));
    case LogicalKind::bytes: return value.is(ValueKind::blob);
    case LogicalKind::uuid: return value.is(ValueKind::text) && has_uuid_form(value.bytes());
    case LogicalKind::json: return value.is(ValueKind::text) && Json::accept(value.bytes());
    case LogicalKind::date:
    case LogicalKind::time:
    case LogicalKind::timestamp:
    case LogicalKind::timestamptz:
      return value.is(ValueKind::text) && !value.bytes().empty() &&
             (digit(value.bytes()[0]) >= 0 || value.bytes().find("infinity") != std::string::npos);
    default: return value.is(ValueKind::text);
  }
}

}  // namespace

Value value_from_json(LogicalKind kind, std::string_view text, Arena* arena) {
  const Json json = parse_json<Json>(text);
  if (json.is_null()) return Value::null();
  if (json.is_boolean()) return Value::integer(json.get<bool>() ? 1 : 0);
  if (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX) {
    return Value::real(json.get<double>());
  }
  if (json.is_number_integer()) return Value::integer(json.get<int64_t>());
  if (json.is_number()) return Value::real(json.get<double>());
  if (json.is_object() || json.is_array()) return Value::text(arena->copy(text));
  if (!json.is_string()) return Value();
  const std::string string = json.get<std::string>();
  std::string bytes;
  const bool maybe_bytes = kind == LogicalKind::bytes || kind == LogicalKind::any;
  if (maybe_bytes && bytes_from(string, &bytes)) {
    return Value::blob(arena->copy(std::string_view(bytes)));
  }
  if (string == "Infinity" || string == "-Infinity") {
    if (kind == LogicalKind::floating) return Value::real(string[0] == '-' ? -HUGE_VAL : HUGE_VAL);
  }
  return Value::text(arena->copy(std::string_view(string)));
}

Status fit_value(const TableInfo& table, ColumnNumber column, const Value& given, Arena* arena,
                 Value* out) {
  const ColumnInfo& info = table.columns[column];
  *out = Value::null();
  if (given.is(ValueKind::null) || given.is(ValueKind::absent)) return {};
  Value value = given;
  std::string bytes;
  if (info.kind == LogicalKind::bytes && given.is(ValueKind::text) &&
      bytes_from(given.bytes(), &bytes)) {
    value = Value::blob(std::string_view(bytes));
  }
  // A number in JSON, or typed without quotes, for a column that holds its text.
  *out = arena->copy(canonical_value(info.kind, value, arena));
  if (fits(info.kind, *out)) return {};
  return Status(StatusCode::invalid_argument,
                "column \"" + info.name + "\" of " + table.name + " has type " + info.type +
                    " and cannot hold this value",
                "pass a value of that type");
}

Status filter_from_json(std::string_view text, ConflictFilter* out) {
  *out = ConflictFilter();
  Json json = text.empty() ? Json::object() : parse_json<Json>(text);
  if (json.is_null()) json = Json::object();
  if (!json.is_object()) {
    return Status(StatusCode::invalid_argument, "the filter is not a JSON object",
                  "pass something like '{\"table\": \"task\"}', or '{}' for all");
  }
  const auto unknown = [](const std::string& what, const std::string& name,
                          const std::vector<std::string>& names) {
    const std::string near = nearest_name(name, names);
    std::string all;
    for (const std::string& n : names) all += (all.empty() ? "" : ", ") + n;
    return Status(StatusCode::invalid_argument, "there is no " + what + " \"" + name + "\"",
                  near.empty() ? "one of " + all : "did you mean \"" + near + "\"?");
  };
  const std::pair<const char*, std::string*> texts[] = {{"table", &out->table},
                                                        {"column", &out->column},
                                                        {"kind", &out->kind},
                                                        {"severity", &out->severity},
                                                        {"site", &out->site}};
  for (const auto& member : json.items()) {
    const auto at = std::find_if(std::begin(texts), std::end(texts),
                                 [&](const auto& t) { return member.key() == t.first; });
    if (at != std::end(texts)) {
      if (!member.value().is_string()) {
        return Status(StatusCode::invalid_argument, "\"" + member.key() + "\" is not a string");
      }
      *at->second = member.value().get<std::string>();
    } else if (member.key() == "min_age_s") {
      if (!member.value().is_number_unsigned() || member.value().get<uint64_t>() > INT64_MAX) {
        return Status(StatusCode::invalid_argument, "\"min_age_s\" is not a number of seconds");
      }
      out->min_age_s = member.value().get<int64_t>();
    } else {
      return unknown("key of the filter", member.key(),
                     {"table", "column", "kind", "severity", "site", "min_age_s"});
    }
  }
  std::vector<std::string> kinds;
  for (int k = 0; k <= static_cast<int>(ConflictKind::schema); ++k) {
    kinds.emplace_back(conflict_kind_name(static_cast<ConflictKind>(k)));
  }
  const auto among = [](const std::string& name, const std::vector<std::string>& names) {
    return name.empty() || std::find(names.begin(), names.end(), name) != names.end();
  };
  if (!among(out->kind, kinds)) return unknown("kind of conflict", out->kind, kinds);
  const std::vector<std::string> severities{"low", "normal", "high", "critical"};
  if (!among(out->severity, severities)) return unknown("severity", out->severity, severities);
  return {};
}

bool ConflictFilter::matches(const ConflictText& c, int64_t age_s) const {
  const auto is = [](const std::string& wanted, const std::string& have) {
    return wanted.empty() || lower_name(wanted) == lower_name(have);
  };
  return is(table, c.table_name) && is(column, c.column_name) && is(kind, c.kind) &&
         is(severity, c.severity) && (is(site, c.local_site) || is(site, c.remote_site)) &&
         age_s >= min_age_s;
}

std::string decision_to_json(const ConflictText& conflict, std::string_view choice,
                             std::string_view value_json, std::string_view status) {
  const auto quoted = [](std::string_view text) { return value_to_json(Value::text(text)); };
  std::string out = "{\"id\": " + quoted(conflict.id) + ", \"table_name\": " +
                    quoted(conflict.table_name) + ", \"pk\": " +
                    (conflict.pk.empty() ? "null" : conflict.pk) + ", \"column_name\": " +
                    (conflict.column_name.empty() ? "null" : quoted(conflict.column_name));
  if (!choice.empty()) out += ", \"choice\": " + quoted(choice);
  out += ", \"value\": ";
  out += value_json.empty() ? "null" : value_json;
  return out + ", \"status\": " + quoted(status) + "}";
}

}  // namespace syncline
