// Stored peers: the table sync_peer.
#pragma once

#include <string>
#include <vector>

#include "sqlite_ext/statement.h"

namespace syncline {

struct Peer {
  std::string name, url, options;
  // As of the last success: who it is, what it has seen, how far its clock is ahead of ours.
  std::string site, site_name, vector;
  int64_t clock_ahead_ms = 0;
  std::string last_success, last_error, last_attempt;
  int64_t failures = 0;  // since the last success
  bool rested = false;   // the last attempt is a minute ago
};

// In the order of their names.
Status load_peers(sqlite3* db, std::vector<Peer>* out);
// Adds a peer, or gives it another URL. REQUIRES: a write transaction.
Status save_peer(sqlite3* db, const Peer& peer);
// Errors: invalid_argument, with the nearest name. REQUIRES: a write transaction.
Status remove_peer(sqlite3* db, const std::string& name);
// Writes how a session with the peer ended: an empty `error` is success. REQUIRES: a write
// transaction.
Status write_session(sqlite3* db, const Peer& peer, const std::string& error);
// The same as a transaction of its own.
Status note_session(sqlite3* db, const Peer& peer, const std::string& error);

// "closed", "open" after five failures in a row, "half_open" a minute after the last of them.
const char* breaker_state(const Peer& peer);
// The place of the peer of that name; -1: there is none.
int64_t place_of_peer(const std::vector<Peer>& peers, const std::string& name);
// The error for a name that is no peer's. `otherwise` is the hint where no name is near.
Status unknown_peer(const std::vector<Peer>& peers, const std::string& name,
                    const char* otherwise = "SELECT name FROM sync_peers lists them");

}  // namespace syncline
