// Verifying: do two databases hold the same rows? And repairing what differs.
//
// The driver (verify_peer, repair_peer) asks both databases the same questions and compares the
// answers; a database answers through answer_question, whatever its engine. Sums of all tables are
// compared first, then those of ever smaller ranges of key hashes where they differ, then the rows
// of the ranges that are left, then, of rows that differ, their versions: a row that differs
// because one side has a version that the other does not know yet is merely in flight.
//
// Questions and answers are bytes, specified in docs/verification.md. They come from a stranger:
// everything is checked and bounded.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "syncline/digest.h"
#include "syncline/port.h"
#include "syncline/session.h"

namespace syncline {

// Sums that a host kept from an earlier question, and what was written since then.
struct StoredSums {
  std::string packed;                // empty: none, or none that can be used
  std::vector<std::string> changed;  // encode_key of every row written since
};

// Asked before a row's values are read: are they wanted?
using KeyFilter = std::function<bool(RowKey key)>;
// Called with each row; its key and values (by column number) live until it returns.
using RowVisitor = std::function<Status(RowKey key, std::span<const Value> values)>;

// A row to be written anew: some of its columns, or all (none named).
struct Rewrite {
  RowKey key;
  std::vector<ColumnNumber> columns;
};

// What a host lends to answering, beside its port. All calls of one question see one snapshot.
class VerifyHost {
 public:
  virtual ~VerifyHost() = default;
  virtual Port& port() = 0;

  // Refuses a table that the caller may not read.
  virtual Status check_access(const TableInfo&) { return {}; }

  // Visits the base rows that `wants` (all, if it is null), in any order.
  virtual Status scan_base(const TableInfo& table, const KeyFilter& wants,
                           const RowVisitor& visit) = 0;
  // The sums stored for this table and plan (append_plan). Errors: host_failed.
  virtual Status load_sums(const TableInfo& table, const std::string& plan, StoredSums* out) = 0;
  // Stores sums of the snapshot at hand; a host that cannot (read-only) ignores it.
  virtual Status save_sums(const TableInfo& table, const std::string& plan,
                           const std::string& packed) = 0;
  // Forgets all sums stored for a table.
  virtual Status forget_sums(const TableInfo& table) = 0;
  // The plans of the sums stored for a table.
  virtual Status list_plans(const TableInfo& table, std::vector<std::string>* out) = 0;
  // Makes these rows count as written now: they get new versions with the values that the base
  // table shows, or are deleted if it has no such row. Errors: also for missing privileges.
  virtual Status rewrite_rows(const TableInfo& table, std::span<const Rewrite> rows) = 0;
};

// What an answering database remembers between the questions of one session, by plan.
struct KeptSums {
  struct Table {
    BucketSums sums;
    // Buckets that changed although nothing was logged, if every row was read.
    std::vector<uint64_t> unlogged;
    unsigned unlogged_bits = 0;
  };
  std::map<std::string, Table> by_plan;
};

enum class Question : uint8_t {
  sums = 1,     // sums of ranges
  list = 2,     // the rows of ranges: key, digest
  compare = 3,  // the same, of rows that are not among those of the asker
  rows = 4,     // single rows: digest and versions. The host folds its log first
  rewrite = 5,  // rewrite_rows. A write transaction
};
// What a question asks for, so that the host can begin the right transaction. Errors:
// corrupt_input.
Status question_of(std::string_view question, Question* out);
// Answers a question. Errors: corrupt_input, unsupported_version, schema_mismatch, host_failed.
Status answer_question(VerifyHost* host, KeptSums* kept, std::string_view question,
                       std::string* answer);

// The current sums of a table: from what is stored and what changed since, or with `deep` from
// every base row; then `unlogged` tells of buckets that differ from what is stored although nothing
// was logged, and as long as there are any, what is stored stays.
Status current_sums(VerifyHost* host, const TableInfo& table, const DigestPlan& plan, bool deep,
                    KeptSums::Table* out);

// sync_digest: "<rows> <32 hex digits>" over all rows and present columns, read anew.
Status digest_table(VerifyHost* host, const std::string& table, std::string* out);

struct VerifyOptions {
  bool deep = false;
  std::string table;        // empty: all
  uint64_t keys_max = 100;  // keys listed
  // For repairs.
  bool dry_run = false;
  std::string from;  // "", "local" or "peer"
};
// Parses the options of sync_verify or, with `repair`, sync_repair. Errors: invalid_argument.
Status verify_options_from_json(std::string_view json, bool repair, VerifyOptions* out);

enum class RowVerdict : uint8_t {
  different,  // other values, at the same knowledge
  only_here,
  only_there,
  in_flight,  // an exchange will settle it
  held,       // one side keeps it out of its table because of a constraint
};
const char* verdict_name(RowVerdict verdict);

struct RowDifference {
  std::string table;
  std::string pk_json;
  RowVerdict verdict = RowVerdict::different;
  std::string action;               // of a repair, or of a dry run
  bool done = true;                 // false: nothing could be decided
  std::string key_here, key_there;  // encode_key, as each side spells it; empty: not known
};

struct TableVerdict {
  std::string table;
  uint64_t rows_here = 0, rows_there = 0;
  uint64_t same = 0, different = 0, only_here = 0, only_there = 0, in_flight = 0, held = 0;
  std::vector<std::string> left_out;  // columns that one side lacks
  std::string problem;                // not empty: why it could not be compared
};

struct VerifyReport {
  std::string peer_name, peer_site, peer_engine;
  bool equal_knowledge = false;
  std::vector<TableVerdict> tables;
  std::vector<RowDifference> rows;  // at most keys_max; of a repair, all it acted on
  uint64_t bytes = 0, rounds = 0;   // to and from the peer
  uint64_t repaired = 0, undecided = 0, still_different = 0;  // of a repair
  bool same() const;                                          // every row of every table
  bool consistent() const;                                    // the same, but for rows in flight
  double score() const;  // the part of the other rows that are the same; 1.0: all
};

// Compares. Errors: those of the endpoints; identity; invalid_argument for an unknown table.
Status verify_peer(Endpoint* local, Endpoint* remote, const VerifyOptions& options,
                   VerifyReport* report);
// Compares deeply, decides which side's row stands where it can be decided, has that side write it
// anew, exchanges, and looks again. `session` runs an exchange in both directions.
Status repair_peer(Endpoint* local, Endpoint* remote, const VerifyOptions& options,
                   const std::function<Status()>& session, VerifyReport* report);

// What sync_verify and sync_repair return.
std::string verify_report_to_json(const VerifyReport& report, const VerifyOptions& options,
                                  bool repair, double duration_ms);

}  // namespace syncline
