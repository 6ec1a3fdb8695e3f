#include "syncline/maintain.h"

#include <algorithm>
#include <map>

#include "json_options.h"
#include "syncline/limits.h"
#include "syncline/table.h"

namespace syncline {
namespace {

using Json = OrderedJson;

constexpr uint64_t kDaysMax = 36'500;
constexpr uint64_t kMsPerDay = 86'400'000;
constexpr size_t kNamedMax = 3;

std::string called(const Member& member) {
  const std::string id = to_hex(member.id);
  return member.name.empty() ? id : id + " (" + member.name + ")";
}

void compare_knowledge(const SiteState& site, SiteStanding* out) {
  Hlc newest = 0;
  for (SiteIndex s = 0; s < out->has.size(); ++s)
    newest = std::max(newest, out->has.entry(s).hlc);
  for (SiteIndex s = 0; s < site.knowledge.size(); ++s) {
    const VectorEntry ours = site.knowledge.entry(s), theirs = out->has.entry(s);
    if (theirs.seq >= ours.seq) continue;
    out->behind_changes += ours.seq - theirs.seq;
    uint64_t then = hlc_to_ms(theirs.seq > 0 ? theirs.hlc : newest);
    if (then == 0) then = out->member.joined_ms;
    const uint64_t now = hlc_to_ms(ours.hlc);
    if (then > 0 && now > then) out->behind_ms = std::max(out->behind_ms, now - then);
  }
}

}  // namespace

Status maintain_options_from_json(std::string_view json, MaintainOptions* out) {
  JsonOptions in("sync_maintain");
  SYNCLINE_TRY(in.parse(json));
  SYNCLINE_TRY(in.number("rows_max", 1, uint64_t{1} << 40, &out->rows_max));
  SYNCLINE_TRY(in.number("keep_closed_days", 0, kDaysMax, &out->keep_closed_days));
  SYNCLINE_TRY(in.number("retire_unseen_days", 1, kDaysMax, &out->retire_unseen_days));
  return in.finish();
}

std::string report_to_json(const MaintainReport& report) {
  Json waiting = Json::array();
  for (const SiteId& id : report.melting.waiting_for) waiting.push_back(to_hex(id));
  return json_text(Json{{"rows_melted", report.melting.melted},
                        {"rows_looked_at", report.melting.looked_at},
                        {"done", report.melting.done},
                        {"waiting_for", waiting},
                        {"conflicts_dropped", report.conflicts_dropped},
                        {"events_dropped", report.events_dropped},
                        {"log_dropped", report.log_dropped},
                        {"bytes_metadata", report.bytes_metadata}});
}

std::vector<SiteStanding> list_sites(SiteState* site, std::span<const Acknowledgement> heard) {
  std::map<SiteId, SiteStanding> standings;
  const auto add = [&](SiteIndex index) {
    if (site->sites.id(index) == kNobody) return;
    SiteStanding& standing = standings[site->sites.id(index)];
    standing.index = index;
    standing.member.id = site->sites.id(index);
    standing.status = "unknown";
  };
  add(site->self);
  for (SiteIndex s = 0; s < site->knowledge.size(); ++s) {
    if (site->knowledge.seq(s) > 0) add(s);
  }
  for (const Acknowledgement& ack : heard) add(ack.site);
  for (const Member& member : list_members(site->settings)) {
    add(site->sites.intern(member.id));
    SiteStanding& standing = standings[member.id];
    standing.member = member;
    standing.status = member.retired ? "retired" : "active";
  }
  for (const Acknowledgement& ack : heard) {
    const auto found = standings.find(site->sites.id(ack.site));
    if (found == standings.end()) continue;
    found->second.heard = true;
    found->second.has = ack.vector;
    found->second.heard_ms = ack.heard_ms;
  }
  std::vector<SiteStanding> out;
  const SiteId self = site->sites.id(site->self);
  for (auto& [id, standing] : standings) {
    const bool own = id == self;
    if (own) {
      standing.heard = true;
      standing.has = site->knowledge;
      standing.heard_ms = site->now_ms;
      if (!standing.member.retired) standing.status = "self";
    }
    compare_knowledge(*site, &standing);
    standing.holds_horizon = standing.status == "active" && standing.behind_changes > 0;
    out.insert(own ? out.begin() : out.end(), std::move(standing));
  }
  return out;
}

std::vector<SiteId> find_unseen(std::span<const SiteStanding> sites, uint64_t now_ms,
                                uint64_t days) {
  std::vector<SiteId> out;
  if (days == 0) return out;
  for (const SiteStanding& site : sites) {
    const uint64_t seen = std::max(site.heard ? site.heard_ms : 0, site.member.joined_ms);
    if (site.holds_horizon && seen + days * kMsPerDay < now_ms) out.push_back(site.member.id);
  }
  return out;
}

Status find_retirable(std::span<const SiteStanding> sites, std::string_view id_hex,
                      const SiteStanding** out) {
  std::vector<std::string> ids;
  std::string known;
  const Result<SiteId> id = site_id_from_hex(id_hex);
  for (const SiteStanding& site : sites) {
    if (id.ok() && site.member.id == id.value()) {
      *out = &site;
      if (&site != sites.data()) return {};
      return Status(StatusCode::refused, "a database cannot retire itself",
                    "call sync_retire_site('" + to_hex(site.member.id) + "') on another one");
    }
    if (&site == sites.data()) continue;
    ids.push_back(to_hex(site.member.id));
    if (ids.size() <= kNamedMax) known += (known.empty() ? "" : ", ") + called(site.member);
  }
  const std::string nearest = nearest_name(id_hex, ids);
  std::string hint = "sync_sites has all that are known";
  if (!nearest.empty()) hint = "did you mean " + nearest + "?";
  if (nearest.empty() && !known.empty()) {
    hint = "known here: " + known + (ids.size() > kNamedMax ? ", ...; " : "; ") + hint;
  }
  return Status(StatusCode::invalid_argument,
                "no site of id \"" + std::string(id_hex) + "\" is known", hint);
}

std::string retirement_to_json(const SiteStanding& site, std::string_view note) {
  Json out = {{"site", to_hex(site.member.id)}, {"name", site.member.name}, {"retired", true}};
  if (site.member.retired) out["already"] = true;
  if (!note.empty()) out["note"] = std::string(note);
  out["effect"] =
      "nobody who knows of this exchanges with the site any more, and none waits for it with "
      "dropping metadata; it gets back in with sync_new_identity() there, and keeps its changes";
  return json_text(out);
}

}  // namespace syncline
