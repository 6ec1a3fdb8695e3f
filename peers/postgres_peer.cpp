// The endpoint: three statements, each tried again while the server says that it is busy.
//
// A chunk is asked for by one statement with LIMIT 1 and the resume token: the function hands out
// its chunks one at a time, so the server makes no more than that one, and nothing is kept open
// between calls. A chunk counts as received when its transaction has ended, so that what we got
// is durable over there.
#include "peers/postgres_peer.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <random>

#include "peers/peer_json.h"
#include "peers/postgres_connection.h"
#include "peers/postgres_url.h"

namespace syncline {
namespace {

constexpr int kPauseMsFirst = 20;
constexpr int kPauseMsMax = 2'000;
// How often a host without its own wait is asked whether it was interrupted.
constexpr int kPollSliceMs = 100;
// So long one statement waits for news: it holds back VACUUM over there meanwhile.
constexpr int kAwaitMs = 5'000;

// The server itself ends a kept connection that nobody has used for so long: the application may
// never call again. Releases before 14 know no such limit; one that was set there stays.
constexpr const char* kIdleLimit =
    "SELECT CASE WHEN pg_catalog.current_setting('idle_session_timeout', true)"
    " OPERATOR(pg_catalog.=) '0'"
    " THEN pg_catalog.set_config('idle_session_timeout', '15min', false) END;";

class PostgresPeer final : public PostgresEndpoint {
 public:
  PostgresPeer(const LibPq* libpq, const PostgresPeerOptions& options)
      : libpq_(libpq),
        busy_retry_ms_max_(options.busy_retry_ms_max),
        renew_ms_max_(options.connect_timeout_ms),
        connection_(libpq, options),
        random_(std::random_device{}()) {}

  Status begin(const std::string& url);
  Status finish_connecting() override;
  Status renew() override;
  bool to_be_kept() const override { return keep_; }
  Status await_change(int64_t* seen, const std::function<bool()>& stop, bool* news) override;
  void begin_hello() override;
  Status hello(Hello* out) override;
  Status produce(const std::string& vector_json, const std::string& resume_hex,
                 const ExportOptions& options, ExportedChunk* out) override;
  Status consume(const std::string& chunk, ApplyReport* out) override;
  void begin_produce(const std::string& vector_json, const std::string& resume_hex,
                     const ExportOptions& options) override;
  bool begin_consume(const std::string& chunk) override;
  Status schema(std::string* json) override;
  Status answer(const std::string& question, std::string* out) override;
  // Through a Unix-domain socket bytes are cheaper than compressing them: zstd took a fifth of the
  // time of a sender of rows, the slower of the two sides.
  Compression compression() const override {
    return connection_.is_local() ? Compression::none : Compression::zstd;
  }

 private:
  Status prepare();
  std::string hello_sql() const;
  std::string produce_sql() const;
  std::string consume_sql() const;
  void begin(const std::string& sql, const std::vector<Parameter>& parameters);
  Status run(const std::string& sql, const std::vector<Parameter>& parameters, ResultPtr* out);
  Status query(const std::string& sql, const std::vector<Parameter>& parameters, int column_count,
               ResultPtr* out);
  std::string_view bytes(const ResultPtr& result, int column) const;
  Status integer(const ResultPtr& result, int column, uint64_t* out) const;
  Status unexpected() const;

