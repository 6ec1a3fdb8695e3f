// Sites: what this one says of itself, who is retired, and what is known of each. See core
// membership.h and maintain.h.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "pg_ext/pg_port.h"
#include "syncline/conflict_text.h"
#include "syncline/limits.h"
#include "syncline/maintain.h"

namespace syncline::pg {

Status store_setting(const SiteState& site, Setting* setting, ApplyReport* report) {
  setting->hlc =
      site.settings.next_hlc(setting->key, next_hlc(static_cast<int64_t>(site.now_ms)));
  setting->site = site.sites.id(site.self);
  PgPort port(true);
  SYNCLINE_TRY(change_settings(&port, {setting, 1}, report));
  SYNCLINE_TRY(port.finish());
  // A change of this site's, without a row: peers see that there is something to fetch.
  SlCounters& counters = *sl_counters();
  ++counters.next_seq;
  return add_own_growth(site, counters.position);
}

namespace {

// When nothing is new, that a peer was heard is written down once in so many milliseconds.
constexpr uint64_t kHeardEveryMs = 60'000;

std::string& retired_json() {
  static std::string text;
  return text;
}

Status store(const SiteState& site, Setting setting) {
  ApplyReport report;
  return store_setting(site, &setting, &report);
}

Status register_site(std::string_view engine) {
  SiteState site;
  SYNCLINE_TRY(load_site(&site));
  Member self;
  self.id = site.sites.id(site.self);
  self.joined_ms = site.now_ms;
  for (const Member& member : list_members(site.settings)) {
    if (member.id == self.id && member.joined_ms > 0) self.joined_ms = member.joined_ms;
  }
  self.name = site.name;
  self.engine = engine;
  self.version = SYNCLINE_VERSION;
  const Setting setting = make_member_setting(self);
  const std::string* known = site.settings.find(setting.key);
  return known != nullptr && *known == setting.value ? Status() : store(site, setting);
}

// What the views of sites show a part of.
struct Sites {
  SiteState site;
  std::vector<SiteStanding> standings;
  std::map<SiteIndex, int64_t> ahead_ms;

