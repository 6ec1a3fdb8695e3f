// See sqlite_port.h: who we are, what we know, what an exchange leaves behind. Rows are in
// sqlite_port_rows.cpp.
#include "sqlite_ext/sqlite_port.h"

#include <algorithm>
#include <cstring>

#include "sqlite_ext/conflict_store.h"
#include "sqlite_ext/identity.h"
#include "sqlite_ext/melting.h"
#include "sqlite_ext/schema_check.h"

namespace syncline {

namespace {

std::string_view site_bytes(const SiteId& id) {
  return {reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size()};
}

Status load_vector(sqlite3* db, const Registry& registry, VersionVector* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT site,seq,hlc FROM main.sync_vector"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    out->set(static_cast<SiteIndex>(s.integer(0)),
             {static_cast<uint64_t>(s.integer(1)), static_cast<Hlc>(s.integer(2))});
  }
  VectorEntry head;
  SYNCLINE_TRY(log_head(db, &head));
  if (head.seq >= registry.incarnations.back().from_seq) out->set(registry.self(), head);
  return {};
}

}  // namespace

Status SqlitePort::load_site(SiteState* out) {
  out->sites = registry_.sites;
  sites_ = &out->sites;
  out->self = registry_.self();
  out->name = registry_.name;
  out->settings = registry_.settings;
  out->random = random_bits();
  SYNCLINE_TRY(clock_ms(db_, &out->now_ms));
  SYNCLINE_TRY(load_vector(db_, registry_, &out->knowledge));
  SYNCLINE_TRY(load_melted(db_, &out->sites, &out->melted));
  int64_t position = 0, next = 0;
  SYNCLINE_TRY(query_integer(db_, "SELECT max(pos) FROM main.sync_relay", 0, &position));
  out->position = static_cast<uint64_t>(position);
  SYNCLINE_TRY(
      query_integer(db_, "SELECT value FROM main.sync_meta WHERE key='next_context'", 1, &next));
  out->next_context = static_cast<ContextId>(next);
  Statement s;
  SYNCLINE_TRY(s.prepare(db_, "SELECT id,vector FROM main.sync_context"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    std::string_view bytes = s.bytes(1);
    SYNCLINE_TRY(
        read_vector(&bytes, &out->sites, &out->contexts[static_cast<ContextId>(s.integer(0))]));
  }
}

Status SqlitePort::recognises(const VectorEntry& own, bool* yes) {
  SYNCLINE_TRY(has_made(db_, registry_, own, yes));
  if (*yes) shared_seen_ = std::max(shared_seen_, own.seq);
  return {};
}

Status SqlitePort::load_tables(std::vector<TableInfo>* out) {
  *out = registry_.tables;
  return {};
}

Status SqlitePort::park(const TableSchema& remote, std::vector<TableInfo>* tables) {
  pool_.clear();
  int64_t at = find_table(registry_.tables, remote.name);
  const bool fresh = at < 0;
  if (fresh) {
    at = static_cast<int64_t>(registry_.tables.size());
    registry_.tables.emplace_back();
    registry_.extras.emplace_back();
    TableInfo& table = registry_.tables.back();
    table.number = registry_.next_table++;
    table.name = remote.name;
    table.present = false;
    for (const TableInfo& other : registry_.tables)
      table.rank = std::max(table.rank, other.rank);
    ++table.rank;
    SYNCLINE_TRY(save_meta(db_, "next_table", Value::integer(registry_.next_table)));
  }
  TableInfo& table = registry_.tables[static_cast<size_t>(at)];
  for (const ColumnSchema& column : remote.columns) {
    if (find_column(table.columns, column.name) >= 0) continue;
    ColumnInfo info;
    info.name = column.name;
    info.type = column.type;
    info.kind = logical_kind(column.type);
    info.present = false;
    table.columns.push_back(std::move(info));
    registry_.extras[static_cast<size_t>(at)].known_after.push_back(0);
  }
  if (fresh) {
    for (uint32_t position : remote.key) {
      table.key.push_back(
          static_cast<ColumnNumber>(find_column(table.columns, remote.columns[position].name)));
    }
    SYNCLINE_TRY(create_state(db_, &registry_, table));
  }
  SYNCLINE_TRY(save_table(db_, registry_, static_cast<size_t>(at)));
  *tables = registry_.tables;
  return {};
}

Status SqlitePort::list_held(std::vector<RowRef>* out) {
  SYNCLINE_TRY(syncline::list_held(db_, out));
  // Rows that waited for a table which has just been enabled have no conflict that says so.
  for (size_t i = 0; i < registry_.tables.size(); ++i) {
    if (!registry_.extras[i].adopting) continue;
    const TableInfo& table = registry_.tables[i];
    TableAccess* access = nullptr;
    SYNCLINE_TRY(pool_.get(table.number, &access));
    Statement s;
    SYNCLINE_TRY(s.prepare(db_, "SELECT " + key_list(table.key.size()) + " FROM main.sync_state_" +
                                    std::to_string(table.number) + " WHERE flags&" +
                                    std::to_string(kPackedHeld) + " ORDER BY hlc"));
    for (bool row = true;;) {
      SYNCLINE_TRY(s.next(&row));
      if (!row) break;
      std::vector<Value> stored;
      Arena arena;
      out->push_back({table.number,
                      encode_key(access->key_to_wire(access->cursor_key(s, &stored), &arena)), ""});
    }
  }
  return {};
}

Status SqlitePort::record_conflicts(std::span<const ConflictRecord> records) {
  // The operation's own table: the chunk may have named sites that are not saved yet.
  return syncline::record_conflicts(db_, *sites_, records);
}

Status SqlitePort::load_incoming(const SiteId& sender, Incoming* out) {
  *out = Incoming();
  Statement s;
  SYNCLINE_TRY(s.prepare(db_, "SELECT token,begin FROM main.sync_incoming WHERE sender=?1"));
  s.bind_blob(1, site_bytes(sender));
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  if (!row) return {};
  out->open = true;
  out->token = s.text(0);
  out->begin = static_cast<uint64_t>(s.integer(1));
  return {};
}

Status SqlitePort::list_incoming(std::vector<std::pair<SiteId, std::string>>* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db_, "SELECT sender,token FROM main.sync_incoming"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    SiteId id;
    if (s.bytes(0).size() != id.bytes.size()) continue;
    std::memcpy(id.bytes.data(), s.bytes(0).data(), id.bytes.size());
    out->emplace_back(id, s.text(1));
  }
}

