// See members.h.
#include "sqlite_ext/members.h"

#include <algorithm>

#include "sqlite_ext/functions.h"
#include "sqlite_ext/sqlite_endpoint.h"
#include "syncline/limits.h"
#include "syncline/maintain.h"

namespace syncline {

namespace {

// When nothing is new, that a peer was heard is written down once in so many milliseconds.
constexpr uint64_t kHeardEveryMs = 60'000;

// Stores a setting of this site's, later than what its key had.
Status store_setting(sqlite3* db, Registry* registry, Setting setting, bool mark) {
  uint64_t now_ms = 0, seq = 0;
  SYNCLINE_TRY(clock_ms(db, &now_ms));
  setting.hlc = registry->settings.next_hlc(setting.key, hlc_from_ms(now_ms));
  setting.site = registry->sites.id(registry->self());
  registry->settings.merge(setting);
  SYNCLINE_TRY(save_setting(db, setting));
  return mark ? append_marker(db, 0, &seq) : Status();
}

}  // namespace

bool is_member(const Registry& registry) {
  Member self;
  self.id = registry.sites.id(registry.self());
  return registry.settings.find(make_member_setting(self).key) != nullptr;
}

Status register_member(sqlite3* db, Registry* registry, bool mark) {
  Member self;
  self.id = registry->sites.id(registry->self());
  SYNCLINE_TRY(clock_ms(db, &self.joined_ms));
  for (const Member& member : list_members(registry->settings)) {
    if (member.id == self.id && member.joined_ms > 0) self.joined_ms = member.joined_ms;
  }
  self.name = registry->name;
  self.engine = engine_name();
  self.version = SYNCLINE_VERSION;
  const Setting setting = make_member_setting(self);
  const std::string* known = registry->settings.find(setting.key);
  if (known != nullptr && *known == setting.value) return {};
  return store_setting(db, registry, setting, mark);
}

Status retire(sqlite3* db, Registry* registry, const SiteId& id, std::string_view note) {
  uint64_t now_ms = 0;
  SYNCLINE_TRY(clock_ms(db, &now_ms));
  SYNCLINE_TRY(store_setting(db, registry, make_retirement(id, now_ms, note), true));
  return drop_retired_exchanges(db, *registry);
}

Status drop_retired_exchanges(sqlite3* db, const Registry& registry) {
  for (const Member& member : list_members(registry.settings)) {
    if (!member.retired) continue;
    SYNCLINE_TRY(execute(
        db, "DELETE FROM main.sync_incoming WHERE sender=x'" + to_hex(member.id) + "'"));
  }
  return {};
}

Status has_peer_news(sqlite3* db, const SessionReport& report, bool* yes) {
  *yes = true;
  Registry registry;
  SYNCLINE_TRY(load_registry(db, &registry));
  VersionVector vector, known;
  SYNCLINE_TRY(vector_from_json(report.peer_vector, &registry.sites, &vector));
  if (vector.entry(registry.self()).seq > registry.shared) return {};
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT vector,heard_ms FROM main.sync_ack WHERE site=(SELECT n FROM "
                         "main.sync_site WHERE hex(id)=upper(?1))"));
  s.bind(1, std::string_view(report.peer_site));
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  if (!row) return {};
  std::string_view bytes = s.bytes(0);
  SYNCLINE_TRY(read_vector(&bytes, &registry.sites, &known));
  uint64_t now_ms = 0;
  SYNCLINE_TRY(clock_ms(db, &now_ms));
  const bool recent = static_cast<uint64_t>(s.integer(1)) + kHeardEveryMs > now_ms;
  *yes = !recent || !vector.covered_by(known);
  return {};
}

Status note_peer(Operation* operation, const SessionReport& report) {
  SYNCLINE_TRY(hear_peer(&operation->port(), report.peer_site, report.peer_vector));
  SiteState site;
  SYNCLINE_TRY(operation->port().load_site(&site));
  const Result<SiteId> id = site_id_from_hex(report.peer_site);
  if (!id.ok()) return id.status();
  Acknowledgement ack;
  ack.site = site.sites.intern(id.value());
  ExchangeUpdate update;
  update.sender = site.sites.id(site.self);
  SYNCLINE_TRY(operation->port().save_exchange(site, update));  // the site may be new
  // Also of a peer that knows more than is known here: it was heard.
  std::string none;
  append_vector(&none, VersionVector(), site.sites);
  Statement s;
  SYNCLINE_TRY(s.prepare(operation->db(),
                         "INSERT INTO main.sync_ack(site,vector,heard_ms,ahead_ms) VALUES(?1,?2,"
                         "?3,?4) ON CONFLICT(site) DO UPDATE SET heard_ms=excluded.heard_ms,"
                         "ahead_ms=excluded.ahead_ms"));
  s.bind(1, int64_t{ack.site});
  s.bind_blob(2, none);
  s.bind(3, site.now_ms);
  s.bind(4, report.peer_clock_ahead_ms);
  return s.run();
}

Status call_retire_site(Call* call) {
  std::string id;
  SYNCLINE_TRY(call->text(0, "the id of the site to retire", &id));
  const std::string note = call->bytes(1);
  if (note.size() > limits::label_bytes_max) {
    return {StatusCode::invalid_argument,
            "the note is longer than " + std::to_string(limits::label_bytes_max) + " bytes"};
  }
  Registry registry;
  SYNCLINE_TRY(load_registry(call->db(), &registry));
  if (!registry.exists) return nothing_tracked("sync_retire_site");
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(call->db(), "sync_retire_site"));
  SiteState site;
  std::vector<Acknowledgement> heard;
  SYNCLINE_TRY(operation.port().load_site(&site));
  SYNCLINE_TRY(operation.port().load_acknowledgements({}, &heard));
  const std::vector<SiteStanding> sites = list_sites(&site, heard);
  const SiteStanding* found = nullptr;
  SYNCLINE_TRY(find_retirable(sites, id, &found));
  if (!found->member.retired) {
    SYNCLINE_TRY(retire(call->db(), &operation.registry(), found->member.id, note));
  }
  SYNCLINE_TRY(operation.commit());
  call->give(retirement_to_json(*found, note));
  return {};
}

}  // namespace syncline
