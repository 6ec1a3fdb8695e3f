// Digests of tables that are kept between verifications: the table sync_digest.
//
//   sync_digest(t, plan, log, relay, sums)   sums of table t, valid for the rows as they were when
//                                            the log ended at `log` and sync_relay at `relay`
//
// Every change of a base row that goes through capture or an exchange is named in the log or in
// sync_relay behind that place, so the buckets of the rows named there are computed anew and all
// others stand. It is made by the first verification that may write.
#pragma once

#include <string>
#include <vector>

#include "sqlite_ext/table_access.h"
#include "syncline/verify.h"

namespace syncline {

// How far the log and sync_relay go in the snapshot at hand.
struct ChangePosition {
  uint64_t log = 0, relay = 0;
};
Status change_position(sqlite3* db, ChangePosition* out);

Status load_digest(sqlite3* db, TableAccess* access, const std::string& plan,
                   const ChangePosition& now, StoredSums* out);

struct DigestRecord {
  uint32_t table = 0;
  std::string plan, sums;
  ChangePosition position;
};
// REQUIRES: a write transaction.
Status save_digest(sqlite3* db, const DigestRecord& record);
Status list_digest_plans(sqlite3* db, uint32_t table, std::vector<std::string>* out);
Status forget_digests(sqlite3* db, uint32_t table);

}  // namespace syncline
