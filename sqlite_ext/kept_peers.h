// Connections to peers that wait for the next session; the connection that calls owns them. They
// hold no transaction and no statement, so they are in nobody's way; but a file that is open cannot
// be unmounted, and its -wal goes only when the last connection does, and a server's connection
// counts as one: keeping has to be asked for. Reading the schema of a file with 200 tracked tables
// takes longer than the session itself if there is nothing to do (3 ms); a new connection to a
// server on the same machine takes nine tenths of one.
#pragma once

#include <sqlite3ext.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "peers/postgres_peer.h"

namespace syncline {

// Connection: a pointer that owns. Whether what is taken out still serves its user finds out.
template <typename Connection>
class KeptConnections {
 public:
  // Takes out the connection for `url`; null if there is none.
  Connection take(const std::string& url) {
    for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
      if (kept->first != url) continue;
      Connection out = std::move(kept->second);
      kept_.erase(kept);
      return out;
    }
    return nullptr;
  }
  // Closes the one that was not used for longest if there are too many.
  void keep(const std::string& url, Connection connection) {
    kept_.emplace_back(url, std::move(connection));
    if (kept_.size() > kMax) kept_.erase(kept_.begin());
  }

 private:
  static constexpr size_t kMax = 4;
  std::vector<std::pair<std::string, Connection>> kept_;  // the last used at the end
};

struct CloseFile {
  void operator()(sqlite3* db) const;
};
using FileConnection = std::unique_ptr<sqlite3, CloseFile>;

struct KeptPeers {
  bool always = false;  // whatever the URLs say: sessions follow each other in the background
  KeptConnections<FileConnection> files;
  KeptConnections<std::unique_ptr<PostgresEndpoint>> servers;
};

}  // namespace syncline
