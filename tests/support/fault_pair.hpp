// Two database files that have synchronised once and have changed since: what a fault is let loose
// upon; and what must hold of them afterwards.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "support/sqlite_file.hpp"

namespace syncline::test {

struct FaultSetup {
  const char* name;
  const char* journal;      // PRAGMA journal_mode of both files
  const char* synchronous;  // of connections of ours
  bool durable;             // a commit survives a power cut
};

// id -> n, the rows of `note`: each is written on one side only, with n growing.
using Notes = std::map<std::string, int64_t>;

class FaultPair {
 public:
  // `replaced` is called when the files have been replaced.
  FaultPair(
      const FaultSetup& setup, const std::string& folder, std::function<void()> replaced = [] {});
  ~FaultPair();

  const std::string& here() const { return here_; }
  const std::string& there() const { return there_; }
  // A chunk with everything of the peer, for a database that knows nothing.
  const std::string& chunk() const { return chunk_; }

  // Makes both files as they were in the beginning. No connection may be open.
  void restore();
  // A connection to `here`, set as the setup says.
  std::unique_ptr<SqliteFile> open() const { return open(here_); }
  std::unique_ptr<SqliteFile> open(const std::string& path) const;

 private:
  void make();

  FaultSetup setup_;
  std::string folder_, here_, there_, chunk_;
  std::function<void()> replaced_;
};

Notes notes_of(SqliteFile* db);
// Everything a call may change, but for random ids and times.
std::string content_of(SqliteFile* db);
// Rows and open conflicts: what two sites must show alike.
std::string visible_of(SqliteFile* db);
// The row state of every tracked table agrees with the log, vector and base tables as far as SQL
// can tell; the first thing that is wrong, or nothing.
std::string damage_of(SqliteFile* db);

}  // namespace syncline::test
