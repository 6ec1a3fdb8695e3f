// A SQLite database in another file as a peer: a second connection, opened for one session.
#pragma once

#include <memory>
#include <string>

#include "sqlite_ext/sqlite_endpoint.h"

namespace syncline {

class FilePeer {
 public:
  FilePeer() = default;
  FilePeer(const FilePeer&) = delete;
  FilePeer& operator=(const FilePeer&) = delete;
  ~FilePeer();

  // Opens `path`, a path or a file: URI. Foreign keys are enforced there as they are in `local`.
  // If it has the identity of `local`, one is a copy of the other, and `local` takes a new one.
  // Errors: refused (no such file, the same file, nothing tracked there); host_failed.
  Status open(sqlite3* local, const std::string& path, uint64_t drift_ms_max);
  Endpoint* endpoint() { return endpoint_.get(); }

 private:
  sqlite3* db_ = nullptr;
  std::unique_ptr<SqliteEndpoint> endpoint_;
};

// The path of a file: URI (sqlite.org/uri.html), or `text` itself.
std::string path_of_uri(const std::string& text);

}  // namespace syncline
