#include "syncline/types.h"

#include <cstring>

#include <xxhash.h>

namespace syncline {
namespace {

// -1: not a hex digit.
int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Status not_a_site_id(std::string_view text) {
  std::string shown(text.substr(0, 40));
  if (text.size() > shown.size()) shown += "...";
  return Status(StatusCode::invalid_argument, "'" + shown + "' is not a site id",
                "a site id is 32 hex digits, as sync_site_id() returns");
}

}  // namespace

std::string to_hex(const SiteId& id) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * id.bytes.size());
  for (uint8_t byte : id.bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

Result<SiteId> site_id_from_hex(std::string_view text) {
  SiteId id;
  if (text.size() != 2 * id.bytes.size()) return not_a_site_id(text);
  for (size_t i = 0; i < id.bytes.size(); ++i) {
    const int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return not_a_site_id(text);
    id.bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return id;
}

size_t SiteTable::Hash::operator()(const SiteId& id) const {
  return static_cast<size_t>(XXH3_64bits(id.bytes.data(), id.bytes.size()));
}

SiteIndex SiteTable::intern(const SiteId& id) {
  const auto [at, added] = by_id_.try_emplace(id, size());
  if (added) ids_.push_back(id);
  return at->second;
}

int64_t SiteTable::find(const SiteId& id) const {
  const auto at = by_id_.find(id);
  return at == by_id_.end() ? -1 : static_cast<int64_t>(at->second);
}

int compare_versions(const Version& a, const Version& b, const SiteTable& sites) {
  if (a.hlc != b.hlc) return a.hlc < b.hlc ? -1 : 1;
  if (a.site != b.site) {
    const int order = std::memcmp(sites.id(a.site).bytes.data(), sites.id(b.site).bytes.data(), 16);
    if (order != 0) return order < 0 ? -1 : 1;
  }
  if (a.seq != b.seq) return a.seq < b.seq ? -1 : 1;
  return 0;
}

}  // namespace syncline
