// See peer_link.h.
#include "sqlite_ext/peer_link.h"

#include <filesystem>

#include "peers/postgres_peer.h"
#include "peers/postgres_url.h"
#include "sqlite_ext/transaction.h"

namespace syncline {

bool interrupted(sqlite3* db) {
  return execute(db, "SELECT 1").code() == StatusCode::cancelled;
}

Status refuse_session(sqlite3* db, const char* what) {
  if (sqlite3_get_autocommit(db) == 0) {
    return {StatusCode::refused, std::string(what) + " cannot run inside a transaction",
            "COMMIT first: a session commits chunk by chunk"};
  }
  SYNCLINE_TRY(refuse_inside_writing_statement(db, what));
  return refuse_beside_running_statement(db, what);
}

Status PeerLink::open(sqlite3* db, const std::string& url, uint64_t drift_ms_max, KeptPeers* kept) {
  if (!is_postgres_url(url)) return file_.open(db, url, drift_ms_max, kept);
  kept_ = kept;
  url_ = url;
  remote_ = kept->servers.take(url);
  if (remote_ != nullptr) {
    Status serves = remote_->renew();
    if (serves.ok() || serves.code() == StatusCode::cancelled) return serves;
    remote_.reset();
  }
  PostgresPeerOptions options;
  options.wait = poll_wait([db] { return interrupted(db); });
  return connect_postgres(url, options, &remote_);
}

void PeerLink::keep() {
  file_.keep();
  if (remote_ == nullptr) return;
  if (kept_->always || remote_->to_be_kept()) kept_->servers.keep(url_, std::move(remote_));
}

Status find_peer(const std::vector<Peer>& peers, const std::string& target, int64_t* place) {
  *place = place_of_peer(peers, target);
  const bool looks_like_path = target.find_first_of("/.:") != std::string::npos;
  std::error_code ignored;
  if (*place >= 0 || is_postgres_url(target) || looks_like_path ||
      std::filesystem::exists(target, ignored)) {
    return {};
  }
  const Status unknown = unknown_peer(peers, target);
  return {StatusCode::invalid_argument,
          "\"" + mask_password(target) + "\" is no stored peer, no postgresql: URL and no file",
          unknown.hint()};
}

}  // namespace syncline
