// See registry.h. Loading takes one query a companion, whatever the number of tables.
#include "sqlite_ext/registry.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <optional>

#include "sqlite_ext/capture.h"
#include "sqlite_ext/column_defaults.h"
#include "sqlite_ext/randomness.h"
#include "syncline/origin.h"

namespace syncline {

namespace {

const char* const kCompanions = R"(
CREATE TABLE main.sync_meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE main.sync_clock(id INTEGER PRIMARY KEY CHECK(id=0), floor INTEGER NOT NULL);
INSERT INTO main.sync_clock VALUES(0,0);
CREATE TABLE main.sync_site(n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE);
CREATE TABLE main.sync_incarnation(from_seq INTEGER PRIMARY KEY, site INTEGER NOT NULL);
CREATE TABLE main.sync_vector(site INTEGER PRIMARY KEY, seq INTEGER NOT NULL, hlc INTEGER NOT NULL);
CREATE TABLE main.sync_table(n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  present INTEGER NOT NULL, on_delete INTEGER NOT NULL, base_site INTEGER NOT NULL,
  base_seq INTEGER NOT NULL, rank INTEGER NOT NULL, suspect TEXT, enabled_at TEXT,
  refers INTEGER NOT NULL, referred INTEGER NOT NULL, referred_columns TEXT NOT NULL,
  foreign_keys TEXT NOT NULL, base_context INTEGER NOT NULL);
CREATE TABLE main.sync_column(t INTEGER, n INTEGER, name TEXT NOT NULL, type TEXT NOT NULL,
  present INTEGER NOT NULL, dropped INTEGER NOT NULL, key INTEGER NOT NULL,
  known_after INTEGER NOT NULL, PRIMARY KEY(t,n)) WITHOUT ROWID;
CREATE TABLE main.sync_log(seq INTEGER PRIMARY KEY, t, ver, mask, k1);
CREATE TABLE main.sync_relay(pos INTEGER PRIMARY KEY, t, k1);
CREATE TABLE main.sync_growth(begin INTEGER, site INTEGER, seq INTEGER,
  PRIMARY KEY(site,seq)) WITHOUT ROWID;
CREATE TABLE main.sync_context(id INTEGER PRIMARY KEY, begin INTEGER NOT NULL,
  vector BLOB NOT NULL);
CREATE TABLE main.sync_incoming(sender BLOB PRIMARY KEY, token TEXT NOT NULL,
  begin INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE main.sync_setting(key TEXT PRIMARY KEY, value TEXT NOT NULL, hlc INTEGER NOT NULL,
  site BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE main.sync_conflict(id TEXT PRIMARY KEY, t INTEGER NOT NULL, key BLOB NOT NULL,
  table_name TEXT, pk TEXT, column_name TEXT, kind TEXT, severity TEXT, status TEXT, base TEXT,
  local TEXT, remote TEXT, winner TEXT, policy TEXT, confidence REAL, local_site TEXT,
  remote_site TEXT, local_at TEXT, remote_at TEXT, detected_at TEXT, resolved_at TEXT,
  resolved_by TEXT, note TEXT, local_actor TEXT, remote_actor TEXT, how TEXT, choice TEXT,
  reopens TEXT, places TEXT) WITHOUT ROWID;
CREATE INDEX main.sync_conflict_row ON sync_conflict(t,key);
CREATE INDEX main.sync_conflict_held ON sync_conflict(detected_at,id) WHERE status='open'
  AND kind IN ('unique','foreign_key','constraint');
CREATE TABLE main.sync_event(event INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL,
  conflict_id TEXT NOT NULL, table_name TEXT, pk TEXT, column_name TEXT, detail TEXT);
CREATE TABLE main.sync_origin(from_seq INTEGER PRIMARY KEY, origin TEXT NOT NULL);
CREATE TABLE main.sync_ack(site INTEGER PRIMARY KEY, vector BLOB NOT NULL,
  heard_ms INTEGER NOT NULL, ahead_ms INTEGER);
CREATE TABLE main.sync_melt(id INTEGER PRIMARY KEY CHECK(id=0), melted BLOB NOT NULL,
  under BLOB NOT NULL, done INTEGER NOT NULL, t INTEGER NOT NULL, key BLOB NOT NULL);
CREATE TABLE main.sync_peer(name TEXT PRIMARY KEY, url TEXT NOT NULL, options TEXT, site TEXT,
  site_name TEXT, vector TEXT, last_success TEXT, last_error TEXT, last_attempt TEXT,
  failures INTEGER NOT NULL DEFAULT 0, clock_ahead_ms INTEGER) WITHOUT ROWID;
)";

Result<SiteId> site_id_of(std::string_view bytes) {
  SiteId id;
  if (bytes.size() != id.bytes.size()) {
    return Status(StatusCode::internal, "sync_site holds an id that is not 16 bytes long");
  }
  std::memcpy(id.bytes.data(), bytes.data(), id.bytes.size());
  return id;
}

// What sync_meta holds that is about tables and columns, and can be read when those are known.
struct TableNotes {
  std::optional<std::string> missing;
  std::string fire, local;
};

Status load_meta(sqlite3* db, Registry* out, TableNotes* notes) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT key,value FROM main.sync_meta"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    const std::string_view key = s.bytes(0);
    if (key == "name") out->name = s.text(1);
    if (key == "schema_version") out->schema_version = s.integer(1);
    if (key == "folded") out->folded = static_cast<uint64_t>(s.integer(1));
    if (key == "shared") out->shared = static_cast<uint64_t>(s.integer(1));
    if (key == "key_columns") out->key_columns = static_cast<uint32_t>(s.integer(1));
    if (key == "missing") notes->missing = s.text(1);
    if (key == "fire") notes->fire = s.text(1);
    if (key == "local") notes->local = s.text(1);
    if (key == "next_table") out->next_table = static_cast<uint32_t>(s.integer(1));
  }
}

Status load_sites(sqlite3* db, Registry* out) {
  Statement sites;
  SYNCLINE_TRY(sites.prepare(db, "SELECT id FROM main.sync_site ORDER BY n"));
  for (bool row = true;;) {
    SYNCLINE_TRY(sites.next(&row));
    if (!row) break;
    Result<SiteId> id = site_id_of(sites.bytes(0));
    if (!id.ok()) return id.status();
    out->sites.intern(id.value());
  }
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT from_seq,site FROM main.sync_incarnation ORDER BY from_seq"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    out->incarnations.push_back(
        {static_cast<uint64_t>(s.integer(0)), static_cast<SiteIndex>(s.integer(1))});
  }
  if (!out->incarnations.empty() && out->self() < out->sites.size()) return {};
  return {StatusCode::internal, "sync_incarnation names no site of this database"};
}

