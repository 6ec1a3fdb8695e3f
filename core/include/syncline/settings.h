// Settings that every site shares: policies, and whatever else must come to be the same everywhere.
//
// A setting is a register: the greatest (hlc, site id) wins. The whole map is a join semilattice,
// so it travels whole, with every chunk, and needs no knowledge of its own. It stays small: a
// setting a column that has a policy.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/status.h"
#include "syncline/types.h"

namespace syncline {

struct Setting {
  std::string key;    // "policy/<table>[/<column>]", lower case; membership.h has others
  std::string value;  // JSON text; empty: taken back
  Hlc hlc = 0;
  SiteId site;
};

// Greater wins.
bool later_setting(const Setting& a, const Setting& b);

class Settings {
 public:
  // Takes over `setting` unless what is here is as late or later. Returns whether it did.
  bool merge(const Setting& setting);
  // The value of a key, or null if it was never set or was taken back.
  const std::string* find(std::string_view key) const;
  // The same, with those taken back, as a whole; null: nobody ever set it.
  const Setting* find_setting(std::string_view key) const;
  // Including those taken back, in key order.
  std::vector<const Setting*> all() const;
  bool empty() const { return by_key_.empty(); }
  size_t size() const { return by_key_.size(); }
  // An hlc for a new value of `key`, above the one it replaces. `now` is the clock's.
  Hlc next_hlc(std::string_view key, Hlc now) const;

 private:
  std::map<std::string, Setting, std::less<>> by_key_;
};

}  // namespace syncline
