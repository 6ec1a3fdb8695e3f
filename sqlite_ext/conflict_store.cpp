// See conflict_store.h.
#include "sqlite_ext/conflict_store.h"

#include <algorithm>

#include "syncline/decision.h"

namespace syncline {

namespace {

bool is_held_kind(ConflictKind kind) {
  return kind == ConflictKind::unique || kind == ConflictKind::foreign_key ||
         kind == ConflictKind::constraint;
}

std::string site_of(const SiteTable& sites, const Version& version) {
  return version.seq == 0 ? std::string() : to_hex(sites.id(version.site));
}

// Records one conflict at a time through statements that live as long as a batch.
class Recorder {
 public:
  Recorder(sqlite3* db, const SiteTable& sites) : db_(db), sites_(sites) {}

  Status prepare() {
    SYNCLINE_TRY(find_.prepare(
        db_, "SELECT status,local_site,remote_site FROM main.sync_conflict WHERE id=?1"));
    SYNCLINE_TRY(insert_.prepare(db_, kOpenSql));
    SYNCLINE_TRY(close_.prepare(
        db_,
        "UPDATE main.sync_conflict SET status='closed',resolved_at=coalesce(nullif(?2,''),"
        "strftime('%Y-%m-%dT%H:%M:%fZ','now')),resolved_by=nullif(?3,''),how=nullif(?4,''),"
        "choice=nullif(?5,''),note=coalesce(nullif(?6,''),note) WHERE id=?1 AND status='open'"));
    return event_.prepare(
        db_,
        "INSERT INTO main.sync_event(at,kind,conflict_id,table_name,pk,column_name,detail) "
        "SELECT strftime('%Y-%m-%dT%H:%M:%fZ','now'),?2,id,table_name,pk,column_name,"
        "nullif(?3,'') FROM main.sync_conflict WHERE id=?1");
  }

  Status open(const ConflictRecord& record) {
    const Conflict& c = record.conflict;
    bool known = false, local = record.winner_is_local;
    find_.bind(1, std::string_view(c.id));
    SYNCLINE_TRY(find_.next(&known));
    const std::string status = known ? find_.text(0) : "";
    if (known) {  // the sides stay what they were called
      const std::string one = site_of(sites_, local ? c.winner : c.loser);
      const std::string other = site_of(sites_, local ? c.loser : c.winner);
      if (find_.text(1) == other && find_.text(2) == one) local = !local;
    }
    find_.reset();
    SYNCLINE_TRY(write(record, local));
    if (status == "open") return {};
    return tell(c.id, known ? "reopened" : "detected", conflict_kind_name(c.kind));
  }

  Status close(const std::string& id, const ConflictEnd& end) {
    const std::string at = time_text(end.at_ms);
    close_.bind(1, std::string_view(id));
    close_.bind(2, std::string_view(at));
    close_.bind(3, std::string_view(end.by));
    close_.bind(4, std::string_view(end.how));
    close_.bind(5, std::string_view(end.choice));
    close_.bind(6, std::string_view(end.note));
    SYNCLINE_TRY(close_.run());
    if (sqlite3_changes(db_) == 0) return {};
    return tell(id, "resolved", end.choice.empty() ? end.how : end.how + ": " + end.choice);
  }

 private:
  Status tell(const std::string& id, std::string_view kind, std::string_view detail) {
    event_.bind(1, std::string_view(id));
    event_.bind(2, kind);
    event_.bind(3, detail);
    return event_.run();
  }

  // `local`: the winner is the local one of the two.
  Status write(const ConflictRecord& record, bool local) {
    const Conflict& c = record.conflict;
    const bool held = is_held_kind(c.kind);
    // A held row has no rival version: what should be stored is `winner`, and it came from outside.
    const Version& here = local ? c.winner : c.loser;
    const Version& there = local ? c.loser : c.winner;
    const std::string& shown = c.shown_json.empty() ? c.winner_json : c.shown_json;
    Origin origin;
    if (!held) origin.reopened = reopened_of(c, *record.table, sites_);
    const std::string texts[] = {
        record.pk_json,
        c.column >= 0 ? record.table->columns[static_cast<size_t>(c.column)].name : "",
        std::string(conflict_kind_name(c.kind)),
        local ? c.winner_json : c.loser_json,
        local ? c.loser_json : c.winner_json,
        held ? "" : shown,
        site_of(sites_, here),
        site_of(sites_, there),
        time_text(hlc_to_ms(here.hlc)),
        time_text(hlc_to_ms(there.hlc)),
        record.reason,
        c.base_json,
        c.policy,
        c.severity,
        local ? c.winner_actor : c.loser_actor,
        local ? c.loser_actor : c.winner_actor,
        origin_to_text(origin)};
    insert_.bind(1, std::string_view(c.id));
    insert_.bind(2, int64_t{record.table->number});
    insert_.bind_blob(3, record.key);
    insert_.bind(4, std::string_view(record.table->name));
    insert_.bind(5, Value::real(c.confidence));
    int at = 5;
    for (const std::string& text : texts) insert_.bind(++at, std::string_view(text));
    return insert_.run();
  }