Status load_settings(sqlite3* db, Registry* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT key,value,hlc,site FROM main.sync_setting"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    Result<SiteId> site = site_id_of(s.bytes(3));
    if (!site.ok()) return site.status();
    out->settings.merge({s.text(0), s.text(1), static_cast<Hlc>(s.integer(2)), site.value()});
  }
}

// "3,17" and back.
std::vector<ColumnNumber> numbers_of(std::string_view text) {
  std::vector<ColumnNumber> out;
  for (const char* at = text.data(); at < text.data() + text.size();) {
    ColumnNumber number = 0;
    at = std::from_chars(at, text.data() + text.size(), number).ptr + 1;
    out.push_back(number);
  }
  return out;
}

std::string text_of(const std::vector<ColumnNumber>& numbers) {
  std::string out;
  for (ColumnNumber n : numbers)
    out += (out.empty() ? "" : ",") + std::to_string(n);
  return out;
}

// "parent,action,3,4;..." and back.
std::vector<ForeignKeyInfo> foreign_keys_of(std::string_view text) {
  std::vector<ForeignKeyInfo> out;
  while (!text.empty()) {
    const size_t end = std::min(text.find(';'), text.size());
    const std::vector<ColumnNumber> numbers = numbers_of(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (numbers.size() < 3) continue;
    ForeignKeyInfo key;
    key.parent = numbers[0];
    key.on_delete = static_cast<ForeignAction>(numbers[1]);
    key.columns.assign(numbers.begin() + 2, numbers.end());
    out.push_back(std::move(key));
  }
  return out;
}

std::string text_of(const std::vector<ForeignKeyInfo>& keys) {
  std::string out;
  for (const ForeignKeyInfo& key : keys) {
    std::vector<ColumnNumber> numbers{key.parent, static_cast<ColumnNumber>(key.on_delete)};
    numbers.insert(numbers.end(), key.columns.begin(), key.columns.end());
    out += (out.empty() ? "" : ";") + text_of(numbers);
  }
  return out;
}

Status load_tables(sqlite3* db, Registry* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT n,name,present,on_delete,base_site,base_seq,rank,suspect,"
                         "enabled_at,refers,referred,referred_columns,foreign_keys,base_context "
                         "FROM main.sync_table "
                         "ORDER BY rank,name"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    TableInfo table;
    table.number = static_cast<uint32_t>(s.integer(0));
    table.name = s.text(1);
    table.present = s.integer(2) != 0;
    table.baseline.site = static_cast<SiteIndex>(s.integer(4));
    table.baseline.seq = static_cast<uint64_t>(s.integer(5));
    table.rank = static_cast<uint32_t>(s.integer(6));
    TableExtra extra;
    extra.suspect = s.text(7);
    extra.enabled_at = s.text(8);
    table.refers = s.integer(9) != 0;
    table.referred = s.integer(10) != 0;
    table.referred_columns = numbers_of(s.bytes(11));
    table.foreign_keys = foreign_keys_of(s.bytes(12));
    table.baseline_context = static_cast<ContextId>(s.integer(13));
    out->tables.push_back(std::move(table));
    out->extras.push_back(std::move(extra));
  }
}

