// See background_sync.h.
#include "sqlite_ext/background_sync.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "peers/postgres_url.h"
#include "sqlite_ext/functions.h"
#include "sqlite_ext/operation.h"
#include "sqlite_ext/peer_store.h"

namespace syncline {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLook(10);
// After a session, before the next: so that a stream of changes leaves half of a core to others.
constexpr milliseconds kPauseMin(5);
constexpr int kBusyMsMax = 10'000;
constexpr int kBusyStepMs = 5;

// Waits for a lock in short steps, so that it can be told to stop.
int busy(void* stop, int count) {
  if (*static_cast<std::atomic<bool>*>(stop) || count * kBusyStepMs >= kBusyMsMax) return 0;
  sqlite3_sleep(kBusyStepMs);
  return 1;
}

}  // namespace

bool ChangeWatch::look(sqlite3* db) {
  int64_t version = 0;
  if (!query_integer(db, "PRAGMA main.data_version", 0, &version).ok()) return false;
  if (db == db_ && version == data_version_) return false;
  std::string vector;
  if (!read_version_vector(db, "sync_start", &vector).ok()) return false;
  const bool first = std::exchange(db_, db) != db;
  data_version_ = version;
  return std::exchange(vector_, vector) != vector || first;
}

// ---- starting and stopping ----------------------------------------------------------------------

Status BackgroundSync::open(sqlite3* db) {
  const char* file = sqlite3_db_filename(db, "main");
  if (file == nullptr || file[0] == '\0') {
    return {StatusCode::refused, "sync_start needs a database in a file, and this one has none",
            "call sync_now from time to time"};
  }
  sqlite3_vfs* vfs = nullptr;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_VFS_POINTER, &vfs);
  sqlite3* opened = nullptr;
  const int rc = sqlite3_open_v2(file, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX,
                                 vfs == nullptr ? nullptr : vfs->zName);
  db_.reset(opened);
  if (rc != SQLITE_OK) return status_of(opened, rc, "sync_start: opening the database again");
  if (sqlite3_db_mutex(opened) == nullptr) {
    return {StatusCode::refused, "sync_start needs threads, and this SQLite library is set for one",
            "call sync_now from time to time"};
  }
  sqlite3_busy_handler(opened, busy, &stop_);
  sqlite3_db_config(opened, SQLITE_DBCONFIG_ENABLE_FKEY, enforces_foreign_keys(db) ? 1 : 0,
                    nullptr);
  if (register_functions(opened, &kept_) != SQLITE_OK) {
    return status_of(opened, sqlite3_errcode(opened), "sync_start");
  }
  kept_->always = true;
  return {};
}

Status BackgroundSync::start(sqlite3* db, const std::string& peer, const BackgroundOptions& options,
                             std::unique_ptr<BackgroundSync>* out) {
  std::unique_ptr<BackgroundSync> made(new BackgroundSync(peer, options));
  SYNCLINE_TRY(made->open(db));
  try {
    made->thread_ = std::thread([sync = made.get()] { sync->run(); });
  } catch (const std::system_error&) {
    return {StatusCode::host_failed, "sync_start: the system has no thread to spare"};
  }
  *out = std::move(made);
  return {};
}

BackgroundSync::~BackgroundSync() {
  if (!thread_.joinable()) return;
  stop_ = true;
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.notify_all();
  while (!done_) {
    // again and again: it means the statement that is running, and none may be just now
    sqlite3_interrupt(db_.get());
    changed_.wait_for(lock, kLook);
  }
  lock.unlock();
  thread_.join();
}

void BackgroundSync::run() {
  while (!stop_ && !ended_) {
    const Clock::time_point begin = Clock::now();
    bool well = false;
    try {
      news_here();  // what is there by now, the session sends
      well = synchronise();
      failures_ = well ? 0 : failures_ + 1;
      if (well) wait_for_work(Clock::now() - begin);
    } catch (const std::exception&) {  // there is no memory: as if the session had failed
      ++failures_;
      well = false;
    }
    if (well || ended_) continue;
    there_.forget();
    position_there_ = -1;
    const milliseconds rest(background_rest_ms(failures_, options_.interval_ms));
    sleep_until(Clock::now() + rest);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  done_ = true;
  changed_.notify_all();
}

// False when it is time to stop.
bool BackgroundSync::sleep_until(Clock::time_point until) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait_until(lock, until, [this] { return stop_.load(); });
  return !stop_;
}

// ---- sessions -----------------------------------------------------------------------------------

// Runs a session, which notes with the peer how it went.
bool BackgroundSync::synchronise() {
  Statement s;
  Status done = s.prepare(db_.get(), "SELECT sync_now(?1,?2)");
  if (done.ok()) {
    s.bind(1, std::string_view(peer_));
    s.bind(2, std::string_view(options_.session));
    done = s.run();
  }
  if (done.ok()) return true;
  std::string url;
  if (find_url(&url).ok() && url.empty()) ended_ = true;
  return false;
}

// The peer's URL; empty if it is no longer stored.
Status BackgroundSync::find_url(std::string* url) {
  std::vector<Peer> peers;
  SYNCLINE_TRY(load_peers(db_.get(), &peers));
  const int64_t place = place_of_peer(peers, peer_);
  if (place >= 0) *url = peers[static_cast<size_t>(place)].url;
  return {};
}

// ---- waiting ------------------------------------------------------------------------------------

bool BackgroundSync::news_here() {
  return options_.direction != Direction::pull && here_.look(db_.get());
}

// `session`: how long the last one took.
void BackgroundSync::wait_for_work(Clock::duration session) {
  Clock::time_point until = Clock::now() + milliseconds(options_.interval_ms);
  if (!sleep_until(Clock::now() + std::max<Clock::duration>(kPauseMin, session))) return;
  std::string url;
  if (options_.direction != Direction::push) (void)find_url(&url);
  if (is_postgres_url(url)) {
    if (wait_at_server(url, until)) return;
    // a server that is gone is missed by the next session; one that does not let us wait is asked
    until = std::min(until, Clock::now() + milliseconds(background_rest_ms(1, 0)));
  } else if (wait_at_file(url, until)) {
    return;
  }
  while (!news_here() && Clock::now() < until) {
    if (!sleep_until(Clock::now() + kLook)) return;
  }
}

// Waits for news, here or there, or the end of the time. False: there is no connection to wait at,
// or waiting failed.
bool BackgroundSync::wait_at_server(const std::string& url, Clock::time_point until) {
  std::unique_ptr<PostgresEndpoint> server = kept_->servers.take(url);
  if (server == nullptr) return false;
  bool news = false;
  const auto over = [&] { return stop_ || Clock::now() >= until || news_here(); };
  if (!server->await_change(&position_there_, over, &news).ok()) return false;
  kept_->servers.keep(url, std::move(server));
  return true;
}

bool BackgroundSync::wait_at_file(const std::string& url, Clock::time_point until) {
  FileConnection file = url.empty() ? nullptr : kept_->files.take(url);
  if (file == nullptr) return false;
  bool more = true;
  while (more && !there_.look(file.get()) && !news_here() && Clock::now() < until)
    more = sleep_until(Clock::now() + kLook);
  kept_->files.keep(url, std::move(file));
  return true;
}

}  // namespace syncline
