// A SQLite database in another file as a peer: a second connection, opened for one session, or kept
// for the next ones if the peer's URL says so: file:other.db?keep=1
#pragma once

#include <memory>
#include <string>

#include "sqlite_ext/background_peer.h"
#include "sqlite_ext/kept_peers.h"

namespace syncline {

class FilePeer {
 public:
  // Opens `path`, a path or a file: URI, or takes its connection from `kept`, which must outlive
  // this. Foreign keys are enforced there as they are in `local`. If it has the identity of
  // `local`, one is a copy of the other, and `local` takes a new one.
  // Errors: refused (no such file, the same file, nothing tracked there); host_failed.
  Status open(sqlite3* local, const std::string& path, uint64_t drift_ms_max, KeptPeers* kept);
  Endpoint* endpoint() { return endpoint_.get(); }
  // After a session that went well: keeps the connection, if the URL asks for it.
  void keep();

 private:
  Status connect(const std::string& path);

  KeptPeers* kept_ = nullptr;
  std::string url_;
  FileConnection db_;
  // Goes first: it restores settings of the connection.
  std::unique_ptr<BackgroundPeer> endpoint_;
};

// The path of a file: URI (sqlite.org/uri.html), or `text` itself.
std::string path_of_uri(const std::string& text);

}  // namespace syncline
