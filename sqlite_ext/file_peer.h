// A SQLite database in another file as a peer: a second connection, opened for one session, or kept
// for the next ones if the peer's URL says so: file:other.db?keep=1
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "peers/postgres_peer.h"
#include "sqlite_ext/background_peer.h"

namespace syncline {

// Connections to peers that wait for the next session; the connection that calls owns them. They
// hold no transaction and no statement, so they are in nobody's way; but a file that is open cannot
// be unmounted, and its -wal goes only when the last connection does, and a server's connection
// counts as one: keeping has to be asked for. Reading the schema of a file with 200 tracked tables
// takes 9 ms, a session with nothing to do 3 ms. A new connection to a server on the same machine
// takes some nine tenths of such a session.
class KeptPeers {
 public:
  KeptPeers() = default;
  KeptPeers(const KeptPeers&) = delete;
  KeptPeers& operator=(const KeptPeers&) = delete;
  ~KeptPeers();

  // Takes out the connection for `url`; NULL if there is none, or `path` is another file by now.
  sqlite3* take(const std::string& url, const std::string& path);
  // Takes the connection over. Closes the one that was not used for longest if there are too many.
  void keep(const std::string& url, sqlite3* db);

  // The same for servers: take_server() gives one that answers, or NULL. Errors: cancelled.
  Status take_server(const std::string& url, std::unique_ptr<PostgresEndpoint>* out);
  void keep_server(const std::string& url, std::unique_ptr<PostgresEndpoint> server);

 private:
  struct Kept {
    std::string url;
    sqlite3* db;
  };
  std::vector<Kept> peers_;  // the last used at the end
  std::vector<std::pair<std::string, std::unique_ptr<PostgresEndpoint>>> servers_;  // likewise
};

class FilePeer {
 public:
  FilePeer() = default;
  FilePeer(const FilePeer&) = delete;
  FilePeer& operator=(const FilePeer&) = delete;
  ~FilePeer();

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
  sqlite3* db_ = nullptr;
  std::unique_ptr<BackgroundPeer> endpoint_;
};

// The path of a file: URI (sqlite.org/uri.html), or `text` itself.
std::string path_of_uri(const std::string& text);

}  // namespace syncline
