// A PostgreSQL database with the extension, reached over libpq, as one side of a session.
//
//   PostgresPeerOptions options;
//   options.wait = poll_wait([&] { return interrupted(); });
//   std::unique_ptr<PostgresEndpoint> peer;
//   SYNCLINE_TRY(connect_postgres("postgresql://hub/app", options, &peer));
//
// The connection never blocks inside libpq: whenever it has to wait it calls the host, which can
// be interrupted. (There are two exceptions: libpq resolves names with getaddrinfo, and cancels a
// statement by a connection of its own.) Each call of the endpoint is one statement, hence one
// transaction, over there. A statement that meets a lock or a deadlock is tried again, with
// growing, random pauses.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "syncline/session.h"

namespace syncline {

// What to wait for. Without a socket (-1): for the time to pass.
struct SocketWait {
  int socket = -1;
  bool read = false;
  bool write = false;
  int timeout_ms = 0;
};
// Waits; sets *ready to false when the time is over, and may set it to true early. An error
// (cancelled, host_failed) ends the conversation.
using WaitFunction = std::function<Status(const SocketWait& wait, bool* ready)>;

// A wait with poll(2), for hosts without a better one. `interrupted`, if set, is asked at least ten
// times a second; true makes the wait return cancelled.
WaitFunction poll_wait(std::function<bool()> interrupted);

struct PostgresPeerOptions {
  WaitFunction wait;
  // For the whole of connecting; a connect_timeout in the URL comes first.
  int connect_timeout_ms = 10'000;
  // How long a statement that meets a lock is tried again.
  int busy_retry_ms_max = 30'000;
  // Demand that the connection used a password which is in the URL itself: the rule under which
  // PostgreSQL lets others than superusers open connections from the server (see dblink).
  bool password_required = false;
};

// A peer whose connection can serve further sessions. Between two it is idle: no transaction, no
// lock. It counts as one of the server's connections, and DROP DATABASE fails beside it.
class PostgresEndpoint : public Endpoint {
 public:
  // The second half of connecting, where begin_connecting() was the first. Before anything else.
  virtual Status finish_connecting() = 0;
  // Before each session but the first: looks whether the connection still serves, within the time
  // that connecting would be given. One round trip. Any error but cancelled: connect anew.
  virtual Status renew() = 0;
  // After a session that went well and before the next: whether the URL says keep=1.
  virtual bool to_be_kept() const = 0;
  // Waits until the peer has news: `*seen` is not where its numbering stands, or changes were
  // written there that have no number yet. `stop` is asked some hundred times a second and ends the
  // wait, with *news false. Sets *seen to where the numbering stands. -1 in *seen: returns at once.
  // Errors as of any call: the connection cannot be used any more.
  virtual Status await_change(int64_t* seen, const std::function<bool()>& stop, bool* news) = 0;
};

// Connects and finds the extension, in whatever schema it is. Errors, none of which contains a
// password: invalid_argument for a malformed URL; peer_failed when the server cannot be reached;
// refused for failed authentication, a database without the extension, a missing libpq, a
// password that is required and was not used; busy when the server has no connection free.
Status connect_postgres(const std::string& url, const PostgresPeerOptions& options,
                        std::unique_ptr<PostgresEndpoint>* out);

// The same up to where the server has to be waited for: it starts a process while the caller goes
// on, and may answer before finish_connecting() of the peer asks.
Status begin_connecting(const std::string& url, const PostgresPeerOptions& options,
                        std::unique_ptr<PostgresEndpoint>* out);

}  // namespace syncline
