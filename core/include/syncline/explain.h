// Why a row shows what it shows: what sync_explain returns, computed from the row's versions.
#pragma once

#include <string>
#include <vector>

#include "syncline/row_state.h"

namespace syncline {

struct ExplainedCell {
  std::string column;     // empty: whether the row exists
  std::string value;      // JSON; empty: it has none. Of the row: "live", "deleted" or "held"
  std::string site;       // 32 hex digits: who wrote the version shown; empty: nobody
  uint64_t seq = 0;
  Hlc hlc = 0;            // 0: a baseline, written before tracking began
  std::string actor;      // who that was, where the application said so
  std::string rule;       // a sentence: why this is shown
  std::string lost = "[]";  // JSON: [{"value", "site", "seq", "at", "actor"}, ...]
};

// Replaces *out by one entry for the row, then one a column in their order, key columns left out.
// With the policies counter, union, concat, json, text and sql, `site` and `seq` are those of the
// greatest version that went into the value. REQUIRES: values are resolved (no Value::same()).
void explain_row(const TableInfo& table, const RowState& row, const SiteTable& sites,
                 std::vector<ExplainedCell>* out);

// The key that somebody names in a call: the JSON object {"column": value, ...}, or, of a key of
// one column, its value. Errors: invalid_argument, naming the column. Bytes live in `arena`.
Status key_from_argument(const TableInfo& table, const Value& given, Arena* arena,
                         std::vector<Value>* key);

}  // namespace syncline
