// Policies as settings: checking what an application asks for, and reading what sites share.
//
//   key    "policy/<table>" or "policy/<table>/<column>", lower case, "/" and "%" escaped
//   value  {"policy": "max", "separator": ..., "array_key": ..., "order": [...], "severity": ...}
//          of a table also "grain", "on_delete"; "severity" may be an object by kind of conflict
#include <algorithm>
#include <array>

#include "syncline/expression.h"
#include "syncline/json.h"
#include "syncline/limits.h"
#include "syncline/policy.h"
#include "syncline/table.h"

namespace syncline {
namespace {

using Json = SortedJson;

struct Known {
  const char* name;
  PolicyKind kind;
};
constexpr std::array<Known, 11> kPolicies{{{"last_writer", PolicyKind::last_writer},
                                           {"first_writer", PolicyKind::first_writer},
                                           {"max", PolicyKind::max},
                                           {"min", PolicyKind::min},
                                           {"counter", PolicyKind::counter},
                                           {"union", PolicyKind::union_set},
                                           {"concat", PolicyKind::concat},
                                           {"site_priority", PolicyKind::site_priority},
                                           {"manual", PolicyKind::manual},
                                           {"json", PolicyKind::json},
                                           {"text", PolicyKind::text}}};
constexpr std::string_view kSql = "sql:";
constexpr std::array<const char*, 3> kOnDelete{"update_wins", "delete_wins", "last_writer"};
constexpr std::array<const char*, 4> kSeverities{"low", "normal", "high", "critical"};
constexpr std::array<const char*, 8> kSeverityKinds{
    "default", "update_update", "insert_insert", "update_delete",
    "unique",  "foreign_key",   "constraint",    "schema"};

std::string key_part(std::string_view name) {
  std::string out;
  for (const char c : lower_name(name)) {
    if (c == '/')
      out += "%2f";
    else if (c == '%')
      out += "%25";
    else
      out += c;
  }
  return out;
}

std::string unescaped(std::string_view part) {
  std::string out;
  for (size_t i = 0; i < part.size(); ++i) {
    const std::string_view three = part.substr(i, 3);
    const bool code = three == "%2f" || three == "%25";
    out += !code ? part[i] : three == "%2f" ? '/' : '%';
    if (code) i += 2;
  }
  return out;
}

std::string setting_key(std::string_view table, std::string_view column) {
  std::string key = "policy/" + key_part(table);
  if (!column.empty()) key += "/" + key_part(column);
  return key;
}

Status refused(std::string message, std::string hint = {}) {
  return Status(StatusCode::invalid_argument, std::move(message), std::move(hint));
}

template <size_t N>
std::string listed(const std::array<const char*, N>& names) {
  std::string out;
  for (const char* name : names)
    out += std::string(out.empty() ? "" : ", ") + "\"" + name + "\"";
  return out;
}

template <size_t N>
bool among(const std::array<const char*, N>& names, const std::string& name) {
  return std::any_of(names.begin(), names.end(), [&](const char* n) { return name == n; });
}

// "did you mean", or all there are.
std::string policy_hint(std::string_view name) {
  std::vector<std::string> names;
  std::string all;
  for (const Known& known : kPolicies) {
    names.push_back(known.name);
    all += std::string(known.name) + ", ";
  }
  const std::string near = nearest_name(lower_name(name), names);
  if (!near.empty()) return "did you mean \"" + near + "\"?";
  return "known policies: " + all + "sql:<expression>";
}

bool find_kind(std::string_view name, PolicyKind* out) {
  const auto at = std::find_if(kPolicies.begin(), kPolicies.end(),
                               [&](const Known& known) { return name == known.name; });
  if (at != kPolicies.end()) *out = at->kind;
  return at != kPolicies.end();
}

// Why a column of this type cannot have the policy, or an empty string.
std::string misfit(PolicyKind policy, LogicalKind type) {
  if (type == LogicalKind::any) return {};
  const bool number =
      type == LogicalKind::integer || type == LogicalKind::floating || type == LogicalKind::numeric;
  const bool text = type == LogicalKind::text;
  switch (policy) {
    case PolicyKind::counter:
      return number ? "" : "a counter adds numbers";
    case PolicyKind::union_set:
      return text || type == LogicalKind::json ? "" : "union needs JSON arrays";
    case PolicyKind::json:
      return text || type == LogicalKind::json ? "" : "json needs JSON";
    case PolicyKind::text:
      return text ? "" : "text merges text";
    case PolicyKind::concat:
      return text ? "" : "concat joins text";
    default:
      return {};
  }
}

// Reads the members that columns and tables share into `out`; what is unknown or wrong is named.
class SettingReader {
 public:
  explicit SettingReader(const Json& json) : json_(json) {}

