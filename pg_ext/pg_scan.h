// The keys that an export goes through in one table.
//
// An exchange goes in key order, but rows with news are found by position, so their keys are
// collected and sorted. That is done once a table and exchange, not once a chunk: between chunks a
// session keeps what is left of the list. Rows that were changed since it was made are read as they
// are; rows that came since are no business of this exchange.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace syncline::pg {

class ScanPlan {
 public:
  // Memory: so many keys at a time. A table with more is gone through anew for each lot.
  static constexpr size_t kKeysMax = 500'000;

  void begin(uint32_t table, std::string_view after);
  // Keys may be added again: those before where the plan is at are left out.
  void extend();
  // Adds a key in any order; keys up to `after` are left out.
  void add(std::string_view key);
  // REQUIRES: all keys were added.
  void finish();

  uint32_t table() const { return table_; }
  // The next keys, at most `count_max`.
  std::vector<std::string_view> next(size_t count_max);
  // Goes to the first key behind `after`.
  void seek(std::string_view after);
  // There are keys behind the last of this lot.
  bool truncated() const { return truncated_; }
  // The last key given or, if none was, where the plan began.
  const std::string& last() const { return last_; }

 private:
  void shrink();

  uint32_t table_ = 0;
  std::string last_;
  std::string ceiling_;  // with truncated_: greater keys are left out
  std::vector<std::string> keys_;
  size_t at_ = 0;
  bool truncated_ = false;
};

}  // namespace syncline::pg
