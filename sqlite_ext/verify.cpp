// sync_digest, sync_verify and sync_repair.
#include <chrono>

#include "sqlite_ext/functions.h"
#include "sqlite_ext/peer_link.h"
#include "sqlite_ext/verify_host.h"

namespace syncline {

namespace {

double milliseconds_since(std::chrono::steady_clock::time_point begin) {
  const std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - begin;
  return spent.count();
}

Status run_session_here(sqlite3* db, Endpoint* local, Endpoint* remote) {
  SessionReport ignored;
  const auto progress = [db](const SessionReport&) {
    return interrupted(db) ? Status(StatusCode::cancelled, "interrupted") : Status();
  };
  return run_session(local, remote, SessionOptions(), progress, &ignored);
}

Status verify_or_repair(Call* call, bool repair) {
  const char* what = repair ? "sync_repair" : "sync_verify";
  sqlite3* db = call->db();
  SYNCLINE_TRY(refuse_session(db, what));
  std::string target;
  SYNCLINE_TRY(call->text(0, "the peer to compare with", &target));
  VerifyOptions options;
  SYNCLINE_TRY(verify_options_from_json(call->bytes(1), repair, &options));
  Registry registry;
  SYNCLINE_TRY(load_registry(db, &registry));
  if (!registry.exists) return nothing_tracked(what);
  std::vector<Peer> peers;
  SYNCLINE_TRY(load_peers(db, &peers));
  int64_t place = -1;
  SYNCLINE_TRY(find_peer(peers, target, &place));
  if (place >= 0) target = peers[static_cast<size_t>(place)].url;
  const auto begin = std::chrono::steady_clock::now();
  PeerLink link;
  SYNCLINE_TRY(link.open(db, target, limits::drift_ms_max_default, call->kept_peers()));
  SqliteEndpoint local(db, "", limits::drift_ms_max_default);
  VerifyReport report;
  if (repair) {
    const auto session = [&] { return run_session_here(db, &local, link.endpoint()); };
    SYNCLINE_TRY(repair_peer(&local, link.endpoint(), options, session, &report));
  } else {
    SYNCLINE_TRY(verify_peer(&local, link.endpoint(), options, &report));
  }
  link.keep();
  call->give(verify_report_to_json(report, options, repair, milliseconds_since(begin)));
  return {};
}

}  // namespace

Status call_sync_verify(Call* call) {
  return verify_or_repair(call, false);
}

Status call_sync_repair(Call* call) {
  return verify_or_repair(call, true);
}

Status call_sync_digest(Call* call) {
  std::string table, digest;
  SYNCLINE_TRY(call->text(0, "the name of the table", &table));
  SYNCLINE_TRY(digest_of(call->db(), table, &digest));
  call->give(digest);
  return {};
}

}  // namespace syncline