  Status policy(Policy* out) const {
    SYNCLINE_TRY(name(out));
    SYNCLINE_TRY(text("separator", &out->separator));
    SYNCLINE_TRY(text("array_key", &out->array_key));
    SYNCLINE_TRY(order(out));
    const auto severity = json_.find("severity");
    if (severity != json_.end() && severity->is_string()) {
      out->severity = severity->get<std::string>();
      if (!among(kSeverities, out->severity)) return unknown_severity(out->severity);
    }
    return {};
  }

  Status table(TableInfo* out) const {
    std::string grain, on_delete;
    SYNCLINE_TRY(text("grain", &grain));
    if (!grain.empty() && grain != "row" && grain != "column") {
      return refused("grain cannot be \"" + grain + "\"", "it is \"column\" or \"row\"");
    }
    if (!grain.empty()) out->row_grain = grain == "row";
    SYNCLINE_TRY(text("on_delete", &on_delete));
    const auto at = std::find(kOnDelete.begin(), kOnDelete.end(), on_delete);
    if (at != kOnDelete.end()) {
      out->on_delete = static_cast<OnDelete>(at - kOnDelete.begin());
    } else if (!on_delete.empty()) {
      return refused("on_delete cannot be \"" + on_delete + "\"",
                     "it is one of " + listed(kOnDelete));
    }
    return severities(&out->severity);
  }

 private:
  Status name(Policy* out) const {
    std::string name;
    SYNCLINE_TRY(text("policy", &name));
    if (name.empty()) return {};
    out->name = name;
    if (name.substr(0, kSql.size()) == kSql) {
      out->kind = PolicyKind::sql;
      return Expression::parse(std::string_view(name).substr(kSql.size()), &out->expression);
    }
    if (find_kind(name, &out->kind)) return {};
    return refused("there is no policy \"" + name + "\"", policy_hint(name));
  }

  Status order(Policy* out) const {
    const auto at = json_.find("order");
    if (at == json_.end()) return {};
    if (!at->is_array()) return refused("order must be an array of site ids");
    for (const Json& item : *at) {
      const Result<SiteId> id =
          site_id_from_hex(item.is_string() ? item.get<std::string>() : std::string());
      if (!id.ok()) {
        return refused("order holds something that is no site id: " + json_text(item).substr(0, 80),
                       "ids have 32 hex digits: see sync_site_id()");
      }
      out->order.push_back(id.value());
    }
    return {};
  }

  Status severities(SeverityRules* out) const {
    const auto at = json_.find("severity");
    if (at == json_.end()) return {};
    out->by_kind.clear();
    if (at->is_string()) {
      out->by_kind.emplace_back("default", at->get<std::string>());
    } else if (at->is_object()) {
      for (const auto& item : at->items()) {
        if (!among(kSeverityKinds, item.key())) {
          return refused("severity names no kind of conflict: \"" + item.key() + "\"",
                         "it is one of " + listed(kSeverityKinds));
        }
        out->by_kind.emplace_back(item.key(),
                                  item.value().is_string() ? item.value().get<std::string>() : "?");
      }
    } else {
      return refused("severity must be a string, or an object of kinds of conflict");
    }
    for (const auto& [kind, severity] : out->by_kind) {
      if (!among(kSeverities, severity)) return unknown_severity(severity);
    }
    return {};
  }

