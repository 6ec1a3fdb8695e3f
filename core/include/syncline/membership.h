// Which sites there are: what each says of itself, and which were retired.
//
// Both are settings (settings.h), so they are the same everywhere after an exchange, and arrive
// before the rows that come with them:
//
//   site/<id>      {"name": ..., "engine": ..., "version": ..., "joined_ms": ...}
//   retired/<id>   {"at_ms": ..., "note": ...}
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "syncline/settings.h"

namespace syncline {

struct Member {
  SiteId id;
  std::string name, engine, version;
  uint64_t joined_ms = 0;
  bool retired = false;
  uint64_t retired_ms = 0;
  SiteId retired_by;
  std::string note;  // why it was retired
};

// All sites that said something of themselves, or were retired, by id.
std::vector<Member> list_members(const Settings& settings);
// Ids alone, ascending: of members that are not retired, and of retired sites.
std::vector<SiteId> member_ids(const Settings& settings);
std::vector<SiteId> retired_ids(const Settings& settings);
// Null: not retired.
const Setting* find_retirement(const Settings& settings, const SiteId& id);

// What `member.id` says of itself; hlc and site are for the caller to fill in.
Setting make_member_setting(const Member& member);
Setting make_retirement(const SiteId& id, uint64_t now_ms, std::string_view note);

}  // namespace syncline
