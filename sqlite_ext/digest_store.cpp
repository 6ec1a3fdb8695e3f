// See digest_store.h.
#include "sqlite_ext/digest_store.h"

#include <set>

namespace syncline {

namespace {

// With more changes than this since, every row is read instead.
constexpr uint64_t kChangesMax = 200'000;
// Plans of one table that are kept: peers may declare other columns or types.
constexpr int kPlansMax = 4;

Status has_table(sqlite3* db, bool* yes) {
  int64_t there = 0;
  SYNCLINE_TRY(
      query_integer(db, "SELECT 1 FROM main.sqlite_schema WHERE name='sync_digest'", 0, &there));
  *yes = there != 0;
  return {};
}

// Whether `table` names every change from `from` on: its positions have no gap.
Status is_complete(sqlite3* db, const char* table, const char* position, uint64_t from,
                   uint64_t head, bool* yes) {
  Statement s;
  const std::string name(position);
  SYNCLINE_TRY(s.prepare(db, "SELECT count(*) FROM main." + std::string(table) + " WHERE " + name +
                                 ">?1 AND " + name + "<=?2"));
  s.bind(1, from);
  s.bind(2, head);
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  *yes = row && static_cast<uint64_t>(s.integer(0)) == head - from;
  return {};
}

Status add_changed(sqlite3* db, TableAccess* access, const char* table, const char* position,
                   uint64_t from, std::set<std::string>* out) {
  const size_t keys = access->table().key.size();
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT " + key_list(keys) + " FROM main." + table + " WHERE " +
                                 position + ">?1 AND t=?2"));
  s.bind(1, from);
  s.bind(2, int64_t{access->table().number});
  std::vector<Value> stored;
  Arena arena;
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    const RowKey key = access->cursor_key(s, &stored);
    bool whole = true;
    for (const Value& value : key)
      whole = whole && !value.is(ValueKind::null);
    if (whole) out->insert(encode_key(access->key_to_wire(key, &arena)));
    arena.clear();
  }
}

}  // namespace

Status change_position(sqlite3* db, ChangePosition* out) {
  int64_t log = 0, relay = 0;
  SYNCLINE_TRY(query_integer(db, "SELECT max(seq) FROM main.sync_log", 0, &log));
  SYNCLINE_TRY(query_integer(db, "SELECT max(pos) FROM main.sync_relay", 0, &relay));
  *out = {static_cast<uint64_t>(log), static_cast<uint64_t>(relay)};
  return {};
}

Status load_digest(sqlite3* db, TableAccess* access, const std::string& plan,
                   const ChangePosition& now, StoredSums* out) {
  *out = StoredSums();
  bool there = false;
  SYNCLINE_TRY(has_table(db, &there));
  if (!there) return {};
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT log,relay,sums FROM main.sync_digest WHERE t=?1 AND plan=?2"));
  s.bind(1, int64_t{access->table().number});
  s.bind_blob(2, plan);
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  if (!row) return {};
  const auto log = static_cast<uint64_t>(s.integer(0));
  const auto relay = static_cast<uint64_t>(s.integer(1));
  if (log > now.log || relay > now.relay) return {};
  if (now.log - log + now.relay - relay > kChangesMax) return {};
  bool complete = false;
  SYNCLINE_TRY(is_complete(db, "sync_log", "seq", log, now.log, &complete));
  if (!complete) return {};
  SYNCLINE_TRY(is_complete(db, "sync_relay", "pos", relay, now.relay, &complete));
  if (!complete) return {};
  std::set<std::string> changed;
  SYNCLINE_TRY(add_changed(db, access, "sync_log", "seq", log, &changed));
  SYNCLINE_TRY(add_changed(db, access, "sync_relay", "pos", relay, &changed));
  out->packed = s.bytes(2);
  out->changed.assign(changed.begin(), changed.end());
  return {};
}

Status save_digest(sqlite3* db, const DigestRecord& record) {
  SYNCLINE_TRY(execute(db,
                       "CREATE TABLE IF NOT EXISTS main.sync_digest(t INTEGER, plan BLOB, "
                       "log INTEGER NOT NULL, relay INTEGER NOT NULL, sums BLOB NOT NULL, "
                       "PRIMARY KEY(t,plan)) WITHOUT ROWID"));
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "INSERT OR REPLACE INTO main.sync_digest(t,plan,log,relay,sums) "
                         "VALUES(?1,?2,?3,?4,?5)"));
  s.bind(1, int64_t{record.table});
  s.bind_blob(2, record.plan);
  s.bind(3, record.position.log);
  s.bind(4, record.position.relay);
  s.bind_blob(5, record.sums);
  SYNCLINE_TRY(s.run());
  const std::string t = std::to_string(record.table);
  return execute(db,
                 "DELETE FROM main.sync_digest WHERE t NOT IN (SELECT n FROM main.sync_table) "
                 "OR (t=" +
                     t + " AND plan NOT IN (SELECT plan FROM main.sync_digest WHERE t=" + t +
                     " ORDER BY log+relay DESC LIMIT " + std::to_string(kPlansMax) + "))");
}

Status list_digest_plans(sqlite3* db, uint32_t table, std::vector<std::string>* out) {
  bool there = false;
  SYNCLINE_TRY(has_table(db, &there));
  if (!there) return {};
  return query_texts(
      db, "SELECT plan FROM main.sync_digest WHERE t=" + std::to_string(table) + " ORDER BY plan",
      out);
}

Status forget_digests(sqlite3* db, uint32_t table) {
  bool there = false;
  SYNCLINE_TRY(has_table(db, &there));
  if (!there) return {};
  return execute(db, "DELETE FROM main.sync_digest WHERE t=" + std::to_string(table));
}

}  // namespace syncline
