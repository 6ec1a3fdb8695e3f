// See policy_report.h.
#include "syncline/policy_report.h"

#include <algorithm>

#include "syncline/json.h"
#include "syncline/value.h"

namespace syncline {
namespace {

using Json = SortedJson;

// Splits a setting's value into the policy's name and the rest.
void split(const std::string& value, std::string* policy, std::string* options) {
  Json json = parse_json<Json>(value);
  if (!json.is_object()) json = Json::object();
  const auto name = json.find("policy");
  if (name != json.end() && name->is_string()) *policy = name->get<std::string>();
  json.erase("policy");
  *options = json_text(json);
}

// Spells the names as they are here. Returns whether the table, and the column, are.
bool find_names(const std::vector<TableInfo>& tables, PolicyLine* line) {
  for (const TableInfo& table : tables) {
    if (!table.present || lower_name(table.name) != line->table_name) continue;
    line->table_name = table.name;
    if (line->column_name.empty()) return true;
    for (const ColumnInfo& column : table.columns) {
      if (!column.present || lower_name(column.name) != line->column_name) continue;
      line->column_name = column.name;
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<PolicyLine> policy_lines(const Settings& settings,
                                     const std::vector<TableInfo>& tables) {
  std::vector<PolicyLine> lines;
  for (const Setting* setting : settings.all()) {
    PolicyLine line;
    if (!split_policy_key(setting->key, &line.table_name, &line.column_name)) continue;
    if (setting->value.empty()) continue;  // taken back
    line.source = line.column_name.empty() ? "table" : "column";
    split(setting->value, &line.policy, &line.options);
    line.set_at = setting->hlc;
    line.set_by_site = to_hex(setting->site);
    if (!find_names(tables, &line)) line.source = "unused";
    lines.push_back(std::move(line));
  }
  std::sort(lines.begin(), lines.end(), [](const PolicyLine& a, const PolicyLine& b) {
    return a.table_name != b.table_name ? a.table_name < b.table_name
                                        : a.column_name < b.column_name;
  });
  return lines;
}

std::string policy_to_json(const TableInfo& table, std::string_view column, const Setting& setting,
                           uint64_t rows) {
  const auto quoted = [](std::string_view text) { return value_to_json(Value::text(text)); };
  std::string policy, options = "{}", column_json = "null";
  if (!setting.value.empty()) split(setting.value, &policy, &options);
  const int64_t found = column.empty() ? -1 : find_column(table.columns, column);
  if (found >= 0) column_json = quoted(table.columns[static_cast<size_t>(found)].name);
  return "{\"table\": " + quoted(table.name) + ", \"column\": " + column_json + ", \"policy\": " +
         (setting.value.empty() ? "\"default\"" : policy.empty() ? "null" : quoted(policy)) +
         ", \"options\": " + options + ", \"rows\": " + std::to_string(rows) + "}";
}

std::string translate_site_names(
    std::string_view options_json,
    const std::function<std::optional<SiteId>(const std::string&)>& find) {
  Json json = parse_json<Json>(options_json);
  if (!json.is_object() || !json.contains("order") || !json["order"].is_array()) {
    return std::string(options_json);
  }
  for (Json& item : json["order"]) {
    if (!item.is_string()) continue;
    const std::string name = item.get<std::string>();
    if (site_id_from_hex(name).ok()) continue;
    if (const std::optional<SiteId> id = find(name)) item = to_hex(*id);
  }
  return json_text(json);
}

}  // namespace syncline
