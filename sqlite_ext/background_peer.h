// A SQLite file as the other end of a session, which works while this database does: on a thread of
// its own, since two connections are two databases to SQLite. Between begin_ and the call that ends
// it nobody else touches the connection.
#pragma once

#include <exception>
#include <string>
#include <thread>

#include "sqlite_ext/sqlite_endpoint.h"

namespace syncline {

class BackgroundPeer : public Endpoint {
 public:
  // With `threads` false everything waits: the SQLite library was built or set up for one thread.
  BackgroundPeer(sqlite3* db, std::string label, uint64_t drift_ms_max, bool threads)
      : inner_(db, std::move(label), drift_ms_max), threads_(threads) {}
  ~BackgroundPeer() override { wait(); }

  Status hello(Hello* out) override;
  Status produce(const std::string& vector_json, const std::string& resume_hex,
                 const ExportOptions& options, ExportedChunk* out) override;
  Status consume(const std::string& chunk, ApplyReport* out) override;
  Status schema(std::string* json) override;
  Status answer(const std::string& question, std::string* out) override;
  // Between two files chunks never leave the process: compressing them took a sixth of the
  // instructions of a first fill.
  Compression compression() const override { return Compression::none; }
  void begin_produce(const std::string& vector_json, const std::string& resume_hex,
                     const ExportOptions& options) override;
  bool begin_consume(const std::string& chunk) override;

 private:
  enum class Work { none, produce, consume };
  void wait();
  bool finish(Work work);
  bool start(Work work);

  SqliteEndpoint inner_;
  const bool threads_;
  std::thread thread_;
  Work work_ = Work::none;
  // What was asked for, and what came of it.
  std::string vector_, resume_, chunk_;
  ExportOptions options_;
  Status status_;
  std::exception_ptr failure_;
  ExportedChunk produced_;
  ApplyReport applied_;
};

}  // namespace syncline