// One "number<tab>name" a line.
void read_local(const std::string& text, Registry* out) {
  size_t begin = 0;
  for (size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
    uint32_t number = 0;
    const char* at = std::from_chars(text.data() + begin, text.data() + end, number).ptr + 1;
    const int64_t position = out->position(number);
    if (position < 0 || at > text.data() + end) continue;
    out->extras[static_cast<size_t>(position)].local.emplace_back(
        at, static_cast<size_t>(text.data() + end - at));
  }
}

void read_fire(const std::string& text, Registry* out) {
  for (uint32_t number : numbers_of(text)) {
    const int64_t at = out->position(number);
    if (at >= 0) out->extras[static_cast<size_t>(at)].fire = true;
  }
}

Status load_columns(sqlite3* db, Registry* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT t,name,type,present,dropped,key,known_after "
                         "FROM main.sync_column ORDER BY t,n"));
  std::map<uint32_t, int64_t> positions;  // looked up one by one they take longer than the rest
  for (size_t i = 0; i < out->tables.size(); ++i)
    positions[out->tables[i].number] = static_cast<int64_t>(i);
  int64_t at = -1;
  std::vector<std::pair<int64_t, ColumnNumber>> key;  // of the table at `at`
  auto close = [&] {
    std::sort(key.begin(), key.end());
    for (const auto& part : key)
      out->tables[static_cast<size_t>(at)].key.push_back(part.second);
    key.clear();
  };
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    const auto number = static_cast<uint32_t>(s.integer(0));
    if (at < 0 || out->tables[static_cast<size_t>(at)].number != number) {
      close();
      const auto found = positions.find(number);
      at = found == positions.end() ? -1 : found->second;
      if (at < 0) return {StatusCode::internal, "sync_column names a table that is not registered"};
    }
    TableInfo& table = out->tables[static_cast<size_t>(at)];
    ColumnInfo column;
    column.name = s.text(1);
    column.type = s.text(2);
    column.kind = logical_kind(column.type);
    column.present = s.integer(3) != 0;
    column.dropped = s.integer(4) != 0;
    if (s.integer(5) > 0) key.emplace_back(s.integer(5), table.column_count());
    table.columns.push_back(std::move(column));
    out->extras[static_cast<size_t>(at)].known_after.push_back(static_cast<uint64_t>(s.integer(6)));
  }
  close();
  return {};
}

}  // namespace

int64_t Registry::position(uint32_t number) const {
  for (size_t i = 0; i < tables.size(); ++i) {
    if (tables[i].number == number) return static_cast<int64_t>(i);
  }
  return -1;
}

