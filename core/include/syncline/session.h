// One sync conversation: which step comes next. No socket, no clock, no transaction.
//
// Both databases are Endpoints, one of them local. A session says hello, compares protocol,
// identity, clocks and schemas, pulls until the exchange is complete, then pushes. What was applied
// stays applied when it breaks off: the receiver keeps the token, and the next session goes on.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "syncline/apply.h"
#include "syncline/exporter.h"

namespace syncline {

inline constexpr int kProtocolVersion = 1;

// How a site introduces itself: the result of sync_hello() in SQL, as JSON on the wire.
struct Hello {
  int protocol = kProtocolVersion;
  std::string site;    // hex
  std::string name;
  std::string engine;  // "sqlite 3.40.1", "postgresql 15.4"
  std::string version;
  std::string vector;  // JSON
  uint64_t now_ms = 0;
  std::vector<TableSchema> tables;  // present and tracked here
  // Resume tokens (hex) of exchanges that broke off here, by sender (hex site id).
  std::vector<std::pair<std::string, std::string>> unfinished;
  std::vector<std::string> retired;  // hex site ids: with these it exchanges nothing
  std::string melted;    // names what has melted here, by a hash; empty: nothing has
  bool joining = false;  // a full exchange into it is unfinished: it has to be given everything
};
std::string hello_to_json(const Hello& hello);
Status hello_from_json(std::string_view json, Hello* out);

// A database that can take part in a session. Each call is a transaction of its own.
class Endpoint {
 public:
  virtual ~Endpoint() = default;
  virtual Status hello(Hello* out) = 0;
  // The next chunk of an exchange for a holder of `vector_json`, from `resume_hex` if not empty.
  virtual Status produce(const std::string& vector_json, const std::string& resume_hex,
                         const ExportOptions& options, ExportedChunk* out) = 0;
  virtual Status consume(const std::string& chunk, ApplyReport* out) = 0;
  // Starts what a call of hello(), produce() or consume() with the same arguments will end, so that
  // both databases work at once. False, or nothing: this one does not work in the background.
  // Whatever else it is asked before waits for it, and drops what was produced.
  virtual void begin_hello();
  virtual void begin_produce(const std::string& vector_json, const std::string& resume_hex,
                             const ExportOptions& options);
  virtual bool begin_consume(const std::string& chunk);
  // Describes the tracked tables, for clone.h. Errors: unsupported_version if it cannot.
  virtual Status schema(std::string* json);
  // Answers a question of verify.h. Errors: unsupported_version if it cannot.
  virtual Status answer(const std::string& question, std::string* out);
  // What chunks from and to this, the remote end, are compressed with where nobody has chosen.
  virtual Compression compression() const { return Compression::zstd; }
};

enum class Direction : uint8_t { both, pull, push };

struct SessionOptions {
  Direction direction = Direction::both;
  ExportOptions export_options;
  uint64_t drift_ms_max = limits::drift_ms_max_default;
  bool maintain = false;  // hosts call sync_maintain here when the session has succeeded
};

struct SessionCounts {
  uint64_t rows = 0, bytes = 0, chunks = 0;
};

struct SessionReport {
  std::string peer_site, peer_name, peer_engine;
  std::string peer_vector;  // JSON: what the peer is known to have afterwards
  SessionCounts pulled, pushed;
  uint64_t applied_here = 0, applied_there = 0;
  uint64_t conflicts = 0;    // opened by this session; one that both sides find counts once
  uint64_t quarantined = 0;  // rows held when it ended, on both sides
  int64_t peer_clock_ahead_ms = 0;
  std::vector<std::string> warnings;  // schema differences that would lose something
  std::string maintained;             // JSON of sync_maintain, if it was asked for
};

// Runs a whole session. `progress`, if set, is called after each chunk; returning an error stops.
// Errors: those of the endpoints; identity (a peer of the same id), refused (one was retired),
// unsupported_version, clock_drift, each naming the peer.
Status run_session(Endpoint* local, Endpoint* remote, const SessionOptions& options,
                   const std::function<Status(const SessionReport&)>& progress,
                   SessionReport* report);

// {"site":..., "pulled":{"rows":..,"bytes":..,"chunks":..}, "pushed":{..}, ...}: sync_now's result.
std::string report_to_json(const SessionReport& report, double duration_ms);

// Reports, as sentences, columns and keys that the two schemas cannot exchange without loss.
std::vector<std::string> compare_schemas(const std::vector<TableSchema>& ours,
                                         const std::vector<TableSchema>& theirs);

// The hello of the database behind `port`: what every host's sync_hello() gives, before `engine`
// and `version` are filled in. Hosts bring their log up to date first.
Status make_hello(Port* port, Hello* out);

// Parses sync_now's options: {"direction":..., "max_bytes":..., "compress":..., "maintain":...}.
Status session_options_from_json(std::string_view json, SessionOptions* out);

// How a peer is synchronised with in the background.
struct BackgroundOptions {
  uint64_t interval_ms = 30'000;  // from the end of a session to the next, if nothing happens
  std::string session;            // those of its sessions: a JSON object for sync_now
  Direction direction = Direction::both;
};

// Parses sync_start's options: "interval_ms", from 100 to a day, and those of sync_now.
Status background_options_from_json(std::string_view json, BackgroundOptions* out);

// How long to rest after so many sessions that failed in a row, from 1 on: a second, then twice as
// long each time, up to a minute or the interval, but a second at least.
uint64_t background_rest_ms(uint64_t failures, uint64_t interval_ms);

}  // namespace syncline
