// See peer_store.h.
#include "sqlite_ext/peer_store.h"

#include "sqlite_ext/transaction.h"
#include "syncline/table.h"

namespace syncline {

namespace {

constexpr int64_t kFailuresToOpen = 5;
const char* const kNow = "strftime('%Y-%m-%dT%H:%M:%fZ','now')";

}  // namespace

Status load_peers(sqlite3* db, std::vector<Peer>* out) {
  out->clear();
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT name,url,options,site,site_name,vector,clock_ahead_ms,"
                         "last_success,last_error,last_attempt,failures,julianday('now')-"
                         "julianday(last_attempt)>60/86400.0 FROM main.sync_peer ORDER BY name"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    Peer peer{s.text(0),    s.text(1), s.text(2), s.text(3), s.text(4),     s.text(5),
              s.integer(6), s.text(7), s.text(8), s.text(9), s.integer(10), s.integer(11) != 0};
    out->push_back(std::move(peer));
  }
}

Status save_peer(sqlite3* db, const Peer& peer) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "INSERT INTO main.sync_peer(name,url,options) VALUES(?1,?2,"
                         "nullif(?3,'')) ON CONFLICT(name) DO UPDATE SET url=excluded.url,"
                         "options=excluded.options,failures=0,last_error=NULL"));
  s.bind(1, std::string_view(peer.name));
  s.bind(2, std::string_view(peer.url));
  s.bind(3, std::string_view(peer.options));
  return s.run();
}

Status remove_peer(sqlite3* db, const std::string& name) {
  std::vector<Peer> peers;
  SYNCLINE_TRY(load_peers(db, &peers));
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "DELETE FROM main.sync_peer WHERE name=?1 RETURNING 1"));
  s.bind(1, std::string_view(name));
  bool found = false;
  SYNCLINE_TRY(s.next(&found));
  s.reset();
  return found ? Status() : unknown_peer(peers, name);
}

Status write_session(sqlite3* db, const Peer& peer, const std::string& error) {
  const std::string now = kNow;
  Statement s;
  SYNCLINE_TRY(s.prepare(
      db, error.empty() ? "UPDATE main.sync_peer SET site=?2,vector=?3,site_name=?5,"
                          "clock_ahead_ms=?6,last_success=" + now +
                              ",last_attempt=" + now + ",last_error=NULL,failures=0 WHERE name=?1"
                        : "UPDATE main.sync_peer SET last_error=?4,last_attempt=" + now +
                              ",failures=failures+1 WHERE name=?1"));
  s.bind(1, std::string_view(peer.name));
  if (error.empty()) {
    s.bind(2, std::string_view(peer.site));
    s.bind(3, std::string_view(peer.vector));
    s.bind(5, std::string_view(peer.site_name));
    s.bind(6, peer.clock_ahead_ms);
  } else {
    s.bind(4, std::string_view(error));
  }
  return s.run();
}

Status note_session(sqlite3* db, const Peer& peer, const std::string& error) {
  WriteTransaction transaction;
  SYNCLINE_TRY(transaction.begin(db, "sync_now"));
  SYNCLINE_TRY(write_session(db, peer, error));
  return transaction.commit();
}

const char* breaker_state(const Peer& peer) {
  if (peer.failures < kFailuresToOpen) return "closed";
  return peer.rested ? "half_open" : "open";
}

int64_t place_of_peer(const std::vector<Peer>& peers, const std::string& name) {
  for (size_t i = 0; i < peers.size(); ++i) {
    if (peers[i].name == name) return static_cast<int64_t>(i);
  }
  return -1;
}

Status unknown_peer(const std::vector<Peer>& peers, const std::string& name,
                    const char* otherwise) {
  std::vector<std::string> names;
  for (const Peer& peer : peers)
    names.push_back(peer.name);
  const std::string nearest = nearest_name(name, names);
  return {StatusCode::invalid_argument, "there is no peer \"" + name + "\"",
          nearest.empty() ? std::string(otherwise)
                          : "did you mean \"" + nearest + "\"?"};
}

}  // namespace syncline