Status has_companions(sqlite3* db, bool* yes) {
  int64_t found = 0;
  SYNCLINE_TRY(
      query_integer(db, "SELECT 1 FROM main.sqlite_schema WHERE name='sync_meta'", 0, &found));
  *yes = found != 0;
  if (!*yes) return {};
  int64_t format = 0;
  SYNCLINE_TRY(
      query_integer(db, "SELECT value FROM main.sync_meta WHERE key='format'", 0, &format));
  if (format == kStoreFormat) return {};
  return {StatusCode::unsupported_version,
          "the sync_ tables of this database have format " + std::to_string(format) +
              ", this extension knows " + std::to_string(kStoreFormat),
          "load the release of syncline that wrote them, or a newer one"};
}

Status load_registry(sqlite3* db, Registry* out) {
  *out = Registry();
  SYNCLINE_TRY(has_companions(db, &out->exists));
  if (!out->exists) return {};
  TableNotes notes;
  SYNCLINE_TRY(load_meta(db, out, &notes));
  SYNCLINE_TRY(load_sites(db, out));
  SYNCLINE_TRY(load_tables(db, out));
  SYNCLINE_TRY(load_columns(db, out));
  read_fire(notes.fire, out);
  read_local(notes.local, out);
  SYNCLINE_TRY(load_defaults(notes.missing, out));
  SYNCLINE_TRY(load_settings(db, out));
  SYNCLINE_TRY(load_origins(db, out));
  refresh_policies(out);
  return {};
}

void refresh_policies(Registry* registry) {
  apply_policies(registry->settings, &registry->tables);
}

const OriginSpan* Registry::origin_of(uint64_t seq) const {
  const auto after =
      std::upper_bound(origins.begin(), origins.end(), seq,
                       [](uint64_t s, const OriginSpan& span) { return s < span.from_seq; });
  if (after == origins.begin()) return nullptr;
  const OriginSpan& span = *std::prev(after);
  return span.origin.empty() ? nullptr : &span;
}

Status load_origins(sqlite3* db, Registry* out) {
  out->origins.clear();
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT from_seq,origin FROM main.sync_origin ORDER BY from_seq"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    OriginSpan span;
    span.from_seq = static_cast<uint64_t>(s.integer(0));
    span.origin = s.text(1);
    span.decides = origin_from_text(span.origin).decides();
    out->origins.push_back(std::move(span));
  }
}

Status save_origin(sqlite3* db, uint64_t from_seq, std::string_view origin) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "INSERT OR REPLACE INTO main.sync_origin VALUES(?1,?2)"));
  s.bind(1, from_seq);
  s.bind(2, origin);
  return s.run();
}

Status trim_origins(sqlite3* db, uint64_t folded) {
  return execute(db, "DELETE FROM main.sync_origin WHERE from_seq<(SELECT max(from_seq) FROM "
                     "main.sync_origin WHERE from_seq<=" + std::to_string(folded + 1) + ")");
}

Status create_registry(sqlite3* db, Registry* out) {
  std::string encoding;
  SYNCLINE_TRY(query_text(db, "PRAGMA encoding", &encoding));
  if (encoding != "UTF-8") {
    return {StatusCode::refused, "this database stores text as " + encoding,
            "only UTF-8 databases can be synchronised: copy it into one"};
  }
  SYNCLINE_TRY(execute(db, kCompanions));
  *out = Registry();
  out->exists = true;
  const SiteId id = random_site_id();
  out->sites.intern(id);
  out->incarnations.push_back({1, 0});
  SYNCLINE_TRY(save_site(db, 0, id));
  SYNCLINE_TRY(execute(db, "INSERT INTO main.sync_incarnation VALUES(1,0)"));
  SYNCLINE_TRY(save_meta(db, "format", Value::integer(kStoreFormat)));
  SYNCLINE_TRY(save_meta(db, "next_table", Value::integer(1)));
  return save_meta(db, "key_columns", Value::integer(1));
}

Status save_meta(sqlite3* db, const char* key, const Value& value) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "INSERT OR REPLACE INTO main.sync_meta(key,value) VALUES(?1,?2)"));
  s.bind(1, std::string_view(key));
  s.bind(2, value);
  return s.run();
}