  static Status unknown_severity(const std::string& severity) {
    return refused("there is no severity \"" + severity + "\"",
                   "it is one of " + listed(kSeverities));
  }

  Status text(const char* key, std::string* out) const {
    const auto at = json_.find(key);
    if (at == json_.end() || at->is_null()) return {};
    if (!at->is_string()) return refused(std::string(key) + " must be a string");
    *out = at->get<std::string>();
    return {};
  }

  const Json& json_;
};

Status check_option_names(const Json& json, bool whole_table) {
  std::vector<std::string> known{"policy", "separator", "array_key", "order", "severity"};
  if (whole_table) known.insert(known.end(), {"grain", "on_delete"});
  for (const auto& item : json.items()) {
    if (std::find(known.begin(), known.end(), item.key()) != known.end()) continue;
    const std::string near = nearest_name(item.key(), known);
    return refused("sync_set_policy has no option \"" + item.key() + "\"" +
                       (whole_table ? "" : " for a column"),
                   near.empty() ? "leave it out" : "did you mean \"" + near + "\"?");
  }
  return {};
}

Status check_column(const TableInfo& table, std::string_view name, PolicyKind policy) {
  const int64_t column = find_column(table.columns, name);
  if (column < 0) {
    std::vector<std::string> names;
    for (const ColumnInfo& c : table.columns)
      names.push_back(c.name);
    const std::string near = nearest_name(name, names);
    return refused("table " + table.name + " has no column \"" + std::string(name) + "\"",
                   near.empty() ? "" : "did you mean \"" + near + "\"?");
  }
  if (table.is_key(static_cast<ColumnNumber>(column))) {
    return refused("column \"" + std::string(name) + "\" is part of the primary key of " +
                       table.name + ": rows with different keys are different rows",
                   "set a policy for another column");
  }
  const ColumnInfo& info = table.columns[static_cast<size_t>(column)];
  const std::string why = misfit(policy, info.kind);
  if (why.empty()) return {};
  return refused(
      "column \"" + info.name + "\" of " + table.name + " has type " + info.type + ": " + why,
      "choose another policy, or change the column's type");
}

Status check_needs(const Policy& policy, const Json& json) {
  if (policy.kind == PolicyKind::site_priority && policy.order.empty()) {
    return refused("site_priority needs the order of sites",
                   "pass {\"order\": [\"<site id>\", ...]}, the first one wins");
  }
  const auto only = [&](const char* option, PolicyKind kind, const char* name) -> Status {
    if (!json.contains(option) || policy.kind == kind) return {};
    return refused(std::string(option) + " means nothing to policy " + policy.name,
                   std::string("it belongs to ") + name);
  };
  SYNCLINE_TRY(only("separator", PolicyKind::concat, "concat"));
  SYNCLINE_TRY(only("array_key", PolicyKind::json, "json"));
  return only("order", PolicyKind::site_priority, "site_priority");
}

}  // namespace

std::string SeverityRules::of(std::string_view kind) const {
  std::string general = "normal";
  for (const auto& [name, severity] : by_kind) {
    if (name == kind) return severity;
    if (name == "default") general = severity;
  }
  return general;
}

Status make_policy_setting(const TableInfo& table, std::string_view column, std::string_view policy,
                           std::string_view options_json, const Settings& current, Setting* out) {
  out->key = setting_key(table.name, column);
  out->value.clear();
  Json options = Json::object();
  if (!options_json.empty()) options = parse_json<Json>(options_json);
  if (options.is_null()) options = Json::object();
  if (!options.is_object()) {
    return refused("options of sync_set_policy are not a JSON object",
                   "pass something like '{\"severity\": \"high\"}'");
  }
  if (policy == "default") {
    if (!options.empty()) return refused("policy \"default\" takes no options");
    return column.empty() ? Status() : check_column(table, column, PolicyKind::last_writer);
  }
  Json json = Json::object();
  const std::string* before = current.find(out->key);
  if (policy.empty()) {
    if (options.empty())
      return refused("sync_set_policy needs a policy, or options", policy_hint(""));
    if (before != nullptr) json = parse_json<Json>(*before);
    if (!json.is_object()) json = Json::object();
  } else if (column.empty() && before != nullptr) {
    // A new default for the columns leaves the rules for rows alone.
    const Json old = parse_json<Json>(*before);
    for (const char* kept : {"grain", "on_delete", "severity"}) {
      if (old.is_object() && old.contains(kept)) json[kept] = old[kept];
    }
  }
  SYNCLINE_TRY(check_option_names(options, column.empty()));
  for (const auto& item : options.items())
    json[item.key()] = item.value();
  if (!policy.empty()) json["policy"] = std::string(policy);

  Policy read;
  TableInfo read_table;
  SYNCLINE_TRY(SettingReader(json).policy(&read));
  if (column.empty()) SYNCLINE_TRY(SettingReader(json).table(&read_table));
  if (!column.empty()) SYNCLINE_TRY(check_column(table, column, read.kind));
  SYNCLINE_TRY(check_needs(read, json));
  out->value = json_text(json);
  if (out->value.size() <= limits::setting_value_bytes_max) return {};
  return refused("the policy and its options are too long");
}

void apply_policies(const Settings& settings, std::vector<TableInfo>* tables) {
  for (TableInfo& table : *tables) {
    std::shared_ptr<const Policy> general;
    // A newer setting need not say what the one before it said.
    table.on_delete = table.default_on_delete;
    table.row_grain = false;
    table.severity = {};
    const std::string* text = settings.find(setting_key(table.name, ""));
    if (text != nullptr) {
      const Json json = parse_json<Json>(*text);
      auto policy = std::make_shared<Policy>();
      if (json.is_object() && SettingReader(json).policy(policy.get()).ok()) general = policy;
      if (json.is_object())
        SettingReader(json).table(&table).ok();  // what is unknown stays as it is
    }
    for (ColumnInfo& column : table.columns) {
      column.policy.reset();
      const std::string* own = settings.find(setting_key(table.name, column.name));
      if (own != nullptr) {
        const Json json = parse_json<Json>(*own);
        auto policy = std::make_shared<Policy>();
        if (json.is_object() && SettingReader(json).policy(policy.get()).ok())
          column.policy = policy;
      } else if (general && misfit(general->kind, column.kind).empty()) {
        column.policy = general;
      }
    }
  }
}

std::vector<Setting> rename_policies(std::string_view table, std::string_view column,
                                     std::string_view new_name, Settings* settings) {
  std::vector<Setting> out;
  for (const Setting* setting : settings->all()) {
    std::string of_table, of_column;
    const bool policy = split_policy_key(setting->key, &of_table, &of_column);
    if (!policy || of_table != lower_name(table)) continue;
    if (!column.empty() && of_column != lower_name(column)) continue;
    out.push_back(*setting);
    out.back().key =
        column.empty() ? setting_key(new_name, of_column) : setting_key(table, new_name);
  }
  std::erase_if(out, [&](const Setting& setting) { return !settings->merge(setting); });
  return out;
}

bool split_policy_key(std::string_view setting_key, std::string* table, std::string* column) {
  constexpr std::string_view kPrefix = "policy/";
  if (setting_key.substr(0, kPrefix.size()) != kPrefix) return false;
  setting_key.remove_prefix(kPrefix.size());
  const size_t slash = std::min(setting_key.find('/'), setting_key.size());
  *table = unescaped(setting_key.substr(0, slash));
  *column = unescaped(setting_key.substr(std::min(slash + 1, setting_key.size())));
  return !table->empty();
}

}  // namespace syncline
