// A SQLite connection as one side of a session. Each call is a transaction of its own; no statement
// and no transaction stays open between them.
#pragma once

#include <string>
#include <utility>

#include "sqlite_ext/change_scan.h"
#include "sqlite_ext/transaction.h"
#include "syncline/session.h"
#include "syncline/verify.h"

namespace syncline {

// Applies one chunk in one transaction. A database that finds its identity used by another takes a
// new one and tries again, once.
Status apply_to(sqlite3* db, const std::string& chunk, const ApplyOptions& options,
                ApplyReport* report);

// "sqlite 3.40.1"
std::string engine_name();

class SqliteEndpoint : public Endpoint {
 public:
  // `db` must outlive the endpoint. `label` starts the messages of its errors: 'peer "other.db"'.
  SqliteEndpoint(sqlite3* db, std::string label, uint64_t drift_ms_max)
      : db_(db), label_(std::move(label)) {
    apply_options_.drift_ms_max = drift_ms_max;
  }

  Status hello(Hello* out) override;
  Status produce(const std::string& vector_json, const std::string& resume_hex,
                 const ExportOptions& options, ExportedChunk* out) override;
  Status consume(const std::string& chunk, ApplyReport* out) override;
  Status schema(std::string* json) override;
  Status answer(const std::string& question, std::string* out) override;

 private:
  Status labelled(Status status) const;
  Status introduce(Hello* out);
  Status fold_if_needed();
  Status produce_once(const std::string& vector_json, const std::string& resume_hex,
                      const ExportOptions& options, ExportedChunk* out);

  sqlite3* db_;
  std::string label_;
  ApplyOptions apply_options_;
  ChangeList changes_;
  LargeCache cache_;
  KeptSums kept_sums_;
};

}  // namespace syncline
