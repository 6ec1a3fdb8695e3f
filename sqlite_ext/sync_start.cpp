// See sync_start.h.
#include "sqlite_ext/sync_start.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>

#include "peers/postgres_url.h"
#include "sqlite_ext/background_sync.h"
#include "sqlite_ext/operation.h"
#include "sqlite_ext/peer_link.h"
#include "syncline/json.h"

namespace syncline {

namespace {

using Json = OrderedJson;

// All that run in this process, each for one file and peer: two would only wait for each other.
class Running {
 public:
  using Key = std::pair<std::string, std::string>;  // file, peer

  struct Entry {
    const KeptPeers* owner = nullptr;  // the connection that started it
    std::unique_ptr<BackgroundSync> sync;
  };

  void add(const Key& key, Entry entry) {
    const std::lock_guard<std::mutex> lock(mutex_);
    entries_.insert_or_assign(key, std::move(entry));
  }

  bool has(const Key& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = entries_.find(key);
    return found != entries_.end() && !found->second.sync->ended();
  }

  // Stops those of which `chosen` is true; returns how many were running.
  template <typename Chosen>
  int64_t stop(const Chosen& chosen) {
    int64_t count = 0;
    while (true) {
      Entry entry;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        auto found = entries_.begin();
        while (found != entries_.end() && !chosen(found->first, found->second))
          ++found;
        if (found == entries_.end()) return count;
        entry = std::move(found->second);
        entries_.erase(found);
      }
      if (!entry.sync->ended()) ++count;
    }
  }

  bool stop_one(const Key& key) {
    return stop([&](const Key& other, const Entry&) { return other == key; }) > 0;
  }

  // A child of fork() has a copy of this, but none of the threads, and the mutex as it was.
  bool of_this_process() const { return process_ == getpid(); }

 private:
  const pid_t process_ = getpid();
  std::mutex mutex_;
  std::map<Key, Entry> entries_;
};

// Null as long as nobody has started any. Never deleted: threads may outlive what exit() destroys.
std::atomic<Running*> running_now = nullptr;

// Null if this process has started none.
Running* known_running() {
  Running* const now = running_now;
  return now != nullptr && now->of_this_process() ? now : nullptr;
}

Running& running() {
  static std::atomic<bool> ends_at_exit = false;
  if (!ends_at_exit.exchange(true)) {
    std::atexit([] {
      Running* const now = known_running();
      if (now != nullptr) now->stop([](const auto&, const auto&) { return true; });
    });
  }
  Running* before = running_now;
  while (before == nullptr || !before->of_this_process()) {
    auto made = std::make_unique<Running>();
    if (running_now.compare_exchange_strong(before, made.get())) before = made.release();
  }
  return *before;
}

std::string file_of(sqlite3* db) {
  const char* name = sqlite3_db_filename(db, "main");
  return name == nullptr ? std::string() : std::string(name);
}

// The name of a stored peer.
Status stored_peer(Call* call, std::string* name) {
  SYNCLINE_TRY(call->text(0, "the name of the peer", name));
  bool tracks = false;
  SYNCLINE_TRY(has_companions(call->db(), &tracks));
  if (!tracks) return nothing_tracked("sync_start");
  std::vector<Peer> peers;
  SYNCLINE_TRY(load_peers(call->db(), &peers));
  if (place_of_peer(peers, *name) >= 0) return {};
  return unknown_peer(peers, mask_password(*name),
                      "SELECT sync_add_peer('hub', 'its URL'), then SELECT sync_start('hub')");
}

}  // namespace

Status call_sync_start(Call* call) {
  sqlite3* db = call->db();
  SYNCLINE_TRY(refuse_session(db, "sync_start"));
  std::string name;
  SYNCLINE_TRY(stored_peer(call, &name));
  BackgroundOptions options;
  SYNCLINE_TRY(background_options_from_json(call->bytes(1), &options));
  Running::Entry entry;
  entry.owner = call->kept_peers();
  const Running::Key key(file_of(db), name);
  const bool replaced = running().stop_one(key);
  SYNCLINE_TRY(BackgroundSync::start(db, name, options, &entry.sync));
  running().add(key, std::move(entry));
  call->give(json_text(Json{{"peer", name},
                            {"interval_ms", options.interval_ms},
                            {"replaced", replaced}}));
  return {};
}

Status call_sync_stop(Call* call) {
  const std::string file = file_of(call->db());
  if (!call->given(0)) {
    call->give(running().stop([&](const Running::Key& key, const auto&) {
      return key.first == file;
    }));
    return {};
  }
  std::string name;
  SYNCLINE_TRY(call->text(0, "the name of the peer", &name));
  if (!running().stop_one({file, name})) {
    return {StatusCode::refused,
            "this process does not synchronise with \"" + mask_password(name) +
                "\" in the background",
            "SELECT name, background FROM sync_peers shows with whom it does"};
  }
  call->give(int64_t{1});
  return {};
}

bool runs_in_background(sqlite3* db, const std::string& peer) {
  Running* const now = known_running();
  return now != nullptr && now->has({file_of(db), peer});
}

void stop_background_of(const KeptPeers* connection) {
  Running* const now = known_running();
  if (now == nullptr) return;
  now->stop([&](const auto&, const Running::Entry& entry) {
    return entry.owner == connection;
  });
}

}  // namespace syncline
