// See conflict_store.h.
#include "sqlite_ext/conflict_store.h"

#include <algorithm>

namespace syncline {

namespace {

const char* const kNow = "strftime('%Y-%m-%dT%H:%M:%fZ','now')";

// "2024-02-29T12:00:00.123Z"; empty for a version that is nobody's.
Status time_of(sqlite3* db, const Version& version, std::string* out) {
  out->clear();
  if (version.hlc == 0) return {};
  return query_text(db,
                    "SELECT strftime('%Y-%m-%dT%H:%M:%fZ'," +
                        std::to_string(hlc_to_ms(version.hlc)) + "/1000.0,'unixepoch')",
                    out);
}

bool is_held_kind(ConflictKind kind) {
  return kind == ConflictKind::unique || kind == ConflictKind::foreign_key ||
         kind == ConflictKind::constraint;
}

std::string site_of(const SiteTable& sites, const Version& version) {
  return version.seq == 0 ? std::string() : to_hex(sites.id(version.site));
}

Status open_conflict(sqlite3* db, const SiteTable& sites, const ConflictRecord& record,
                     Statement* insert) {
  const Conflict& c = record.conflict;
  const bool held = is_held_kind(c.kind);
  // A held row has no rival version: what should be stored is `winner`, and it came from outside.
  const Version& local = record.winner_is_local ? c.winner : c.loser;
  const Version& remote = record.winner_is_local ? c.loser : c.winner;
  const std::string& local_json = record.winner_is_local ? c.winner_json : c.loser_json;
  const std::string& remote_json = record.winner_is_local ? c.loser_json : c.winner_json;
  std::string local_at, remote_at;
  SYNCLINE_TRY(time_of(db, local, &local_at));
  SYNCLINE_TRY(time_of(db, remote, &remote_at));
  const std::string local_site = site_of(sites, local), remote_site = site_of(sites, remote);
  const std::string column =
      c.column >= 0 ? record.table->columns[static_cast<size_t>(c.column)].name : std::string();
  int at = 0;
  insert->bind(++at, std::string_view(c.id));
  insert->bind(++at, int64_t{record.table->number});
  insert->bind_blob(++at, record.key);
  insert->bind(++at, std::string_view(record.table->name));
  insert->bind(++at, std::string_view(record.pk_json));
  insert->bind(++at, std::string_view(column));
  insert->bind(++at, conflict_kind_name(c.kind));
  insert->bind(++at, std::string_view(local_json));
  insert->bind(++at, std::string_view(remote_json));
  insert->bind(++at, held ? std::string_view() : std::string_view(c.winner_json));
  insert->bind(++at, std::string_view(local_site));
  insert->bind(++at, std::string_view(remote_site));
  insert->bind(++at, std::string_view(local_at));
  insert->bind(++at, std::string_view(remote_at));
  insert->bind(++at, std::string_view(record.reason));
  return insert->run();
}

std::string open_sql() {
  const std::string now = kNow;
  return "INSERT INTO main.sync_conflict(id,t,key,table_name,pk,column_name,kind,severity,status,"
         "local,remote,winner,policy,confidence,local_site,remote_site,local_at,remote_at,"
         "detected_at,note) VALUES(?1,?2,?3,?4,?5,nullif(?6,''),?7,'normal','open',nullif(?8,''),"
         "nullif(?9,''),nullif(?10,''),'last_writer',1.0,nullif(?11,''),nullif(?12,''),"
         "nullif(?13,''),nullif(?14,'')," +
         now +
         ",nullif(?15,'')) ON CONFLICT(id) DO UPDATE SET "
         "kind=excluded.kind,status='open',local=excluded.local,remote=excluded.remote,"
         "winner=excluded.winner,local_site=excluded.local_site,remote_site=excluded.remote_site,"
         "local_at=excluded.local_at,remote_at=excluded.remote_at,note=excluded.note,"
         "resolved_at=NULL,detected_at=CASE status WHEN 'open' THEN detected_at ELSE " +
         now + " END";
}

}  // namespace

Status record_conflicts(sqlite3* db, const SiteTable& sites,
                        std::span<const ConflictRecord> records) {
  if (records.empty()) return {};
  Statement insert, close;
  SYNCLINE_TRY(insert.prepare(db, open_sql()));
  SYNCLINE_TRY(close.prepare(db, std::string("UPDATE main.sync_conflict SET status='closed',"
                                             "resolved_at=") +
                                     kNow + " WHERE id=?1 AND status='open'"));
  for (const ConflictRecord& record : records) {
    if (record.opened) {
      SYNCLINE_TRY(open_conflict(db, sites, record, &insert));
    } else {
      close.bind(1, std::string_view(record.conflict.id));
      SYNCLINE_TRY(close.run());
    }
  }
  return {};
}

Status list_held(sqlite3* db, std::vector<RowRef>* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT t,key,note FROM main.sync_conflict WHERE status='open' AND "
                         "kind IN ('unique','foreign_key','constraint') AND length(key)>0 "
                         "ORDER BY detected_at,id"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    out->push_back({static_cast<uint32_t>(s.integer(0)), s.text(1), s.text(2)});
  }
}

Status close_superseded(sqlite3* db, uint32_t table, const std::string& key,
                        const std::vector<std::string>& still_open) {
  Statement s, close;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT id FROM main.sync_conflict WHERE t=?1 AND key=?2 AND "
                         "status='open'"));
  s.bind(1, int64_t{table});
  s.bind_blob(2, key);
  std::vector<std::string> gone;
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    const std::string id = s.text(0);
    if (std::find(still_open.begin(), still_open.end(), id) == still_open.end()) gone.push_back(id);
  }
  if (gone.empty()) return {};
  SYNCLINE_TRY(close.prepare(db, std::string("UPDATE main.sync_conflict SET status='closed',"
                                             "resolved_at=") +
                                     kNow + " WHERE id=?1"));
  for (const std::string& id : gone) {
    close.bind(1, std::string_view(id));
    SYNCLINE_TRY(close.run());
  }
  return {};
}

// Its key column stays empty: nothing will ever try to store such a row again.
Status record_null_key(sqlite3* db, const TableInfo& table, RowKey key, bool exists) {
  ConflictRecord record;
  record.table = &table;
  record.opened = exists;
  record.pk_json = key_to_json(table, key);
  record.conflict.id = held_conflict_id(table, key);
  record.conflict.kind = ConflictKind::constraint;
  record.reason =
      "the primary key holds NULL: other databases cannot know this row, so it stays "
      "in this one";
  return record_conflicts(db, SiteTable(), std::span<const ConflictRecord>(&record, 1));
}

}  // namespace syncline