Status SqlitePort::save_sites(const SiteTable& sites) {
  for (SiteIndex i = registry_.sites.size(); i < sites.size(); ++i) {
    SYNCLINE_TRY(save_site(db_, i, sites.id(i)));
    registry_.sites.intern(sites.id(i));
  }
  return {};
}

Status SqlitePort::save_knowledge(const SiteState& site, const ExchangeUpdate& update) {
  Statement vector, growth;
  SYNCLINE_TRY(vector.prepare(db_, "INSERT OR REPLACE INTO main.sync_vector VALUES(?1,?2,?3)"));
  SYNCLINE_TRY(growth.prepare(db_,
                              "INSERT OR IGNORE INTO main.sync_growth(begin,site,seq) "
                              "VALUES(?1,?2,?3)"));
  for (SiteIndex i = 0; i < update.knowledge.size(); ++i) {
    const VectorEntry after = update.knowledge.entry(i);
    if (i == site.self || after.seq <= site.knowledge.seq(i)) continue;
    vector.bind(1, int64_t{i});
    vector.bind(2, after.seq);
    vector.bind(3, after.hlc);
    SYNCLINE_TRY(vector.run());
    growth.bind(1, update.begin);
    growth.bind(2, int64_t{i});
    growth.bind(3, after.seq);
    SYNCLINE_TRY(growth.run());
  }
  return {};
}

