// One libpq connection that waits through its host. Used by postgres_peer.cpp only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "peers/libpq.h"
#include "peers/postgres_peer.h"

namespace syncline {

struct ResultDeleter {
  const LibPq* libpq = nullptr;
  void operator()(PGresult* result) const { libpq->clear(result); }
};
using ResultPtr = std::unique_ptr<PGresult, ResultDeleter>;

// A parameter of a statement: text, or the bytes of a bytea.
struct Parameter {
  std::string_view bytes;
  bool binary = false;
};

class PostgresConnection {
 public:
  PostgresConnection(const LibPq* libpq, const PostgresPeerOptions& options)
      : libpq_(libpq), options_(options) {}
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  // Connecting, in two halves: what comes between them goes on here while the server starts a
  // process, and its name is resolved in the first.
  Status begin(const std::string& url);
  Status finish();
  // Runs one statement and waits until its transaction has ended. All columns come in binary form.
  // REQUIRES: finish succeeded, and no earlier call failed with peer_failed.
  Status query(const std::string& sql, const std::vector<Parameter>& parameters, ResultPtr* out);
  // The two halves of query(): what comes between them goes on here while the server works.
  Status send(const std::string& sql, const std::vector<Parameter>& parameters);
  Status receive(ResultPtr* out) { return collect(out); }
  // As query(), but `stop` is asked a hundred times a second: true cancels the statement, and *out
  // is null. So it is, too, when the statement was cancelled over there.
  Status query_until(const std::string& sql, const std::vector<Parameter>& parameters,
                     const std::function<bool()>& stop, ResultPtr* out);
  // Runs statements without parameters; the result is that of the last one, in text form.
  Status simple_query(const std::string& sql, ResultPtr* out);
  // Waits for some time.
  Status pause(int ms);
  // From now on until it is called with 0: a wait that ends later than this makes the call fail.
  void set_time_limit(int ms);

  std::string quote_identifier(const std::string& name) const;
  // Does it go through a Unix-domain socket, hence to this machine?
  bool is_local() const;
  // "host:port/database", for messages.
  const std::string& target() const { return target_; }

 private:
  Status check_url(const std::string& url);
  Status start(const std::string& url);
  Status finish_connecting();
  Status check_password() const;
  Status connect_error() const;
  Status flush();
  Status collect(ResultPtr* out);
  Status result_error(const PGresult* result);
  Status cancel() const;
  Status lost() const;
  Status wait(bool read, bool write, int timeout_ms, bool* ready) const;

  const LibPq* libpq_;
  PostgresPeerOptions options_;
  PGconn* connection_ = nullptr;
  PostgresPollingStatusType connecting_ = PGRES_POLLING_WRITING;
  int connect_timeout_ms_ = 0;
  int64_t connect_deadline_ms_ = 0;
  std::string target_;
  int64_t time_limit_ms_ = 0;  // by the clock of now_ms(); 0: there is none
  std::string error_state_;    // the SQLSTATE of the last error that the server reported
};

}  // namespace syncline
