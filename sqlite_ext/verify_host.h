// What answering the questions of a verification needs of SQLite (syncline/verify.h).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sqlite_ext/digest_store.h"
#include "sqlite_ext/operation.h"

namespace syncline {

class SqliteVerifyHost : public VerifyHost {
 public:
  // Works inside `operation`. Sums to be stored go to `records`: the caller writes them when the
  // snapshot is gone, for a reader cannot turn into a writer.
  SqliteVerifyHost(Operation* operation, std::vector<DigestRecord>* records)
      : operation_(*operation), db_(operation->db()), records_(*records) {}

  Port& port() override { return operation_.port(); }
  Status scan_base(const TableInfo& table, const KeyFilter& wants,
                   const RowVisitor& visit) override;
  Status load_sums(const TableInfo& table, const std::string& plan, StoredSums* out) override;
  Status save_sums(const TableInfo& table, const std::string& plan,
                   const std::string& packed) override;
  Status list_plans(const TableInfo& table, std::vector<std::string>* out) override;
  Status forget_sums(const TableInfo& table) override;
  Status rewrite_rows(const TableInfo& table, std::span<const Rewrite> rows) override;

 private:
  Status access(const TableInfo& table, TableAccess** out);

  Operation& operation_;
  sqlite3* db_;
  std::vector<DigestRecord>& records_;
  std::map<uint32_t, std::unique_ptr<TableInfo>> tables_;  // the accesses refer to them
  std::map<uint32_t, std::unique_ptr<TableAccess>> accesses_;
};

// Answers a question in a transaction that fits it.
Status answer_in(sqlite3* db, KeptSums* kept, const std::string& question, std::string* answer);

// "sync_digest('task')": the digest of one table.
Status digest_of(sqlite3* db, const std::string& table, std::string* out);

}  // namespace syncline
