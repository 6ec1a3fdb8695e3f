// Policies that the look of a table suggests: what sync_suggest_policies returns. Nothing is set.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "syncline/table.h"

namespace syncline {

struct PolicySuggestion {
  std::string column, policy, reason;
};

// One for each present column beside the key, in their order. `unique`: columns that a unique index
// or constraint names. Goes by names ("stock", "updated_at"), types and uniqueness only.
std::vector<PolicySuggestion> suggest_policies(const TableInfo& table,
                                               std::span<const ColumnNumber> unique);

}  // namespace syncline
