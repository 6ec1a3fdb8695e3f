// Connecting, sending and receiving without ever blocking in libpq.
//
// Messages of libpq and of the server name hosts, users and databases. They never contain the
// password, but libpq's complaints about a malformed URL quote parts of it: those are shown only
// when there is nothing to hide. The server's DETAIL is left out, since it quotes values.
#include "peers/postgres_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "peers/postgres_url.h"
#include "peers/sqlstate.h"

namespace syncline {
namespace {

// A wait without an end is done in pieces of this length.
constexpr int kWaitSliceMs = 60'000;
// One that may be stopped, in pieces of this length.
constexpr int kStopSliceMs = 5;

int64_t now_ms() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// One line: every run of white space is one blank.
std::string trimmed(std::string_view text) {
  std::string out;
  for (char c : text) {
    bool blank = c == ' ' || c == '\n' || c == '\t';
    if (!blank) out += c;
    if (blank && !out.empty() && out.back() != ' ') out += ' ';
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// Takes the question off with which libpq ends what it says of a connection.
std::string take_hint(std::string* message) {
  const size_t at = message->find("\n\t");
  if (at == std::string::npos) return {};
  std::string hint = trimmed(std::string_view(*message).substr(at));
  if (hint.empty() || hint.find('?') != hint.size() - 1) return {};  // of several hosts
  message->resize(at);
  return hint;
}

bool is_sqlstate(std::string_view text) {
  return text.size() == 5 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
         });
}

// Takes the SQLSTATE out of a verbose message: 'FATAL:  28P01: password authentication failed ...'.
// It is the only place where libpq tells it about a connection that failed.
std::string take_sqlstate(std::string* message) {
  for (size_t at = message->find(":  "); at != std::string::npos;
       at = message->find(":  ", at + 1)) {
    std::string state = message->substr(at + 3, 5);
    if (!is_sqlstate(state) || message->substr(at + 8, 2) != ": ") continue;
    message->erase(at + 1, 8);
    size_t location = message->find("\nLOCATION:");
    if (location != std::string::npos) {
      size_t end = message->find('\n', location + 1);
      message->erase(location, end == std::string::npos ? end : end - location);
    }
    return state;
  }
  return {};
}

void ignore_notice(void*, const char*) {}

}  // namespace

PostgresConnection::~PostgresConnection() {
  if (connection_ != nullptr) libpq_->finish(connection_);
}

Status PostgresConnection::begin(const std::string& url) {
  connect_timeout_ms_ = options_.connect_timeout_ms;
  SYNCLINE_TRY(check_url(url));
  connect_deadline_ms_ = now_ms() + connect_timeout_ms_;
  SYNCLINE_TRY(start(url));
  // The first message goes out at once if it can: after it a server that is asked over a local
  // socket needs nothing from here until it is ready. A host's wait may end early once.
  bool ready = false;
  for (int i = 0; i < 2 && !ready; i++)
    SYNCLINE_TRY(wait(false, true, 0, &ready));
  if (ready) connecting_ = libpq_->connect_poll(connection_);
  return {};
}

Status PostgresConnection::finish() {
  SYNCLINE_TRY(finish_connecting());
  SYNCLINE_TRY(check_password());
  if (libpq_->setnonblocking(connection_, 1) != 0) return lost();
  libpq_->set_error_verbosity(connection_, PQERRORS_DEFAULT);
  return {};
}

// Parses the URL for the sake of a good message, of its timeout, and of the password rule.
Status PostgresConnection::check_url(const std::string& url) {
  char* why = nullptr;
  PQconninfoOption* parsed = libpq_->conninfo_parse(url.c_str(), &why);
  if (parsed == nullptr) {
    bool secret = url.find('@') != std::string::npos || mask_password(url) != url;
    std::string detail = why != nullptr && !secret ? ": " + trimmed(why) : std::string();
    if (why != nullptr) libpq_->freemem(why);
    return Status(StatusCode::invalid_argument, "malformed PostgreSQL URL" + detail,
                  "write postgresql://user@host:port/database?option=value, with special "
                  "characters percent-encoded");
  }
  bool has_password = false;
  for (const PQconninfoOption* option = parsed; option->keyword != nullptr; option++) {
    if (option->val == nullptr || option->val[0] == '\0') continue;
    if (std::strcmp(option->keyword, "password") == 0) has_password = true;
    if (std::strcmp(option->keyword, "connect_timeout") == 0) {
      int seconds = std::atoi(option->val);
      if (seconds > 0) connect_timeout_ms_ = std::min(seconds, 86'400) * 1000;
    }
  }
  libpq_->conninfo_free(parsed);
  if (options_.password_required && !has_password) {
    return Status(StatusCode::refused, "a password is required in the URL of the peer",
                  "only superusers may connect with the server's own credentials");
  }
  return {};
}

Status PostgresConnection::start(const std::string& url) {
  // What comes before dbname can be overridden by the URL; what comes after cannot.
  const char* keywords[] = {"fallback_application_name",
                            "keepalives_idle",
                            "keepalives_interval",
                            "keepalives_count",
                            "dbname",
                            "client_encoding",
                            nullptr};
  const char* values[] = {"syncline", "60", "10", "6", url.c_str(), "UTF8", nullptr};
  connection_ = libpq_->connect_start_params(keywords, values, 1);
  if (connection_ == nullptr) return Status(StatusCode::busy, "out of memory while connecting");
  libpq_->set_notice_processor(connection_, ignore_notice, nullptr);
  auto text = [](const char* value) { return std::string(value == nullptr ? "" : value); };
  target_ = text(libpq_->host(connection_)) + ":" + text(libpq_->port(connection_)) + "/" +
            text(libpq_->db(connection_));
  if (libpq_->status(connection_) == CONNECTION_BAD) return connect_error();
  libpq_->set_error_verbosity(connection_, PQERRORS_VERBOSE);
  return {};
}

Status PostgresConnection::finish_connecting() {
  while (connecting_ != PGRES_POLLING_OK) {
    if (connecting_ == PGRES_POLLING_FAILED) return connect_error();
    int64_t left = connect_deadline_ms_ - now_ms();
    bool ready = false;
    if (left > 0) {
      SYNCLINE_TRY(wait(connecting_ == PGRES_POLLING_READING,
                        connecting_ == PGRES_POLLING_WRITING, static_cast<int>(left), &ready));
    }
    if (!ready && now_ms() >= connect_deadline_ms_) {
      return Status(
          StatusCode::peer_failed,
          "no connection to " + target_ + " within " + std::to_string(connect_timeout_ms_ / 1000) +
              " s",
          "check host and port; connect_timeout in the URL changes the limit");
    }
    if (ready) connecting_ = libpq_->connect_poll(connection_);
  }
  return {};
}

Status PostgresConnection::check_password() const {
  if (!options_.password_required || libpq_->connection_used_password(connection_) != 0) return {};
  return Status(StatusCode::refused,
                "the server " + target_ + " did not ask for the password, which is required",
                "only superusers may connect without; change pg_hba.conf over there to a password "
                "method such as scram-sha-256");
}

Status PostgresConnection::connect_error() const {
  std::string message = libpq_->error_message(connection_);
  std::string state = take_sqlstate(&message);
  std::string hint = take_hint(&message);
  message = trimmed(message);
  if (message.empty()) message = "could not connect to " + target_;
  if (libpq_->connection_needs_password(connection_) != 0) {
    return Status(StatusCode::refused, message,
                  "put the password in the URL, in a service file or in a password file");
  }
  StatusCode code = state.empty() ? StatusCode::peer_failed : code_of_sqlstate(state);
  const bool asked = !hint.empty() || message.find("Is the server running") != std::string::npos;
  if (!asked && code == StatusCode::peer_failed) {
    hint = "check the URL, and that the server is running";
  }
  return Status(code, message, hint);
}

Status PostgresConnection::wait(bool read, bool write, int timeout_ms, bool* ready) const {
  SocketWait wait;
  wait.socket = libpq_->socket(connection_);
  wait.read = read;
  wait.write = write;
  wait.timeout_ms = timeout_ms;
  if (wait.socket < 0) return lost();
  if (time_limit_ms_ == 0) return options_.wait(wait, ready);
  const int64_t left = time_limit_ms_ - now_ms();
  if (left <= 0) return Status(StatusCode::peer_failed, target_ + " does not answer");
  wait.timeout_ms = static_cast<int>(std::min<int64_t>(left, timeout_ms));
  return options_.wait(wait, ready);
}

void PostgresConnection::set_time_limit(int ms) {
  time_limit_ms_ = ms == 0 ? 0 : now_ms() + ms;
}

Status PostgresConnection::pause(int ms) {
  int64_t deadline = now_ms() + ms;
  for (int64_t left = ms; left > 0; left = deadline - now_ms()) {
    SocketWait wait;
    wait.timeout_ms = static_cast<int>(left);
    bool ready = false;
    SYNCLINE_TRY(options_.wait(wait, &ready));
  }
  return {};
}

Status PostgresConnection::lost() const {
  std::string message = trimmed(libpq_->error_message(connection_));
  return Status(StatusCode::peer_failed, "connection to " + target_ + " lost: " + message,
                "what was applied so far is kept; the next sync goes on from there");
}

// Sends what libpq holds back, reading meanwhile: a server that is itself blocked on sending would
// otherwise never read.
Status PostgresConnection::flush() {
  while (true) {
    int state = libpq_->flush(connection_);
    if (state == 0) return {};
    if (state < 0) return lost();
    bool ready = false;
    SYNCLINE_TRY(wait(true, true, kWaitSliceMs, &ready));
    if (libpq_->consume_input(connection_) == 0) return lost();
  }
}

// Reads results up to the end of the transaction. An error that comes after a result, such as a
// commit that failed, replaces it.
Status PostgresConnection::collect(ResultPtr* out) {
  SYNCLINE_TRY(flush());
  Status status;
  while (true) {
    while (libpq_->is_busy(connection_) != 0) {
      bool ready = false;
      SYNCLINE_TRY(wait(true, false, kWaitSliceMs, &ready));
      if (ready && libpq_->consume_input(connection_) == 0) return lost();
    }
    ResultPtr result(libpq_->get_result(connection_), ResultDeleter{libpq_});
    if (result == nullptr) break;
    ExecStatusType state = libpq_->result_status(result.get());
    if (state == PGRES_COMMAND_OK || state == PGRES_TUPLES_OK) {
      *out = std::move(result);
    } else if (status.ok()) {
      status = result_error(result.get());
    }
  }
  if (libpq_->status(connection_) == CONNECTION_BAD) return lost();
  return status;
}

Status PostgresConnection::result_error(const PGresult* result) {
  auto field = [&](int code) {
    const char* text = libpq_->result_error_field(result, code);
    return std::string(text == nullptr ? "" : text);
  };
  std::string state = field(PG_DIAG_SQLSTATE);
  std::string message = field(PG_DIAG_MESSAGE_PRIMARY);
  if (state.empty()) return lost();
  error_state_ = state;
  return Status(code_of_sqlstate(state), target_ + " reports: " + message,
                field(PG_DIAG_MESSAGE_HINT));
}

Status PostgresConnection::query(const std::string& sql, const std::vector<Parameter>& parameters,
                                 ResultPtr* out) {
  SYNCLINE_TRY(send(sql, parameters));
  return collect(out);
}

Status PostgresConnection::query_until(const std::string& sql,
                                       const std::vector<Parameter>& parameters,
                                       const std::function<bool()>& stop, ResultPtr* out) {
  SYNCLINE_TRY(send(sql, parameters));
  bool stopped = false;
  while (!stopped && libpq_->is_busy(connection_) != 0) {
    bool ready = false;
    SYNCLINE_TRY(wait(true, false, kStopSliceMs, &ready));
    if (ready && libpq_->consume_input(connection_) == 0) return lost();
    stopped = stop();
  }
  if (stopped) SYNCLINE_TRY(cancel());
  error_state_.clear();
  const Status status = collect(out);
  if (!status.ok() && error_state_ != "57014") return status;  // query_canceled
  if (stopped || !status.ok()) out->reset();
  return {};
}

// Asks the server to cancel the statement that is running. When this returns, the server's process
// has the signal: it cannot hit a later statement.
Status PostgresConnection::cancel() const {
  char why[256] = "";
  PGcancel* cancel = libpq_->get_cancel(connection_);
  const bool done = cancel != nullptr && libpq_->cancel(cancel, why, sizeof why) != 0;
  libpq_->free_cancel(cancel);
  if (done) return {};
  return Status(StatusCode::peer_failed,
                target_ + " does not let a statement be cancelled: " + trimmed(why));
}

Status PostgresConnection::send(const std::string& sql, const std::vector<Parameter>& parameters) {
  constexpr Oid kUnspecified = 0, kBytea = 17;
  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> lengths, formats;
  for (const Parameter& parameter : parameters) {
    types.push_back(parameter.binary ? kBytea : kUnspecified);
    // A text parameter is a std::string's bytes, hence terminated.
    values.push_back(parameter.bytes.data() == nullptr ? "" : parameter.bytes.data());
    lengths.push_back(static_cast<int>(parameter.bytes.size()));
    formats.push_back(parameter.binary ? 1 : 0);
  }
  if (libpq_->send_query_params(connection_, sql.c_str(), static_cast<int>(parameters.size()),
                                types.data(), values.data(), lengths.data(), formats.data(),
                                1) == 0) {
    return lost();
  }
  return flush();
}

Status PostgresConnection::simple_query(const std::string& sql, ResultPtr* out) {
  if (libpq_->send_query(connection_, sql.c_str()) == 0) return lost();
  return collect(out);
}

bool PostgresConnection::is_local() const {
  sockaddr_storage address = {};
  socklen_t size = sizeof address;
  const int socket = libpq_->socket(connection_);
  return getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
         address.ss_family == AF_UNIX;
}

std::string PostgresConnection::quote_identifier(const std::string& name) const {
  char* quoted = libpq_->escape_identifier(connection_, name.data(), name.size());
  if (quoted == nullptr) return "\"\"";
  std::string out = quoted;
  libpq_->freemem(quoted);
  return out;
}

}  // namespace syncline
