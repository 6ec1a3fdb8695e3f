// Finding a peer by its name or URL, and a connection to it for one call.
#pragma once

#include <memory>
#include <string>

#include "sqlite_ext/file_peer.h"
#include "sqlite_ext/peer_store.h"

namespace syncline {

// Whether the application has interrupted the connection.
bool interrupted(sqlite3* db);

// Refuses `what` where no session can run: in a transaction, beside another statement.
Status refuse_session(sqlite3* db, const char* what);

class PeerLink {
 public:
  // Connects to a URL. Errors: those of connect_postgres and FilePeer::open.
  Status open(sqlite3* db, const std::string& url, uint64_t drift_ms_max, KeptPeers* kept);
  Endpoint* endpoint() { return remote_ != nullptr ? remote_.get() : file_.endpoint(); }
  // After a session that went well: keeps the connection, if the URL asks for it.
  void keep();

 private:
  FilePeer file_;
  KeptPeers* kept_ = nullptr;
  std::string url_;
  std::unique_ptr<PostgresEndpoint> remote_;
};

// The URL that `target` means: that of a stored peer, whose place in `peers` is returned, or itself
// (-1). Errors: invalid_argument if it is neither a name, nor a URL, nor a file.
Status find_peer(const std::vector<Peer>& peers, const std::string& target, int64_t* place);

}  // namespace syncline
