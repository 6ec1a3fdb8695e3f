// core maintain.h and membership.h: options and report of sync_maintain(), how sites stand, and who
// may be retired; of horizon.h, a rule about what melts that no database in memory comes to.
#include "support/catch.hpp"
#include "syncline/horizon.h"
#include "syncline/maintain.h"

using namespace syncline;

namespace {

constexpr uint64_t kDay = 86'400'000;

SiteId id_of(uint8_t byte) {
  SiteId id;
  id.bytes.fill(byte);
  return id;
}

// This site is 1; 2 and 3 are members, 4 was retired, of 5 only changes came.
struct Known {
  SiteState site;
  std::vector<Acknowledgement> heard;

  Known() {
    site.self = site.sites.intern(id_of(1));
    site.name = "here";
    site.now_ms = 1000 * kDay;
    for (uint8_t byte : {1, 2, 3, 4}) {
      Member member;
      member.id = id_of(byte);
      member.name = "site " + std::to_string(byte);
      member.engine = "an engine";
      member.version = "1.2";
      member.joined_ms = byte * kDay;
      put(make_member_setting(member));
    }
    put(make_retirement(id_of(4), 9 * kDay, "sold"));
    site.knowledge.set(site.self, {10, hlc_from_ms(100 * kDay)});
    site.knowledge.set(index(2), {20, hlc_from_ms(90 * kDay)});
    site.knowledge.set(index(5), {5, hlc_from_ms(50 * kDay)});
    Acknowledgement all{index(2), site.knowledge, 999 * kDay};
    Acknowledgement some{index(3), {}, 900 * kDay};
    some.vector.set(site.self, {7, hlc_from_ms(60 * kDay)});
    some.vector.set(index(2), {20, hlc_from_ms(90 * kDay)});
    heard = {all, some};
  }

  SiteIndex index(uint8_t byte) { return site.sites.intern(id_of(byte)); }
  void put(Setting setting) {
    setting.hlc = 1;
    setting.site = id_of(1);
    site.settings.merge(setting);
  }
};

const SiteStanding& standing(const std::vector<SiteStanding>& all, uint8_t byte) {
  for (const SiteStanding& one : all) {
    if (one.member.id == id_of(byte)) return one;
  }
  FAIL("no site " << int{byte});
  return all.front();
}

}  // namespace

TEST_CASE("maintain: options have defaults, and bad ones are named", "[maintain][unit]") {
  MaintainOptions options;
  REQUIRE(maintain_options_from_json("", &options).ok());
  CHECK(options.rows_max == 100'000);
  CHECK(options.keep_closed_days == 90);
  CHECK(options.retire_unseen_days == 0);
  REQUIRE(maintain_options_from_json(
              R"({"rows_max": 5, "keep_closed_days": 0, "retire_unseen_days": 30})", &options)
              .ok());
  CHECK(options.rows_max == 5);
  CHECK(options.keep_closed_days == 0);
  CHECK(options.retire_unseen_days == 30);
  for (const char* bad : {R"({"rows_max": 0})", R"({"rows_max": "x"})", R"({"rows_maxx": 1})"}) {
    const Status status = maintain_options_from_json(bad, &options);
    CHECK(status.code() == StatusCode::invalid_argument);
    CHECK((status.message() + status.hint()).find("rows_max") != std::string::npos);
  }
  CHECK_FALSE(maintain_options_from_json(R"({"retire_unseen_days": 0})", &options).ok());
}

TEST_CASE("maintain: the report has its keys in order", "[maintain][unit]") {
  MaintainReport report;
  report.melting.melted = 1;
  report.melting.looked_at = 2;
  report.melting.done = false;
  report.melting.waiting_for = {id_of(0xab)};
  report.conflicts_dropped = 3;
  report.events_dropped = 4;
  report.log_dropped = 5;
  report.bytes_metadata = 6;
  CHECK(report_to_json(report) ==
        R"({"rows_melted":1,"rows_looked_at":2,"done":false,"waiting_for":[")" +
            to_hex(id_of(0xab)) +
            R"("],"conflicts_dropped":3,"events_dropped":4,"log_dropped":5,"bytes_metadata":6})");
}