Status save_setting(sqlite3* db, const Setting& setting) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "INSERT OR REPLACE INTO main.sync_setting(key,value,hlc,site) "
                         "VALUES(?1,?2,?3,?4)"));
  s.bind(1, std::string_view(setting.key));
  s.bind(2, std::string_view(setting.value));
  s.bind(3, setting.hlc);
  s.bind_blob(4, {reinterpret_cast<const char*>(setting.site.bytes.data()),
                  setting.site.bytes.size()});
  return s.run();
}

Status save_site(sqlite3* db, SiteIndex index, const SiteId& id) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "INSERT INTO main.sync_site(n,id) VALUES(?1,?2)"));
  s.bind(1, int64_t{index});
  s.bind_blob(2, {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()});
  return s.run();
}

Status save_fire(sqlite3* db, const Registry& registry) {
  std::vector<uint32_t> numbers;
  for (size_t i = 0; i < registry.tables.size(); ++i) {
    if (registry.extras[i].fire) numbers.push_back(registry.tables[i].number);
  }
  const std::string text = text_of(numbers);
  return save_meta(db, "fire", Value::text(text));
}

Status save_local(sqlite3* db, const Registry& registry) {
  std::string text;
  for (size_t i = 0; i < registry.tables.size(); ++i) {
    for (const std::string& name : registry.extras[i].local) {
      text += std::to_string(registry.tables[i].number) + "\t" + name + "\n";
    }
  }
  return save_meta(db, "local", Value::text(text));
}

Status save_table(sqlite3* db, const Registry& registry, size_t position) {
  const TableInfo& table = registry.tables[position];
  const TableExtra& extra = registry.extras[position];
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "INSERT OR REPLACE INTO main.sync_table VALUES(?1,?2,?3,?4,?5,?6,?7,"
                         "nullif(?8,''),nullif(?9,''),?10,?11,?12,?13,?14)"));
  s.bind(1, int64_t{table.number});
  s.bind(2, std::string_view(table.name));
  s.bind(3, int64_t{table.present});
  s.bind(4, int64_t{0});  // settings say it
  s.bind(5, int64_t{table.baseline.site});
  s.bind(6, table.baseline.seq);
  s.bind(7, int64_t{table.rank});
  s.bind(8, std::string_view(extra.suspect));
  s.bind(9, std::string_view(extra.enabled_at));
  s.bind(10, int64_t{table.refers});
  s.bind(11, int64_t{table.referred});
  const std::string referred_columns = text_of(table.referred_columns);
  s.bind(12, std::string_view(referred_columns));
  const std::string foreign_keys = text_of(table.foreign_keys);
  s.bind(13, std::string_view(foreign_keys));
  s.bind(14, table.baseline_context);
  SYNCLINE_TRY(s.run());
  Statement c;
  SYNCLINE_TRY(c.prepare(db,
                         "INSERT OR REPLACE INTO main.sync_column VALUES(?1,?2,?3,?4,?5,?6,?7,"
                         "?8)"));
  for (ColumnNumber n = 0; n < table.column_count(); ++n) {
    const ColumnInfo& column = table.columns[n];
    const auto at = std::find(table.key.begin(), table.key.end(), n);
    c.bind(1, int64_t{table.number});
    c.bind(2, int64_t{n});
    c.bind(3, std::string_view(column.name));
    c.bind(4, std::string_view(column.type));
    c.bind(5, int64_t{column.present});
    c.bind(6, int64_t{column.dropped});
    c.bind(7, at == table.key.end() ? int64_t{0} : int64_t{at - table.key.begin() + 1});
    c.bind(8, extra.known_after[n]);
    SYNCLINE_TRY(c.run());
  }
  return {};
}

Status delete_table(sqlite3* db, uint32_t number) {
  const std::string n = std::to_string(number);
  return execute(db, "DELETE FROM main.sync_table WHERE n=" + n +
                         "; DELETE FROM main.sync_column WHERE t=" + n +
                         "; DELETE FROM main.sync_conflict WHERE t=" + n +
                         "; DROP TABLE IF EXISTS main.sync_state_" + n +
                         "; DROP TABLE IF EXISTS main.sync_image_" + n +
                         "; DROP TABLE IF EXISTS main.sync_before_" + n);
}