  static constexpr const char* kOpenSql =
      "INSERT INTO main.sync_conflict(id,t,key,table_name,confidence,pk,column_name,kind,local,"
      "remote,winner,local_site,remote_site,local_at,remote_at,note,base,policy,severity,"
      "local_actor,remote_actor,reopens,status,detected_at) VALUES(?1,?2,?3,?4,?5,?6,"
      "nullif(?7,''),?8,nullif(?9,''),nullif(?10,''),nullif(?11,''),nullif(?12,''),"
      "nullif(?13,''),nullif(?14,''),nullif(?15,''),nullif(?16,''),nullif(?17,''),?18,?19,"
      "nullif(?20,''),nullif(?21,''),nullif(?22,''),'open',"
      "strftime('%Y-%m-%dT%H:%M:%fZ','now')) ON CONFLICT(id) DO UPDATE SET "
      "confidence=excluded.confidence,kind=excluded.kind,local=excluded.local,"
      "remote=excluded.remote,winner=excluded.winner,local_site=excluded.local_site,"
      "remote_site=excluded.remote_site,local_at=excluded.local_at,remote_at=excluded.remote_at,"
      "note=CASE WHEN excluded.note IS NULL AND status='open' THEN note ELSE excluded.note END,"
      "base=coalesce(excluded.base,base),policy=excluded.policy,severity=excluded.severity,"
      "local_actor=coalesce(excluded.local_actor,local_actor),"
      "remote_actor=coalesce(excluded.remote_actor,remote_actor),reopens=excluded.reopens,"
      "status='open',resolved_at=NULL,resolved_by=NULL,how=NULL,choice=NULL,"
      "detected_at=CASE status WHEN 'open' THEN detected_at ELSE excluded.detected_at END";

  sqlite3* db_;
  const SiteTable& sites_;
  Statement find_, insert_, close_, event_;
};

}  // namespace

Status record_conflicts(sqlite3* db, const SiteTable& sites,
                        std::span<const ConflictRecord> records) {
  if (records.empty()) return {};
  Recorder recorder(db, sites);
  SYNCLINE_TRY(recorder.prepare());
  for (const ConflictRecord& record : records) {
    SYNCLINE_TRY(record.opened ? recorder.open(record)
                               : recorder.close(record.conflict.id, record.end));
  }
  return {};
}

Status load_conflict(sqlite3* db, std::string_view id, StoredConflict* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(
      db,
      "SELECT id,table_name,pk,column_name,kind,severity,status,base,local,remote,winner,policy,"
      "local_site,remote_site,local_at,remote_at,resolved_at,resolved_by,note,local_actor,"
      "remote_actor,how,choice,t,key,reopens,places,"
      "CAST(max(0,(julianday('now')-julianday(detected_at))*86400) AS INTEGER) "
      "FROM main.sync_conflict WHERE id=?1"));
  s.bind(1, id);
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  if (!row) return unknown_conflict(id);
  int at = 0;
  for (const auto member : kConflictTexts) out->text.*member = s.text(at++);
  out->table = static_cast<uint32_t>(s.integer(at));
  out->key = s.text(at + 1);
  out->reopens = s.text(at + 2);
  out->places = s.text(at + 3);
  out->age_s = s.integer(at + 4);
  return {};
}

Status open_conflicts(sqlite3* db, std::vector<std::string>* ids) {
  return query_texts(db,
                     "SELECT c.id FROM main.sync_conflict c LEFT JOIN main.sync_table t ON t.n=c.t "
                     "WHERE c.status='open' ORDER BY t.rank,c.detected_at,c.id",
                     ids);
}

Status save_note(sqlite3* db, std::string_view id, std::string_view note) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "UPDATE main.sync_conflict SET note=?2 WHERE id=?1"));
  s.bind(1, id);
  s.bind(2, note);
  return s.run();
}

Status purge_conflicts(sqlite3* db, std::string_view before, int64_t* count) {
  std::string time;
  SYNCLINE_TRY(query_text(
      db, "SELECT strftime('%Y-%m-%dT%H:%M:%fZ'," + quote_text(before) + ")", &time));
  if (time.empty()) {
    return {StatusCode::invalid_argument, "sync_conflict_purge needs a time",
            "pass something like '2025-01-31T00:00:00Z'"};
  }
  const std::string old = " status='closed' AND coalesce(resolved_at,detected_at)<" +
                          quote_text(time);
  SYNCLINE_TRY(query_integer(db, "SELECT count(*) FROM main.sync_conflict WHERE" + old, 0, count));
  // The last event stays: numbers are never given twice.
  SYNCLINE_TRY(execute(db, "DELETE FROM main.sync_event WHERE event<(SELECT max(event) FROM "
                           "main.sync_event) AND conflict_id IN (SELECT id FROM "
                           "main.sync_conflict WHERE" + old + ")"));
  return execute(db, "DELETE FROM main.sync_conflict WHERE" + old);
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

Status close_superseded(sqlite3* db, const TableInfo& table, const std::string& key,
                        const std::vector<std::string>& still_open, const RowState& after,
                        const SiteTable& sites) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT id,column_name FROM main.sync_conflict WHERE t=?1 AND key=?2 AND "
                         "status='open'"));
  s.bind(1, int64_t{table.number});
  s.bind_blob(2, key);
  std::vector<Conflict> gone;
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    Conflict conflict;
    conflict.id = s.text(0);
    if (!s.is_null(1)) conflict.column = find_column(table.columns, s.text(1));
    if (std::find(still_open.begin(), still_open.end(), conflict.id) == still_open.end()) {
      gone.push_back(std::move(conflict));
    }
  }
  if (gone.empty()) return {};
  Recorder recorder(db, sites);
  SYNCLINE_TRY(recorder.prepare());
  for (const Conflict& conflict : gone) {
    SYNCLINE_TRY(recorder.close(conflict.id, conflict_end(conflict, after, sites)));
  }
  return {};
}

Status forget_open_conflicts(sqlite3* db, uint32_t table, const std::string& key) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "DELETE FROM main.sync_conflict WHERE t=?1 AND key=?2 AND status='open' "
                         "AND kind NOT IN ('unique','foreign_key','constraint')"));
  s.bind(1, int64_t{table});
  s.bind_blob(2, key);
  return s.run();
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