  // Only reads.
  Status load() {
    SYNCLINE_TRY(load_site(&site));
    SlAcks acks = {};
    SYNCLINE_TRY(guard(sl_leaf_load_acks, &acks));
    std::vector<Acknowledgement> heard;
    for (uint32_t i = 0; i < acks.count; ++i) {
      const SlAck& ack = acks.list[i];
      Acknowledgement& one = heard.emplace_back();
      one.site = static_cast<SiteIndex>(ack.site);
      one.heard_ms = static_cast<uint64_t>(ack.heard_ms);
      SYNCLINE_TRY(unpack_vector(ack.vector, &site.sites, &one.vector));
      if (ack.met) ahead_ms[one.site] = ack.ahead_ms;
    }
    standings = list_sites(&site, heard);
    return {};
  }
};

Status retire(const Sites& sites, const SiteStanding& standing, std::string_view note) {
  const SiteId& id = standing.member.id;
  // Its number may be a new one: then there is no exchange with it.
  int32_t number = static_cast<int32_t>(standing.index);
  SYNCLINE_TRY(guard(sl_leaf_drop_incoming, &number));
  return store(sites.site, make_retirement(id, sites.site.now_ms, note));
}

Status retire_site(std::string_view id, std::string_view note) {
  if (note.size() > limits::label_bytes_max) {
    return Status(StatusCode::invalid_argument,
                  "the note is longer than " + std::to_string(limits::label_bytes_max) + " bytes");
  }
  Sites sites;
  SYNCLINE_TRY(sites.load());
  const SiteStanding* found = nullptr;
  SYNCLINE_TRY(find_retirable(sites.standings, id, &found));
  if (!found->member.retired) SYNCLINE_TRY(retire(sites, *found, note));
  retired_json() = retirement_to_json(*found, note);
  return {};
}

std::string number(int64_t value) { return std::to_string(value); }

Status list_rows(void* target) {
  Sites sites;
  SYNCLINE_TRY(sites.load());
  for (const SiteStanding& standing : sites.standings) {
    const Member& member = standing.member;
    const auto ahead = sites.ahead_ms.find(standing.index);
    const bool self = &standing == sites.standings.data();
    const bool heard = standing.heard;
    SYNCLINE_TRY(put_row(
        target,
        {to_hex(member.id), self ? sites.site.name : member.name, member.engine, member.version,
         std::string(standing.status), time_text(member.joined_ms),
         time_text(heard ? standing.heard_ms : 0), time_text(member.retired_ms),
         member.retired ? to_hex(member.retired_by) : std::string(),
         heard ? vector_to_json(standing.has, sites.site.sites) : std::string(),
         number(static_cast<int64_t>(standing.behind_changes)),
         number(static_cast<int64_t>(standing.behind_ms)),
         ahead == sites.ahead_ms.end() ? std::string() : number(ahead->second),
         standing.holds_horizon ? "t" : "f"}));
  }
  return {};
}

Status list_matrix(void* target) {
  Sites sites;
  SYNCLINE_TRY(sites.load());
  const VersionVector& ours = sites.site.knowledge;
  for (const SiteStanding& standing : sites.standings) {
    if (!standing.heard) continue;
    for (const SiteStanding& of : sites.standings) {
      const auto seq = static_cast<int64_t>(standing.has.seq(of.index));
      const auto known = static_cast<int64_t>(ours.seq(of.index));
      if (known == 0 && seq == 0) continue;
      SYNCLINE_TRY(put_row(target, {to_hex(standing.member.id), to_hex(of.member.id), number(seq),
                                    number(std::max<int64_t>(known - seq, 0))}));
    }
  }
  return {};
}

// What is known of one site, oldest first.
class History {
 public:
  Status tell(std::string_view id_hex, void* target) {
    const Result<SiteId> id = site_id_from_hex(id_hex);
    if (!id.ok()) {
      return Status(StatusCode::invalid_argument, "sync_site_history needs the id of a site",
                    "32 hex digits, as in sync_sites");
    }
    SYNCLINE_TRY(sites_.load());
    for (const SiteStanding& standing : sites_.standings) {
      if (standing.member.id == id.value()) SYNCLINE_TRY(gather(standing));
    }
    std::stable_sort(lines_.begin(), lines_.end(),
                     [](const Line& a, const Line& b) { return a.ms < b.ms; });
    for (const Line& line : lines_) {
      SYNCLINE_TRY(put_row(target, {time_text(line.ms), std::string(line.event), line.detail}));
    }
    return {};
  }

 private:
  struct Line {
    uint64_t ms = 0;
    std::string_view event;
    std::string detail;
  };

  Status gather(const SiteStanding& of) {
    const Member& member = of.member;
    const bool self = &of == sites_.standings.data();
    if (member.joined_ms > 0) {
      add(member.joined_ms, "registered", member.engine + ", syncline " + member.version);
      const Setting* said = sites_.site.settings.find_setting(make_member_setting(member).key);
      if (said != nullptr && !member.name.empty()) {
        add(std::max(hlc_to_ms(said->hlc), member.joined_ms), "renamed", member.name);
      }
    }
    SYNCLINE_TRY(tell_incarnation(of, self));
    if (member.retired) {
      std::string by = "by " + to_hex(member.retired_by);
      if (!member.note.empty()) by += ": " + member.note;
      add(member.retired_ms, "retired", by);
    }
    if (of.heard && !self) {
      add(of.heard_ms, "acknowledged", vector_to_json(of.has, sites_.site.sites));
    }
    return {};
  }

  // The id that this database has, and the one before it.
  Status tell_incarnation(const SiteStanding& of, bool self) {
    SlPredecessor predecessor = {-1};
    SYNCLINE_TRY(guard(sl_leaf_predecessor, &predecessor));
    const SiteTable& ids = sites_.site.sites;
    const bool any = predecessor.site >= 0;
    const auto before = static_cast<SiteIndex>(any ? predecessor.site : 0);
    std::string text = "an id of this database";
    if (self) {
      if (any) text += ", after " + to_hex(ids.id(before));
    } else if (any && of.index == before) {
      text += ", before " + to_hex(ids.id(sites_.site.self));
    } else {
      return {};
    }
    add(of.member.joined_ms, "incarnation", text);
    return {};
  }

