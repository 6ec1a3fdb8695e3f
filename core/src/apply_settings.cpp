// Settings that arrive with a chunk or are made here, and the rows that show other values under new
// policies: those with several versions in a cell. The versions stay; only what is seen changes.
#include <algorithm>

#include "apply_run.h"

namespace syncline {
// Before the rows of the same chunk, so that they are merged under the policies their sender has.
Status ApplyRun::take_settings(std::span<const Setting> settings) {
  for (const Setting& setting : settings) {
    SYNCLINE_TRY(check_clock(setting.hlc));
    if (!site_.settings.merge(setting)) continue;
    update_.settings_new.push_back(setting);
    update_.hlc_max = std::max(update_.hlc_max, setting.hlc);
    std::string table, column;
    if (split_policy_key(setting.key, &table, &column)) tables_with_new_policies_.insert(table);
  }
  if (update_.settings_new.empty()) return {};
  tables_before_ = tables_;
  apply_policies(site_.settings, &tables_);
  return {};
}

Status ApplyRun::recompute_rows() {
  if (tables_with_new_policies_.empty()) return {};
  const ApplyReport counted = report_;
  for (size_t i = 0; i < tables_.size(); ++i) {
    if (!tables_with_new_policies_.count(lower_name(tables_[i].name))) continue;
    table_before_ = &tables_before_[i];
    SYNCLINE_TRY(recompute_table(tables_[i]));
  }
  table_before_ = nullptr;
  report_.unchanged = counted.unchanged;
  return {};
}

Status ApplyRun::recompute_table(const TableInfo& table) {
  return rewrite_contested(table, [](Work* work, bool* touched) -> Status {
    *touched = may_conflict(work->before);
    return {};
  });
}

Status ApplyRun::change_settings(std::span<const Setting> settings) {
  SYNCLINE_TRY(load());
  SYNCLINE_TRY(take_settings(settings));
  SYNCLINE_TRY(recompute_rows());
  SYNCLINE_TRY(settle());
  SYNCLINE_TRY(record());
  update_.sender = site_.sites.id(site_.self);
  report_.complete = true;
  return update_.settings_new.empty() ? Status() : port_.save_exchange(site_, update_);
}

}  // namespace syncline
