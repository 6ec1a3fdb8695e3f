// Synchronising with one stored peer in the background: a thread with a connection of its own to
// the application's file, on which it calls sync_now: at once, then whenever something has changed
// here or at the peer, and at the latest when the interval is over.
//
// What has changed is asked for every ten milliseconds. A file tells by PRAGMA data_version, a read
// of a few bytes, whether some other connection has committed; only then is its version vector
// read, since not every commit is a change. A server is asked by a statement that waits over there
// (PostgresEndpoint::await_change).
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "sqlite_ext/kept_peers.h"
#include "sqlite_ext/statement.h"
#include "syncline/session.h"

namespace syncline {

// Whether a database has changes that it did not have when it was looked at last.
class ChangeWatch {
 public:
  // The first look at a connection finds news. One that fails finds none; the next tries again.
  bool look(sqlite3* db);
  void forget() { db_ = nullptr; }

 private:
  sqlite3* db_ = nullptr;
  int64_t data_version_ = 0;
  std::string vector_;
};

class BackgroundSync {
 public:
  // Opens the second connection to the file of `db`, whose foreign keys it enforces if `db` does,
  // and starts. Errors: refused (no file, a SQLite library for one thread only); host_failed.
  static Status start(sqlite3* db, const std::string& peer, const BackgroundOptions& options,
                      std::unique_ptr<BackgroundSync>* out);
  // Interrupts the session under way and waits for its end: some seconds at the worst, where it
  // waits for a lock of another program or for a name to be resolved.
  ~BackgroundSync();
  BackgroundSync(const BackgroundSync&) = delete;
  BackgroundSync& operator=(const BackgroundSync&) = delete;

  // It has ended by itself: its peer is no longer a stored one.
  bool ended() const { return ended_; }

 private:
  using Clock = std::chrono::steady_clock;

  BackgroundSync(std::string peer, const BackgroundOptions& options)
      : peer_(std::move(peer)), options_(options) {}
  Status open(sqlite3* db);
  void run();
  bool synchronise();
  Status find_url(std::string* url);
  void wait_for_work(Clock::duration session);
  bool wait_at_server(const std::string& url, Clock::time_point until);
  bool wait_at_file(const std::string& url, Clock::time_point until);
  bool news_here();
  bool sleep_until(Clock::time_point until);

  const std::string peer_;
  const BackgroundOptions options_;
  FileConnection db_;
  KeptPeers* kept_ = nullptr;  // those of db_
  uint64_t failures_ = 0;      // in a row
  ChangeWatch here_, there_;
  int64_t position_there_ = -1;  // of a server, as await_change told it

  std::atomic<bool> stop_ = false, ended_ = false;
  bool done_ = false;
  std::mutex mutex_;                 // of done_, and for waiting
  std::condition_variable changed_;  // stop_ or done_
  std::thread thread_;
};

}  // namespace syncline