  const LibPq* libpq_;
  int busy_retry_ms_max_;
  int renew_ms_max_;
  bool keep_ = false;
  PostgresConnection connection_;
  std::minstd_rand random_;
  std::string schema_;  // of the extension, quoted
  // A statement that was sent and whose result is to be read: its text and parameters. Else empty.
  std::string begun_;
};

Status PostgresPeer::begin(const std::string& url) {
  std::string plain = url;
  keep_ = take_keep(&plain);
  return connection_.begin(plain);
}

Status PostgresPeer::finish_connecting() {
  SYNCLINE_TRY(connection_.finish());
  return prepare();
}

Status PostgresPeer::renew() {
  connection_.set_time_limit(renew_ms_max_);
  ResultPtr ignored;
  if (!begun_.empty()) (void)connection_.receive(&ignored);
  begun_.clear();
  const Status done = prepare();
  connection_.set_time_limit(0);
  return done;
}

// Settings, and the schema of the extension: it may have been made anew since the last session.
Status PostgresPeer::prepare() {
  ResultPtr result;
  // Exchange works at READ COMMITTED only; the role's defaults may be others.
  SYNCLINE_TRY(connection_.simple_query(
      "SET default_transaction_isolation TO 'read committed';"
      "SET default_transaction_read_only TO off;" +
          std::string(keep_ ? kIdleLimit : "") +
      "SELECT n.nspname FROM pg_catalog.pg_extension AS x"
      " JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) x.extnamespace"
      " WHERE x.extname OPERATOR(pg_catalog.=) 'syncline'",
      &result));
  if (result == nullptr || libpq_->ntuples(result.get()) != 1) {
    return Status(StatusCode::refused,
                  "the database at " + connection_.target() + " does not have the extension",
                  "run CREATE EXTENSION syncline there");
  }
  schema_ = connection_.quote_identifier(std::string(bytes(result, 0)));
  return {};
}

namespace {

std::string name_of(const std::string& sql, const std::vector<Parameter>& parameters) {
  std::string name = sql;
  for (const Parameter& parameter : parameters) {
    name += '\0';
    // Of a chunk, where it ends says enough: it has a checksum there.
    name += parameter.bytes.substr(parameter.binary && parameter.bytes.size() > 64
                                       ? parameter.bytes.size() - 64
                                       : 0);
  }
  return name;
}

}  // namespace

// Sends a statement without waiting for it. If it cannot be sent, the one that waits says why.
void PostgresPeer::begin(const std::string& sql, const std::vector<Parameter>& parameters) {
  ResultPtr ignored;
  if (!begun_.empty()) (void)connection_.receive(&ignored);
  begun_.clear();
  if (connection_.send(sql, parameters).ok()) begun_ = name_of(sql, parameters);
}

// Runs a statement, or goes on with it if it has begun. One that nobody asked about is waited for.
Status PostgresPeer::run(const std::string& sql, const std::vector<Parameter>& parameters,
                         ResultPtr* out) {
  if (begun_.empty()) return connection_.query(sql, parameters, out);
  const bool same = begun_ == name_of(sql, parameters);
  begun_.clear();
  ResultPtr ignored;
  const Status status = connection_.receive(same ? out : &ignored);
  if (same || status.code() == StatusCode::cancelled) return status;
  return connection_.query(sql, parameters, out);
}

// Runs a statement that returns one row of `column_count` columns, none of them null.
Status PostgresPeer::query(const std::string& sql, const std::vector<Parameter>& parameters,
                           int column_count, ResultPtr* out) {
  int ceiling = kPauseMsFirst, waited = 0;
  while (true) {
    Status status = run(sql, parameters, out);
    if (status.code() == StatusCode::busy && waited < busy_retry_ms_max_) {
      // Full jitter: a random part of a ceiling that doubles.
      int pause_ms = 1 + static_cast<int>(random_() % static_cast<unsigned>(ceiling));
      SYNCLINE_TRY(connection_.pause(pause_ms));
      waited += pause_ms;
      ceiling = std::min(ceiling * 2, kPauseMsMax);
      continue;
    }
    if (!status.ok()) return status;
    break;
  }
  if (*out == nullptr || libpq_->ntuples(out->get()) != 1 ||
      libpq_->nfields(out->get()) != column_count) {
    return unexpected();
  }
  for (int i = 0; i < column_count; i++) {
    if (libpq_->getisnull(out->get(), 0, i) != 0) return unexpected();
  }
  return {};
}

Status PostgresPeer::unexpected() const {
  return Status(StatusCode::peer_failed,
                "the database at " + connection_.target() +
                    " answered in a form that this version does not know",
                "compare the versions of the extension on both sides");
}

std::string_view PostgresPeer::bytes(const ResultPtr& result, int column) const {
  return {libpq_->getvalue(result.get(), 0, column),
          static_cast<size_t>(libpq_->getlength(result.get(), 0, column))};
}

// A binary int4, int8 or boolean: big-endian bytes.
Status PostgresPeer::integer(const ResultPtr& result, int column, uint64_t* out) const {
  std::string_view raw = bytes(result, column);
  if (raw.size() != 1 && raw.size() != 4 && raw.size() != 8) return unexpected();
  if ((static_cast<unsigned char>(raw[0]) & 0x80u) != 0) return unexpected();
  *out = 0;
  for (char c : raw)
    *out = *out << 8 | static_cast<unsigned char>(c);
  return {};
}

Status PostgresPeer::hello(Hello* out) {
  ResultPtr result;
  SYNCLINE_TRY(query(hello_sql(), {}, 1, &result));
  return hello_from_json(bytes(result, 0), out);
}

void PostgresPeer::begin_hello() { begin(hello_sql(), {}); }

std::string PostgresPeer::hello_sql() const {
  return "SELECT " + schema_ + ".sync_hello()::pg_catalog.text";
}

std::string PostgresPeer::produce_sql() const {
  return "SELECT (c.r).changes, (c.r).chunk, (c.r).row_count, (c.r).last FROM (SELECT " + schema_ +
         ".sync_changes_since($1::pg_catalog.jsonb, $2::pg_catalog.jsonb) AS r LIMIT 1) AS c";
}

std::string PostgresPeer::consume_sql() const {
  return "SELECT " + schema_ + ".sync_apply($1)::pg_catalog.text";
}

void PostgresPeer::begin_produce(const std::string& vector_json, const std::string& resume_hex,
                                 const ExportOptions& options) {
  const std::string options_json = export_options_to_json(options, resume_hex);
  begin(produce_sql(), {{vector_json}, {options_json}});
}

bool PostgresPeer::begin_consume(const std::string& chunk) {
  begin(consume_sql(), {{chunk, true}});
  return true;
}

Status PostgresPeer::produce(const std::string& vector_json, const std::string& resume_hex,
                             const ExportOptions& options, ExportedChunk* out) {
  const std::string options_json = export_options_to_json(options, resume_hex);
  ResultPtr result;
  SYNCLINE_TRY(query(produce_sql(), {{vector_json}, {options_json}}, 4, &result));
  uint64_t last = 0;
  SYNCLINE_TRY(integer(result, 1, &out->number));
  SYNCLINE_TRY(integer(result, 2, &out->row_count));
  SYNCLINE_TRY(integer(result, 3, &last));
  out->bytes = bytes(result, 0);
  out->last = last != 0;
  out->resume_hex.clear();  // the token is in the chunk; who applies it learns it
  return {};
}

Status PostgresPeer::consume(const std::string& chunk, ApplyReport* out) {
  ResultPtr result;
  SYNCLINE_TRY(query(consume_sql(), {{chunk, true}}, 1, &result));
  return report_from_json(bytes(result, 0), out);
}

Status PostgresPeer::schema(std::string* json) {
  ResultPtr result;
  SYNCLINE_TRY(query("SELECT " + schema_ + ".sync_schema()::pg_catalog.text", {}, 1, &result));
  *json = bytes(result, 0);
  return {};
}

Status PostgresPeer::answer(const std::string& question, std::string* out) {
  ResultPtr result;
  SYNCLINE_TRY(query("SELECT syncline.answer($1)", {{question, true}}, 1, &result));
  *out = bytes(result, 0);
  return {};
}

// A null answer: nothing happened in that time.
Status PostgresPeer::await_change(int64_t* seen, const std::function<bool()>& stop, bool* news) {
  const std::string sql =
      "SELECT syncline.await_change($1, " + std::to_string(kAwaitMs) + ", true)";
  ResultPtr result;
  *news = false;
  if (!begun_.empty()) (void)connection_.receive(&result);
  begun_.clear();
  bool stopped = false;
  const std::function<bool()> stop_once = [&] { return stopped = stopped || stop(); };
  while (!stop_once()) {
    const std::string from = std::to_string(*seen);
    const std::vector<Parameter> parameters = {Parameter{from}};
    // a peer that is gone without a word does not answer
    connection_.set_time_limit(kAwaitMs + renew_ms_max_);
    const Status status = connection_.query_until(sql, parameters, stop_once, &result);
    connection_.set_time_limit(0);
    if (!status.ok()) return status;
    if (result == nullptr) continue;
    if (libpq_->ntuples(result.get()) != 1 || libpq_->nfields(result.get()) != 1) {
      return unexpected();
    }
    if (libpq_->getisnull(result.get(), 0, 0) != 0) continue;
    uint64_t position = 0;
    SYNCLINE_TRY(integer(result, 0, &position));
    *seen = static_cast<int64_t>(position);
    *news = true;
    return {};
  }
  return {};
}

}  // namespace

WaitFunction poll_wait(std::function<bool()> interrupted) {
  return [interrupted = std::move(interrupted)](const SocketWait& wait, bool* ready) -> Status {
    using Clock = std::chrono::steady_clock;
    auto deadline = Clock::now() + std::chrono::milliseconds(wait.timeout_ms);
    pollfd descriptor{wait.socket, 0, 0};
    if (wait.read) descriptor.events |= POLLIN;
    if (wait.write) descriptor.events |= POLLOUT;
    *ready = false;
    while (true) {
      if (interrupted && interrupted()) return Status(StatusCode::cancelled, "interrupted");
      auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
      if (left <= 0) return {};
      int slice = static_cast<int>(std::min<int64_t>(left, kPollSliceMs));
      int found = poll(&descriptor, wait.socket < 0 ? 0 : 1, slice);
      if (found > 0) {
        *ready = true;
        return {};
      }
      if (found < 0 && errno != EINTR) {
        return Status(StatusCode::peer_failed, std::string("poll: ") + std::strerror(errno));
      }
    }
  };
}

Status begin_connecting(const std::string& url, const PostgresPeerOptions& options,
                        std::unique_ptr<PostgresEndpoint>* out) {
  const LibPq* libpq = nullptr;
  SYNCLINE_TRY(load_libpq(&libpq));
  auto peer = std::make_unique<PostgresPeer>(libpq, options);
  SYNCLINE_TRY(peer->begin(url));
  *out = std::move(peer);
  return {};
}

Status connect_postgres(const std::string& url, const PostgresPeerOptions& options,
                        std::unique_ptr<PostgresEndpoint>* out) {
  std::unique_ptr<PostgresEndpoint> peer;
  SYNCLINE_TRY(begin_connecting(url, options, &peer));
  SYNCLINE_TRY(peer->finish_connecting());
  *out = std::move(peer);
  return {};
}

}  // namespace syncline
