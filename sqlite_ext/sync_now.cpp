// sync_now: finding the peer, running a session with it, noting how it went.
//
// No transaction is open here while the peer is waited for: each step of the session is a
// transaction of its own, on its own side.
#include <chrono>
#include <cstdlib>

#include "sqlite_ext/identity.h"
#include "sqlite_ext/maintain.h"
#include "sqlite_ext/members.h"
#include "sqlite_ext/operation.h"
#include "sqlite_ext/peer_link.h"
#include "sqlite_ext/sqlite_endpoint.h"
#include "sqlite_ext/sync_now.h"
#include "syncline/json.h"

namespace syncline {

namespace {

using Json = OrderedJson;

// Notes of a session that succeeded which of our dots the peer has, what else it knows, how its
// clock stands and, of a stored peer, that it did.
Status note_success(sqlite3* db, const SessionReport& report, Peer* peer) {
  if (peer != nullptr) {
    peer->site = report.peer_site;
    peer->site_name = report.peer_name;
    peer->vector = report.peer_vector;
    peer->clock_ahead_ms = report.peer_clock_ahead_ms;
  }
  const bool read_only = sqlite3_db_readonly(db, "main") == 1;
  if (peer == nullptr) {
    bool news = false;
    if (!read_only) SYNCLINE_TRY(has_peer_news(db, report, &news));
    if (!news) return {};
  }
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(db, "sync_now"));
  Registry& registry = operation.registry();
  VersionVector vector;
  SiteTable sites = registry.sites;
  SYNCLINE_TRY(vector_from_json(report.peer_vector, &sites, &vector));
  const VectorEntry own = vector.entry(registry.self());
  bool ours = false;
  SYNCLINE_TRY(operation.port().recognises(own, &ours));
  if (ours) SYNCLINE_TRY(note_shared(db, &registry, own.seq));
  SYNCLINE_TRY(note_peer(&operation, report));
  if (peer != nullptr) SYNCLINE_TRY(write_session(db, *peer, {}));
  return operation.commit();
}

// A version was refused as too far ahead although the two clocks agree: where this database's own
// clock was ahead once, it stamps anew what nobody has accepted, and the session is worth another
// try.
Status set_clock_right(sqlite3* db, const Status& done, const SessionOptions& options,
                       const SessionReport& report, bool* again) {
  const auto apart = static_cast<uint64_t>(std::llabs(report.peer_clock_ahead_ms));
  if (done.code() != StatusCode::clock_drift || apart > options.drift_ms_max) return {};
  SYNCLINE_TRY(clock_was_ahead(db, again));
  return *again ? take_new_identity(db) : Status();
}

// What goes wrong with it takes nothing from the session, which is over.
void maintain_after(sqlite3* db, SessionReport* report) {
  MaintainReport maintained;
  const Status done = maintain_database(db, {}, &maintained);
  if (done.ok())
    report->maintained = report_to_json(maintained);
  else
    report->warnings.push_back("sync_maintain: " + done.message());
}

}  // namespace

Status sync_with(Call* call, const std::string& url, const SessionOptions& options, Peer* peer,
                 SessionReport* report) {
  sqlite3* db = call->db();
  PeerLink link;
  SYNCLINE_TRY(link.open(db, url, options.drift_ms_max, call->kept_peers()));
  SqliteEndpoint local(db, "", options.drift_ms_max);
  const auto progress = [db](const SessionReport&) {
    return interrupted(db) ? Status(StatusCode::cancelled, "interrupted") : Status();
  };
  Status done = run_session(&local, link.endpoint(), options, progress, report);
  bool again = false;
  SYNCLINE_TRY(set_clock_right(db, done, options, *report, &again));
  if (again) done = run_session(&local, link.endpoint(), options, progress, report);
  SYNCLINE_TRY(std::move(done));
  SYNCLINE_TRY(note_success(db, *report, peer));
  link.keep();
  if (options.maintain) maintain_after(db, report);
  return {};
}

namespace {

// Runs a session with a stored peer and notes how it went; the session's error is what counts.
Status sync_with_peer(Call* call, Peer* peer, const SessionOptions& options,
                      SessionReport* report) {
  const Status done = sync_with(call, peer->url, options, peer, report);
  if (!done.ok()) (void)note_session(call->db(), *peer, done.message());
  return done;
}

double milliseconds_since(std::chrono::steady_clock::time_point begin) {
  const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
  return spent.count();
}

// The options of a call go over those stored with the peer.
Status session_options(const std::string& stored, const std::string& given, SessionOptions* out) {
  SYNCLINE_TRY(session_options_from_json(stored, out));
  return session_options_from_json(given, out);
}

Status sync_with_all(Call* call, std::vector<Peer>* peers) {
  SessionOptions given;  // what is wrong with the call is wrong with it for every peer
  SYNCLINE_TRY(session_options_from_json(call->bytes(1), &given));
  if (peers->empty()) {
    return {StatusCode::refused,
            "sync_now() synchronises with all stored peers, and there are none",
            "SELECT sync_add_peer('name', 'url'), or name a peer: SELECT sync_now('other.db')"};
  }
  Json out = Json::array();
  for (Peer& peer : *peers) {
    if (std::string_view(breaker_state(peer)) == "open") {
      out.push_back(
          {{"peer", peer.name}, {"skipped", "the last five attempts failed: " + peer.last_error}});
      continue;
    }
    SessionOptions options;
    SYNCLINE_TRY(session_options(peer.options, call->bytes(1), &options));
    SessionReport report;
    const auto begin = std::chrono::steady_clock::now();
    const Status done = sync_with_peer(call, &peer, options, &report);
    if (done.code() == StatusCode::cancelled) return done;
    Json entry = {{"peer", peer.name}};
    if (done.ok()) {
      entry.update(parse_json<Json>(report_to_json(report, milliseconds_since(begin))));
      entry["peer"] = peer.name;
    } else {
      entry["error"] = done.message();
      entry["code"] = std::string(status_code_name(done.code()));
    }
    out.push_back(std::move(entry));
  }
  call->give(json_text(Json{{"peers", out}}));
  return {};
}

}  // namespace

Status call_sync_now(Call* call) {
  sqlite3* db = call->db();
  SYNCLINE_TRY(refuse_session(db, "sync_now"));
  bool tracks = false;
  SYNCLINE_TRY(has_companions(db, &tracks));
  if (!tracks) return nothing_tracked("sync_now");
  std::vector<Peer> peers;
  SYNCLINE_TRY(load_peers(db, &peers));
  if (!call->given(0)) return sync_with_all(call, &peers);
  std::string target;
  SYNCLINE_TRY(call->text(0, "the peer to synchronise with", &target));
  const auto begin = std::chrono::steady_clock::now();
  SessionOptions options;
  SessionReport report;
  int64_t place = -1;
  SYNCLINE_TRY(find_peer(peers, target, &place));
  if (place >= 0) {
    Peer* peer = &peers[static_cast<size_t>(place)];
    SYNCLINE_TRY(session_options(peer->options, call->bytes(1), &options));
    SYNCLINE_TRY(sync_with_peer(call, peer, options, &report));
    call->give(report_to_json(report, milliseconds_since(begin)));
    return {};
  }
  SYNCLINE_TRY(session_options("", call->bytes(1), &options));
  SYNCLINE_TRY(sync_with(call, target, options, nullptr, &report));
  call->give(report_to_json(report, milliseconds_since(begin)));
  return {};
}

}  // namespace syncline