TEST_CASE("maintain: members and retirements are read back as they were made", "[maintain][unit]") {
  Known known;
  const std::vector<Member> members = list_members(known.site.settings);
  REQUIRE(members.size() == 4);
  CHECK(members[0].id == id_of(1));
  CHECK(members[1].name == "site 2");
  CHECK(members[1].engine == "an engine");
  CHECK(members[1].version == "1.2");
  CHECK(members[1].joined_ms == 2 * kDay);
  CHECK_FALSE(members[1].retired);
  CHECK(members[3].retired);
  CHECK(members[3].note == "sold");
  CHECK(members[3].retired_ms == 9 * kDay);
  CHECK(members[3].retired_by == id_of(1));
  CHECK(find_retirement(known.site.settings, id_of(4)) != nullptr);
  CHECK(find_retirement(known.site.settings, id_of(3)) == nullptr);
}

TEST_CASE("maintain: each site stands where it is known to be", "[maintain][unit]") {
  Known known;
  const std::vector<SiteStanding> all = list_sites(&known.site, known.heard);
  REQUIRE(all.size() == 5);
  CHECK(all[0].status == "self");
  CHECK(all[0].behind_changes == 0);
  CHECK_FALSE(all[0].holds_horizon);
  CHECK(standing(all, 2).status == "active");
  CHECK(standing(all, 2).behind_changes == 0);
  CHECK_FALSE(standing(all, 2).holds_horizon);
  const SiteStanding& behind = standing(all, 3);
  CHECK(behind.status == "active");
  CHECK(behind.heard);
  CHECK(behind.heard_ms == 900 * kDay);
  CHECK(behind.behind_changes == 8);   // 3 of this site's, 5 of site 5
  CHECK(behind.behind_ms == 40 * kDay);  // of this site's it has those up to day 60, not 100
  CHECK(behind.holds_horizon);
  CHECK(standing(all, 4).status == "retired");
  CHECK_FALSE(standing(all, 4).holds_horizon);
  CHECK(standing(all, 5).status == "unknown");
  CHECK_FALSE(standing(all, 5).heard);
  CHECK_FALSE(standing(all, 5).holds_horizon);
}

TEST_CASE("maintain: only who holds the horizon, and for long, is unseen", "[maintain][unit]") {
  Known known;
  const std::vector<SiteStanding> all = list_sites(&known.site, known.heard);
  CHECK(find_unseen(all, known.site.now_ms, 0).empty());
  CHECK(find_unseen(all, known.site.now_ms, 101).empty());
  CHECK(find_unseen(all, known.site.now_ms, 99) == std::vector<SiteId>{id_of(3)});
  CHECK(find_unseen(all, 2000 * kDay, 99) == std::vector<SiteId>{id_of(3)});
}

TEST_CASE("maintain: a site that is known can be retired, this one cannot", "[maintain][unit]") {
  Known known;
  const std::vector<SiteStanding> all = list_sites(&known.site, known.heard);
  const SiteStanding* found = nullptr;
  REQUIRE(find_retirable(all, to_hex(id_of(5)), &found).ok());
  CHECK(found->member.id == id_of(5));
  CHECK(find_retirable(all, to_hex(id_of(1)), &found).code() == StatusCode::refused);
  const Status stranger = find_retirable(all, "x", &found);
  CHECK(stranger.code() == StatusCode::invalid_argument);
  CHECK(stranger.hint().find(to_hex(id_of(2)) + " (site 2)") != std::string::npos);
  const std::string text = retirement_to_json(*found, "lost");
  CHECK(text.find("\"note\":\"lost\"") != std::string::npos);
  CHECK(text.find("already") == std::string::npos);
  CHECK(retirement_to_json(standing(all, 4), "").find("\"already\":true") != std::string::npos);
}

TEST_CASE("melting: a conflict that was opened again is not forgotten", "[melting][unit]") {
  SiteTable sites;
  const SiteIndex ann = sites.intern(id_of(1));
  TableInfo table;
  table.columns.resize(2);
  table.key = {0};
  table.baseline = melted_version(&sites);
  const Version version{3, hlc_from_ms(1000), ann, false};
  RowState row;
  row.column_count = 2;
  row.rest = {version};
  row.rest_values.assign(2, Value::same());
  VersionVector melted;
  melted.set(ann, {3, version.hlc});
  CHECK(can_melt(row, table, melted));
  row.set_note(kRowNote, version, "{\"actor\": \"ann\"}");
  CHECK(can_melt(row, table, melted));
  row.set_note(kRowNote, version, "{\"reopens\": {\"id\": \"ab\"}}");
  CHECK_FALSE(can_melt(row, table, melted));
}