Status create_state(sqlite3* db, Registry* registry, const TableInfo& table) {
  const std::string keys = key_list(table.key.size());
  SYNCLINE_TRY(execute(db, "CREATE TABLE IF NOT EXISTS main.sync_state_" +
                               std::to_string(table.number) + "(" + keys +
                               ",site INTEGER,seq INTEGER,hlc INTEGER,flags INTEGER,"
                               "context INTEGER,cells BLOB,PRIMARY KEY(" +
                               keys + ")) WITHOUT ROWID"));
  if (table.key.size() <= registry->key_columns) return {};
  for (size_t k = registry->key_columns + 1; k <= table.key.size(); ++k) {
    const std::string column = " ADD COLUMN k" + std::to_string(k);
    SYNCLINE_TRY(execute(
        db, "ALTER TABLE main.sync_log" + column + "; ALTER TABLE main.sync_relay" + column));
  }
  registry->key_columns = static_cast<uint32_t>(table.key.size());
  return save_meta(db, "key_columns", Value::integer(registry->key_columns));
}

Status create_image(sqlite3* db, const TableInfo& table) {
  const std::string name = "sync_image_" + std::to_string(table.number);
  std::vector<std::string> have;
  SYNCLINE_TRY(query_texts(
      db, "SELECT name FROM pragma_table_info(" + quote_text(name) + ",'main')", &have));
  std::string columns;
  for (ColumnNumber n = 0; n < table.column_count(); ++n) {
    if (!table.columns[n].present || table.is_key(n)) continue;
    const std::string column = "c" + std::to_string(n);
    if (have.empty()) {
      columns += "," + column;
    } else if (std::find(have.begin(), have.end(), column) == have.end()) {
      SYNCLINE_TRY(execute(db, "ALTER TABLE main." + name + " ADD COLUMN " + column));
    }
  }
  if (!have.empty()) return {};
  return execute(db, "CREATE TABLE main." + name + "(seq INTEGER PRIMARY KEY" + columns + ")");
}

Status create_before(sqlite3* db, uint32_t table) {
  return execute(db, "CREATE TABLE IF NOT EXISTS main.sync_before_" + std::to_string(table) +
                         "(seq INTEGER,n INTEGER,v,PRIMARY KEY(seq,n)) WITHOUT ROWID");
}

Status log_head(sqlite3* db, VectorEntry* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT seq,ver FROM main.sync_log ORDER BY seq DESC LIMIT 1"));
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  *out = {};
  if (row) {
    out->seq = static_cast<uint64_t>(s.integer(0));
    out->hlc = static_cast<Hlc>(s.integer(1));
  }
  return {};
}

Status append_marker(sqlite3* db, uint32_t table, uint64_t* seq) {
  SYNCLINE_TRY(execute(db, "INSERT INTO main.sync_log(t,ver,mask) VALUES(" + std::to_string(table) +
                               "," + kClockSql + ",0)"));
  VectorEntry head;
  SYNCLINE_TRY(log_head(db, &head));
  *seq = head.seq;
  return {};
}

Status raise_floor(sqlite3* db, Hlc hlc) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "INSERT INTO main.sync_clock(id,floor) VALUES(0,?1) ON CONFLICT(id) "
                         "DO UPDATE SET floor=excluded.floor WHERE floor<excluded.floor"));
  s.bind(1, hlc);
  return s.run();
}

Status clock_ms(sqlite3* db, uint64_t* out) {
  int64_t ms = 0;
  SYNCLINE_TRY(query_integer(
      db, "SELECT CAST((julianday('now')-2440587.5)*86400000.0+0.5 AS INTEGER)", 0, &ms));
  *out = static_cast<uint64_t>(ms);
  return {};
}

uint64_t random_bits() {
  uint64_t bits = 0;
  fill_random(&bits, sizeof bits);
  return bits;
}

SiteId random_site_id() {
  SiteId id;
  fill_random(id.bytes.data(), id.bytes.size());
  return id;
}

}  // namespace syncline
