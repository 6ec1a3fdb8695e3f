// See file_peer.h.
#include "sqlite_ext/file_peer.h"

#include <filesystem>
#include <optional>

#include "peers/postgres_url.h"
#include "sqlite_ext/identity.h"
#include "sqlite_ext/operation.h"

namespace syncline {

namespace {

constexpr int kBusyTimeoutMs = 5000;

bool is_uri(const std::string& text) {
  return text.compare(0, 5, "file:") == 0;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Is `path` the file of this connection? Found by name, before anything is opened: closing a second
// descriptor of our own file would drop this process's locks on it.
bool same_file(sqlite3* db, const std::string& path) {
  const char* name = sqlite3_db_filename(db, "main");
  if (name == nullptr || name[0] == '\0') return false;
  std::error_code error;
  return std::filesystem::equivalent(name, path, error) && !error;
}

// Was the file of this connection renamed, deleted or replaced? What is open cannot give its inode
// to another file, so SQLite's comparison of inodes is exact.
bool has_moved(sqlite3* db) {
  int moved = 0;
  const int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  return rc != SQLITE_OK || moved != 0;
}

// Who a database is; nobody, if it tracks nothing.
Status identity_of(sqlite3* db, std::optional<SiteId>* out) {
  bool tracks = false;
  SYNCLINE_TRY(has_companions(db, &tracks));
  if (!tracks) return {};
  Registry lives;
  SYNCLINE_TRY(load_lives(db, &lives));
  if (lives.incarnations.empty()) {
    return {StatusCode::internal, "sync_incarnation names no site of this database"};
  }
  *out = lives.sites.id(lives.self());
  return {};
}

}  // namespace

std::string path_of_uri(const std::string& text) {
  if (!is_uri(text)) return text;
  std::string rest = text.substr(5, text.find_first_of("?#") - 5);
  if (rest.compare(0, 2, "//") == 0) {
    const size_t slash = rest.find('/', 2);
    rest = slash == std::string::npos ? std::string() : rest.substr(slash);
  }
  std::string out;
  for (size_t i = 0; i < rest.size(); ++i) {
    const int high = i + 2 < rest.size() ? hex_digit(rest[i + 1]) : -1;
    const int low = i + 2 < rest.size() ? hex_digit(rest[i + 2]) : -1;
    if (rest[i] == '%' && high >= 0 && low >= 0) {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += rest[i];
    }
  }
  return out;
}

void CloseFile::operator()(sqlite3* db) const {
  sqlite3_close_v2(db);
}

void FilePeer::keep() {
  if (db_ == nullptr || kept_ == nullptr) return;
  const char* name = sqlite3_db_filename(db_.get(), "main");
  if (!kept_->always && sqlite3_uri_boolean(name, "keep", 0) == 0) return;
  endpoint_.reset();
  kept_->files.keep(url_, std::move(db_));
}

Status FilePeer::connect(const std::string& path) {
  if (db_ != nullptr) return {};
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | (is_uri(path) ? SQLITE_OPEN_URI : 0);
  sqlite3* db = nullptr;
  const int rc = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
  db_.reset(db);
  if (rc != SQLITE_OK) return status_of(db, rc, "opening peer \"" + path + "\"");
  sqlite3_busy_timeout(db, kBusyTimeoutMs);
  return {};
}

Status FilePeer::open(sqlite3* local, const std::string& path, uint64_t drift_ms_max,
                      KeptPeers* kept) {
  const std::string file = path_of_uri(path);
  std::error_code error;
  if (file.empty() || file == ":memory:" || !std::filesystem::exists(file, error)) {
    // It may have been meant for a URL.
    return {StatusCode::refused, "there is no database file \"" + mask_password(path) + "\"",
            "check the path; to fill a new database, open it and call sync_clone there"};
  }
  if (same_file(local, file)) {
    return {StatusCode::refused, "\"" + path + "\" is this database itself",
            "name another database"};
  }
  kept_ = kept;
  url_ = path;
  db_ = kept->files.take(path);
  if (db_ != nullptr && (!same_file(db_.get(), file) || has_moved(db_.get()))) db_.reset();
  SYNCLINE_TRY(connect(path));
  const std::string label = "peer \"" + path + "\"";
  sqlite3_db_config(db_.get(), SQLITE_DBCONFIG_ENABLE_FKEY, enforces_foreign_keys(local) ? 1 : 0,
                    nullptr);
  std::optional<SiteId> ours, theirs;
  SYNCLINE_TRY(identity_of(local, &ours));
  const Status read = identity_of(db_.get(), &theirs);
  if (!read.ok()) return {read.code(), label + ": " + read.message(), read.hint()};
  if (!theirs) {
    return {StatusCode::refused, label + " tracks no table yet",
            "load the extension there and SELECT sync_enable('your_table')"};
  }
  if (ours == theirs) SYNCLINE_TRY(take_new_identity(local));
  // Without a mutex, although one was asked for, the library is for a single thread.
  const bool threads = sqlite3_db_mutex(db_.get()) != nullptr;
  endpoint_ = std::make_unique<BackgroundPeer>(db_.get(), label, drift_ms_max, threads);
  return {};
}

}  // namespace syncline
