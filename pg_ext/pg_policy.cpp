// Policies and origins for the C side: what capture has to know, and what calls say.
#include <optional>
#include <string>
#include <vector>

#include "pg_ext/pg_port.h"
#include "pg_ext/sl_decide.h"
#include "syncline/conflict_text.h"
#include "syncline/limits.h"
#include "syncline/origin.h"
#include "syncline/policy_report.h"
#include "syncline/policy_suggestion.h"

namespace syncline::pg {

namespace {

template <int kUse>
std::string& buffer() {
  static std::string text;
  return text;
}

Status find_table_info(uint32_t number, const std::vector<TableInfo>& tables,
                       const TableInfo** out) {
  for (const TableInfo& table : tables) {
    if (table.number == number) *out = &table;
  }
  return *out != nullptr ? Status() : Status(StatusCode::internal, "the table is not registered");
}

Status set_policy(uint32_t number, std::string_view column, std::string_view policy,
                  std::string_view options, std::string* json) {
  SiteState site;
  std::vector<TableInfo> tables;
  const TableInfo* table = nullptr;
  SYNCLINE_TRY(load_site(&site));
  SYNCLINE_TRY(load_tables(site.settings, &tables));
  SYNCLINE_TRY(find_table_info(number, tables, &table));
  SlSiteNames names = {};
  SYNCLINE_TRY(guard(sl_leaf_site_names, &names));
  const std::string translated =
      translate_site_names(options, [&](const std::string& name) -> std::optional<SiteId> {
        for (uint32_t i = 0; i < names.count; ++i) {
          const Result<SiteId> id = site_id_from_hex(view(names.ids[i]));
          if (view(names.names[i]) == name && id.ok()) return id.value();
        }
        return std::nullopt;
      });
  Setting setting;
  SYNCLINE_TRY(make_policy_setting(*table, column, policy, translated, site.settings, &setting));
  ApplyReport report;
  SYNCLINE_TRY(store_setting(site, &setting, &report));
  *json = policy_to_json(*table, column, setting, report.applied);
  return {};
}

Status follow_rename(std::string_view table, std::string_view column, std::string_view name) {
  SiteState site;
  SYNCLINE_TRY(load_site(&site));
  const std::vector<Setting> made = rename_policies(table, column, name, &site.settings);
  return made.empty() ? Status() : save_settings(made);
}

Status list_policies(void* target) {
  SiteState site;
  std::vector<TableInfo> tables;
  SYNCLINE_TRY(load_site(&site));
  SYNCLINE_TRY(load_tables(site.settings, &tables));
  for (const PolicyLine& line : policy_lines(site.settings, tables)) {
    SYNCLINE_TRY(put_row(target, {line.table_name, line.column_name, line.policy, line.options,
                                  time_text(hlc_to_ms(line.set_at)), line.set_by_site,
                                  line.source}));
  }
  return {};
}

}  // namespace

}  // namespace syncline::pg

using namespace syncline;
using namespace syncline::pg;

SlBytes slb_origin_text(SlBytes actor, SlBytes context, SlStatus* status) {
  std::string& out = buffer<0>();
  bounded(status, [&]() -> Status {
    Origin origin;
    origin.actor = view(actor);
    origin.context = view(context);
    out = origin_to_text(origin);
    if (out.size() <= limits::setting_value_bytes_max) return {};
    return Status(StatusCode::limit_exceeded, "the actor and its context are too long",
                  "together they may have " + std::to_string(limits::setting_value_bytes_max) +
                      " bytes");
  });
  return bytes(out);
}

void slb_noted_columns(const SlTableDef* def, const SlSettingRow* rows, uint32_t count, bool* noted,
                       SlStatus* status) {
  bounded(status, [&]() -> Status {
    Settings settings;
    for (uint32_t i = 0; i < count; ++i) settings.merge(setting_of(rows[i]));
    std::vector<TableInfo> tables{table_info(*def)};
    apply_policies(settings, &tables);
    for (ColumnNumber c = 0; c < tables[0].column_count(); ++c) {
      const auto& policy = tables[0].columns[c].policy;
      noted[c] = policy && policy->needs_notes();
    }
    return {};
  });
}

void slb_rename_policies(SlBytes table, SlBytes column, SlBytes new_name, SlStatus* status) {
  bounded(status, [&] { return follow_rename(view(table), view(column), view(new_name)); });
}

SlBytes slb_set_policy(uint32_t table, SlBytes column, SlBytes policy, SlBytes options,
                       SlStatus* status) {
  std::string& out = buffer<1>();
  bounded(status, [&] {
    return set_policy(table, view(column), view(policy), view(options), &out);
  });
  return bytes(out);
}

SlBytes slb_local_policy(SlBytes table, SlBytes column, bool local, SlStatus* status) {
  std::string& out = buffer<2>();
  bounded(status, [&]() -> Status {
    TableInfo named;
    named.name = view(table);
    ColumnInfo info;
    info.name = view(column);
    named.columns.push_back(info);
    Setting none;
    if (local) none.value = R"({"policy": "local"})";
    out = policy_to_json(named, view(column), none, 0);
    return {};
  });
  return bytes(out);
}

void slb_policies(void* target, SlStatus* status) {
  bounded(status, [&] { return list_policies(target); });
}

void slb_suggest_policies(const SlTableDef* def, const uint32_t* unique, uint32_t count,
                          void* target, SlStatus* status) {
  bounded(status, [&]() -> Status {
    const TableInfo table = table_info(*def);
    for (const PolicySuggestion& s : suggest_policies(table, {unique, count})) {
      SYNCLINE_TRY(put_row(target, {s.column, s.policy, s.reason}));
    }
    return {};
  });
}
