// See settings.h.
#include "syncline/settings.h"

#include <algorithm>
#include <tuple>

namespace syncline {

bool later_setting(const Setting& a, const Setting& b) {
  // Two values of one (hlc, site) cannot be, unless someone lies: then the text decides.
  return std::tie(a.hlc, a.site, a.value) > std::tie(b.hlc, b.site, b.value);
}

bool Settings::merge(const Setting& setting) {
  const auto [at, added] = by_key_.try_emplace(setting.key, setting);
  if (added) return true;
  if (!later_setting(setting, at->second)) return false;
  at->second = setting;
  return true;
}

const std::string* Settings::find(std::string_view key) const {
  const auto at = by_key_.find(key);
  return at == by_key_.end() || at->second.value.empty() ? nullptr : &at->second.value;
}

const Setting* Settings::find_setting(std::string_view key) const {
  const auto at = by_key_.find(key);
  return at == by_key_.end() ? nullptr : &at->second;
}

std::vector<const Setting*> Settings::all() const {
  std::vector<const Setting*> out;
  out.reserve(by_key_.size());
  for (const auto& entry : by_key_)
    out.push_back(&entry.second);
  return out;
}

Hlc Settings::next_hlc(std::string_view key, Hlc now) const {
  const auto at = by_key_.find(key);
  return at == by_key_.end() ? now : std::max(now, at->second.hlc + 1);
}

}  // namespace syncline
