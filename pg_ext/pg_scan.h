// The keys that an exchange goes through in one table.
//
// An exchange goes in key order, but rows with news are found by position, and a base table is in
// the order of its own types. So their keys are collected and sorted: once a table and exchange,
// not once a chunk, for between chunks a session keeps what is left of the list. Rows that were
// changed since it was made are read as they are. Rows that came since are no business of an export
// of news; one of everything, and the receiver of one, add their keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/value.h"

namespace syncline::pg {

class ScanPlan {
 public:
  // Memory for keys: a million of uuids as text. A table with more is gone through anew for
  // each lot of half of it.
  static constexpr size_t kBytesMax = 72 << 20;

  // A key with its first bytes as a number, most significant first. Comparing those instead of
  // bytes that are anywhere in memory, and no allocation a key, took 1.7 us off the 7.4 us that
  // exporting a row of 1,000,000 took.
  struct Key {
    uint64_t head;
    std::string_view bytes;
    uint64_t place;  // where its base row stood when it was listed, or 0
    bool operator<(const Key& other) const {
      if (head != other.head) return head < other.head;
      return bytes != other.bytes ? bytes < other.bytes : place > other.place;
    }
    bool operator==(const Key& other) const { return bytes == other.bytes; }
  };

  void begin(uint32_t table, std::string_view after);
  // Adds a key in any order; keys up to last() are left out, and those that are there.
  void add(std::string_view key, uint64_t place);
  // REQUIRES: all keys were added.
  void finish();

  uint32_t table() const { return table_; }
  // The next keys, at most `count_max`; they stay until keys are added.
  std::span<const Key> next(size_t count_max);
  // Are all keys behind `after` here?
  bool covers(std::string_view after) const { return after >= std::string_view(first_); }
  // Goes to the first key behind `after`. REQUIRES: covers(after).
  void seek(std::string_view after);
  // There are keys behind the last of this lot.
  bool truncated() const { return truncated_; }
  // The last key given or, if none was, where the plan began.
  const std::string& last() const { return last_; }

 private:
  static Key as_key(std::string_view bytes, uint64_t place);
  void sort();
  void drop_half();

  uint32_t table_ = 0;
  std::string first_;
  std::string last_;
  std::string ceiling_;  // with truncated_: greater keys are left out
  Arena arena_;  // of the keys' bytes
  size_t bytes_used_ = 0;  // of arena_ and keys_
  std::vector<Key> keys_;
  size_t sorted_ = 0;  // so many are in order; the others were added since
  size_t at_ = 0;
  bool truncated_ = false;
};

// What one step of an exchange leaves to the next in this session.
struct KeptPlan {
  std::string token;  // that the next step has to begin with
  ScanPlan plan;
  int64_t position = 0;  // what came since is listed behind it
};

}  // namespace syncline::pg
