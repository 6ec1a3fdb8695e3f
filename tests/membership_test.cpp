// Members and retirements (membership.cpp) as settings, and back.
#include "support/catch.hpp"
#include "support/generators.hpp"
#include "syncline/membership.h"

using namespace syncline;
using namespace syncline::test;

TEST_CASE("membership: members and retirements are read back from settings", "[membership][unit]") {
  Settings settings;
  Member member;
  member.id = site_id(4);
  member.name = "till \"7\"";
  member.engine = "sqlite 3.40.1";
  member.joined_ms = 5;
  Setting of_member = make_member_setting(member), gone = make_retirement(site_id(4), 9, "lost");
  gone.site = site_id(1);
  settings.merge(of_member);
  CHECK(find_retirement(settings, site_id(4)) == nullptr);
  settings.merge(gone);
  const std::vector<Member> all = list_members(settings);
  REQUIRE(all.size() == 1);
  CHECK(all[0].name == member.name);
  CHECK(all[0].engine == member.engine);
  CHECK(all[0].joined_ms == 5);
  CHECK(all[0].retired);
  CHECK(all[0].retired_ms == 9);
  CHECK(all[0].retired_by == site_id(1));
  CHECK(all[0].note == "lost");
  // What a stranger writes into settings is read as little as it says.
  Setting odd;
  odd.key = "site/" + std::string(32, 'z');
  odd.value = "[]";
  settings.merge(odd);
  odd.key = "site/" + to_hex(site_id(5));
  settings.merge(odd);
  CHECK(list_members(settings).size() == 2);
}