Status SqlitePort::save_contexts(const SiteState& site, const ExchangeUpdate& update) {
  Statement gone;
  SYNCLINE_TRY(gone.prepare(db_, "DELETE FROM main.sync_context WHERE id=?1"));
  // A new context may continue an older one, whose rows stand where that one began.
  int64_t begin = 0;
  SYNCLINE_TRY(query_integer(db_, "SELECT min(begin) FROM main.sync_context",
                             static_cast<int64_t>(update.begin), &begin));
  begin = std::min(begin, static_cast<int64_t>(update.begin));
  for (ContextId id : update.contexts_gone) {
    gone.bind(1, id);
    SYNCLINE_TRY(gone.run());
  }
  if (update.contexts_new.empty()) return {};
  Statement fresh;
  SYNCLINE_TRY(fresh.prepare(db_,
                             "INSERT INTO main.sync_context(id,begin,vector) "
                             "VALUES(?1,?2,?3)"));
  for (const auto& [id, vector] : update.contexts_new) {
    std::string bytes;
    append_vector(&bytes, vector, site.sites);
    fresh.bind(1, id);
    fresh.bind(2, begin);
    fresh.bind_blob(3, bytes);
    SYNCLINE_TRY(fresh.run());
  }
  return save_meta(db_, "next_context",
                   Value::integer(static_cast<int64_t>(update.contexts_new.back().first + 1)));
}

// While rows without state come and not all are here, what REPLACE takes away has to be known.
Status SqlitePort::watch_fill(const ExchangeUpdate& update) {
  for (const TableInfo& table : registry_.tables) {
    const ContextId id = table.baseline_context;
    const bool begins = std::any_of(update.contexts_new.begin(), update.contexts_new.end(),
                                    [&](const auto& made) { return made.first == id; });
    const auto& gone = update.contexts_gone;
    const bool ends = std::find(gone.begin(), gone.end(), id) != gone.end();
    if (begins || ends) SYNCLINE_TRY(renew_triggers(db_, table));
  }
  return {};
}

Status SqlitePort::save_exchange(const SiteState& site, const ExchangeUpdate& update) {
  SYNCLINE_TRY(save_sites(site.sites));
  Statement incoming;
  if (update.incoming.open) {
    SYNCLINE_TRY(incoming.prepare(db_,
                                  "INSERT OR REPLACE INTO main.sync_incoming"
                                  "(sender,token,begin) VALUES(?1,?2,?3)"));
    incoming.bind(2, std::string_view(update.incoming.token));
    incoming.bind(3, update.incoming.begin);
  } else {
    SYNCLINE_TRY(incoming.prepare(db_, "DELETE FROM main.sync_incoming WHERE sender=?1"));
  }
  incoming.bind_blob(1, site_bytes(update.sender));
  SYNCLINE_TRY(incoming.run());
  if (update.knowledge_grew) SYNCLINE_TRY(save_knowledge(site, update));
  SYNCLINE_TRY(save_contexts(site, update));
  for (const Setting& setting : update.settings_new) {
    registry_.settings.merge(setting);
    SYNCLINE_TRY(save_setting(db_, setting));
  }
  if (!update.settings_new.empty()) {
    refresh_policies(&registry_);
    SYNCLINE_TRY(renew_triggers(db_, &registry_));
  }
  SYNCLINE_TRY(watch_fill(update));
  SYNCLINE_TRY(save_acknowledgements(db_, site.sites, update.acknowledgements));
  if (update.melted_changed) SYNCLINE_TRY(save_melted(db_, site.sites, update.melted));
  return update.hlc_max > 0 ? raise_floor(db_, update.hlc_max + 1) : Status();
}

Status SqlitePort::open_scan(const VersionVector& since, const ScanStart& start) {
  return scan_.open(since, start);
}

Status SqlitePort::scan(size_t count_max, RowBatch* out) {
  return scan_.next(count_max, out);
}

}  // namespace syncline
