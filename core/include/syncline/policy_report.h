// Policies for people: what sync_policies shows and sync_set_policy returns.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/settings.h"
#include "syncline/table.h"

namespace syncline {

// A row of sync_policies. `options` is a JSON object; `source` says who goes by it: "column", or
// "table" for every column without a policy of its own, "unused": nobody, there is no such table or
// column here (hosts add "local" ones).
struct PolicyLine {
  std::string table_name, column_name, policy, options, set_by_site, source;
  Hlc set_at = 0;
};

// One line a setting that is not taken back, in the order of tables, then columns, with the names
// as the tables spell them.
std::vector<PolicyLine> policy_lines(const Settings& settings,
                                     const std::vector<TableInfo>& tables);

// {"table", "column", "policy", "options", "rows"}: what sync_set_policy returns for a setting that
// was made; `rows` is how many rows show something else since.
std::string policy_to_json(const TableInfo& table, std::string_view column, const Setting& setting,
                           uint64_t rows);

// Puts site ids in place of names in the "order" of sync_set_policy's options; `find` knows names.
// What is no name stays, for make_policy_setting to judge.
std::string translate_site_names(
    std::string_view options_json,
    const std::function<std::optional<SiteId>(const std::string&)>& find);

}  // namespace syncline