  void add(uint64_t ms, std::string_view event, std::string detail) {
    lines_.push_back({ms, event, std::move(detail)});
  }

  Sites sites_;
  std::vector<Line> lines_;
};

Status has_news(std::string_view id_hex, std::string_view vector_json, bool* yes) {
  SiteState site;
  SYNCLINE_TRY(load_site(&site));
  VersionVector vector;
  SYNCLINE_TRY(vector_from_json(vector_json, &site.sites, &vector));
  const Result<SiteId> id = site_id_from_hex(id_hex);
  if (!id.ok()) return id.status();
  const auto number = static_cast<int32_t>(site.sites.intern(id.value()));
  SlAcks acks = {};
  acks.sites = &number;
  acks.site_count = 1;
  SYNCLINE_TRY(guard(sl_leaf_load_acks, &acks));
  *yes = true;
  if (acks.count == 0 || !acks.list[0].met) return {};
  VersionVector known;
  SYNCLINE_TRY(unpack_vector(acks.list[0].vector, &site.sites, &known));
  const auto heard_ms = static_cast<uint64_t>(acks.list[0].heard_ms);
  *yes = !vector.covered_by(known) || heard_ms + kHeardEveryMs < site.now_ms;
  return {};
}

Status hear(std::string_view id_hex, std::string_view vector, int64_t ahead_ms) {
  PgPort port(true);
  SYNCLINE_TRY(hear_peer(&port, id_hex, vector));
  SYNCLINE_TRY(port.finish());
  SiteState site;
  SYNCLINE_TRY(load_site(&site));
  const Result<SiteId> id = site_id_from_hex(id_hex);
  if (!id.ok()) return id.status();
  const SiteIndex known = site.sites.size();
  SlAck ack = {};
  ack.site = static_cast<int32_t>(site.sites.intern(id.value()));
  ack.heard_ms = static_cast<int64_t>(site.now_ms);
  ack.ahead_ms = ahead_ms;
  SYNCLINE_TRY(save_sites(site.sites, known));
  return guard(sl_leaf_save_meeting, &ack);
}

}  // namespace

Status retire_unseen(uint64_t days) {
  Sites sites;
  SYNCLINE_TRY(sites.load());
  const std::string note = "not heard of for " + std::to_string(days) + " days";
  for (const SiteId& id : find_unseen(sites.standings, sites.site.now_ms, days)) {
    const auto found =
        std::find_if(sites.standings.begin(), sites.standings.end(),
                     [&](const SiteStanding& standing) { return standing.member.id == id; });
    SYNCLINE_TRY(retire(sites, *found, note));
  }
  return {};
}

}  // namespace syncline::pg

using namespace syncline;
using namespace syncline::pg;

void slb_register_site(SlBytes engine, SlStatus* status) {
  bounded(status, [&] { return register_site(view(engine)); });
}

SlBytes slb_retire_site(SlBytes id, SlBytes note, SlStatus* status) {
  bounded(status, [&] { return retire_site(view(id), view(note)); });
  return bytes(retired_json());
}

bool slb_has_peer_news(SlBytes site, SlBytes vector, SlStatus* status) {
  bool yes = false;
  bounded(status, [&] { return has_news(view(site), view(vector), &yes); });
  return yes;
}

void slb_hear_peer(SlBytes site, SlBytes vector, int64_t ahead_ms, SlStatus* status) {
  bounded(status, [&] { return hear(view(site), view(vector), ahead_ms); });
}

void slb_sites(void* target, SlStatus* status) {
  bounded(status, [&] { return list_rows(target); });
}

void slb_site_matrix(void* target, SlStatus* status) {
  bounded(status, [&] { return list_matrix(target); });
}

void slb_site_history(SlBytes id, void* target, SlStatus* status) {
  bounded(status, [&] { return History().tell(view(id), target); });
}
