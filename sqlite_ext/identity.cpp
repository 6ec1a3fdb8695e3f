// See identity.h.
#include "sqlite_ext/identity.h"

#include <algorithm>

#include "sqlite_ext/conflict_names.h"
#include "sqlite_ext/conflict_store.h"
#include "sqlite_ext/file_witness.h"
#include "sqlite_ext/log_fold.h"
#include "sqlite_ext/melting.h"
#include "sqlite_ext/members.h"
#include "syncline/limits.h"

namespace syncline {

namespace {

// Rows with own versions to be relabelled are those the log names beyond that place.
Status relabel_rows(sqlite3* db, const Registry& registry, const Relabel& relabel) {
  AccessPool pool(db, registry);
  Statement log;
  const std::string keys = key_list(registry.key_columns);
  SYNCLINE_TRY(log.prepare(db, "SELECT DISTINCT t," + keys +
                                   " FROM main.sync_log WHERE seq>?1 "
                                   "ORDER BY t," +
                                   keys));
  log.bind(1, relabel.after);
  for (bool row = true;;) {
    SYNCLINE_TRY(log.next(&row));
    if (!row) return {};
    const auto number = static_cast<uint32_t>(log.integer(0));
    if (registry.position(number) < 0) continue;
    TableAccess* access = nullptr;
    SYNCLINE_TRY(pool.get(number, &access));
    std::vector<Value> stored;
    for (size_t i = 0; i < access->table().key.size(); ++i) {
      stored.push_back(log.value(1 + static_cast<int>(i)));
    }
    Arena arena;
    LocalRow local;
    local.key = access->key_to_wire(stored, &arena);
    SYNCLINE_TRY(access->read_state(local.key, &arena, &local));
    if (!local.has_state) continue;
    RowState state;
    SYNCLINE_TRY(unpack_row(local.state, access->table().column_count(), &state));
    if (!relabel_versions(relabel, registry.sites, &state)) continue;
    std::string packed;
    const TableAccess::StateWrite write = {
        local.key, pack_row(state, access->table(), nullptr, false, &packed)};
    SYNCLINE_TRY(access->write_states({&write, 1}));
    SYNCLINE_TRY(rename_conflicts(db, registry, access, local.key, state, relabel.to));
  }
}

Status keep_old_entry(sqlite3* db, SiteIndex site, uint64_t seq) {
  return execute(db, "INSERT OR REPLACE INTO main.sync_vector SELECT " + std::to_string(site) +
                         ",seq,ver FROM main.sync_log WHERE seq=" + std::to_string(seq));
}

Status remembered_birth(sqlite3* db, int64_t* out) {
  return query_integer(db, "SELECT value FROM main.sync_meta WHERE key='file'", 0, out);
}

// Now, or beyond what came from others, whichever is later.
Status latest_clock(sqlite3* db, uint64_t now_ms, Hlc* out) {
  int64_t merged = 0;
  SYNCLINE_TRY(query_integer(db, "SELECT max(hlc)+1 FROM main.sync_vector", 0, &merged));
  *out = std::max(hlc_from_ms(now_ms), static_cast<Hlc>(merged));
  return {};
}

// Log, clock and settings of a database whose clock was wrong; its rows are relabelled beside.
Status set_clock_back(sqlite3* db, const Registry& registry, const Relabel& relabel) {
  const std::string latest = std::to_string(relabel.latest);
  SYNCLINE_TRY(execute(db, "UPDATE main.sync_log SET ver=" + latest + " WHERE seq>" +
                               std::to_string(relabel.after) + " AND ver>" + latest));
  SYNCLINE_TRY(execute(db, "UPDATE main.sync_clock SET floor=" + latest));
  return execute(db, "UPDATE main.sync_setting SET hlc=" + latest + " WHERE hlc>" + latest +
                         " AND site=(SELECT id FROM main.sync_site WHERE n=" +
                         std::to_string(registry.self()) + ")");
}

}  // namespace

Status has_made(sqlite3* db, const Registry& registry, const VectorEntry& own, bool* yes) {
  SYNCLINE_TRY(is_pruned(db, registry, own.seq, yes));
  if (*yes) return {};
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT ver FROM main.sync_log WHERE seq=?1 AND seq>=?2"));
  s.bind(1, own.seq);
  s.bind(2, registry.incarnations.back().from_seq);
  bool row = false;
  SYNCLINE_TRY(s.next(&row));
  *yes = row && static_cast<Hlc>(s.integer(0)) == own.hlc;
  return {};
}

Status load_lives(sqlite3* db, Registry* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT i.from_seq,lower(hex(s.id)) FROM main.sync_incarnation i JOIN "
                         "main.sync_site s ON s.n=i.site ORDER BY i.from_seq"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    Result<SiteId> id = site_id_from_hex(s.bytes(1));
    if (!id.ok()) return id.status();
    out->incarnations.push_back(
        {static_cast<uint64_t>(s.integer(0)), out->sites.intern(id.value())});
  }
}

Status was_copied(sqlite3* db, const Registry& registry, bool* yes) {
  *yes = false;
  int64_t remembered = 0;
  SYNCLINE_TRY(remembered_birth(db, &remembered));
  const int64_t birth = remembered == 0 ? 0 : file_birth(db);
  *yes = birth != 0 && birth != remembered;
  if (*yes) return {};
  std::string site;
  VectorEntry last;
  if (!read_departure(db, &site, &last)) return {};
  bool made = last.seq == 0;
  if (!made && site == to_hex(registry.sites.id(registry.self()))) {
    SYNCLINE_TRY(has_made(db, registry, last, &made));
    *yes = !made;
    return {};
  }
  *yes = std::none_of(
      registry.incarnations.begin(), registry.incarnations.end(),
      [&](const Incarnation& was) { return site == to_hex(registry.sites.id(was.site)); });
  return {};
}

Status remember_file(sqlite3* db, const Registry& registry) {
  int64_t remembered = 0;
  SYNCLINE_TRY(remembered_birth(db, &remembered));
  const int64_t birth = file_birth(db);
  if (birth == 0 || birth == remembered) return {};
  note_departure(db, registry.sites.id(registry.self()), VectorEntry());
  return save_meta(db, "file", Value::integer(birth));
}

Status note_what_leaves(sqlite3* db, const Registry& registry) {
  VectorEntry head;
  SYNCLINE_TRY(log_head(db, &head));
  if (head.seq < registry.incarnations.back().from_seq) return {};
  note_departure(db, registry.sites.id(registry.self()), head);
  return {};
}

Status mark_head(sqlite3* db, const Registry& registry) {
  const std::string random = std::to_string(1 + (random_bits() & 0xffff));
  return execute(db, "INSERT INTO main.sync_log(t,ver,mask) SELECT 0,l.ver+" + random +
                         ",0 FROM main.sync_log l,main.sync_clock c "
                         "WHERE l.seq=(SELECT max(seq) FROM main.sync_log) AND l.ver<=c.floor "
                         "AND l.seq>" + std::to_string(registry.folded));
}

Status clock_was_ahead(sqlite3* db, bool* yes) {
  uint64_t now_ms = 0;
  SYNCLINE_TRY(clock_ms(db, &now_ms));
  int64_t newest = 0;
  SYNCLINE_TRY(query_integer(db,
                             "SELECT max(coalesce((SELECT max(floor) FROM main.sync_clock),0),"
                             "coalesce((SELECT ver FROM main.sync_log ORDER BY seq DESC LIMIT 1),"
                             "0))",
                             0, &newest));
  // What came from others at such a clock is not ours to change.
  Hlc bound = 0;
  SYNCLINE_TRY(latest_clock(db, now_ms + limits::drift_ms_max_default, &bound));
  *yes = static_cast<Hlc>(newest) > bound + hlc_from_ms(1);
  return {};
}

Status note_shared(sqlite3* db, Registry* registry, uint64_t seq) {
  if (seq <= registry->shared) return {};
  registry->shared = seq;
  return save_meta(db, "shared", Value::integer(static_cast<int64_t>(seq)));
}

Status give_up_identity(sqlite3* db, Registry* registry, uint64_t certain, bool set_clock) {
  VectorEntry head;
  SYNCLINE_TRY(log_head(db, &head));
  const Incarnation old = registry->incarnations.back();
  VersionVector melted;  // others have that much, whether or not they said so
  SYNCLINE_TRY(load_melted(db, &registry->sites, &melted));
  const uint64_t seen = std::max({registry->shared, certain, melted.seq(old.site)});
  const bool member = is_member(*registry);
  Relabel relabel;
  relabel.from = old.site;
  relabel.after = std::min(std::max(seen, old.from_seq - 1), head.seq);
  const SiteId id = site_id_beside(registry->sites.id(old.site), registry->sites, random_site_id());
  relabel.to = registry->sites.intern(id);
  bool ahead = false;
  if (set_clock) SYNCLINE_TRY(clock_was_ahead(db, &ahead));
  if (ahead) {
    uint64_t now_ms = 0;
    SYNCLINE_TRY(clock_ms(db, &now_ms));
    SYNCLINE_TRY(latest_clock(db, now_ms, &relabel.latest));
  }
  SYNCLINE_TRY(save_site(db, relabel.to, id));
  SYNCLINE_TRY(relabel_rows(db, *registry, relabel));
  if (ahead) SYNCLINE_TRY(set_clock_back(db, *registry, relabel));
  for (size_t i = 0; i < registry->tables.size(); ++i) {
    Version& baseline = registry->tables[i].baseline;
    if (baseline.site != old.site || baseline.seq <= relabel.after) continue;
    baseline.site = relabel.to;
    SYNCLINE_TRY(save_table(db, *registry, i));
  }
  const uint64_t first = relabel.after + 1;
  SYNCLINE_TRY(execute(db, "INSERT OR REPLACE INTO main.sync_incarnation VALUES(" +
                               std::to_string(first) + "," + std::to_string(relabel.to) + ")"));
  if (old.from_seq >= first) registry->incarnations.pop_back();
  registry->incarnations.push_back({first, relabel.to});
  if (first > old.from_seq) SYNCLINE_TRY(keep_old_entry(db, old.site, relabel.after));
  note_departure(db, id, VectorEntry());
  SYNCLINE_TRY(remember_file(db, *registry));
  return member ? register_member(db, registry, true) : Status();
}

Status take_new_identity(sqlite3* db) {
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(db, "sync_new_identity"));
  const SiteIndex before = operation.registry().self();
  SYNCLINE_TRY(operation.fold());
  // A copy has taken one by now.
  if (operation.registry().self() == before) {
    SYNCLINE_TRY(give_up_identity(db, &operation.registry(), 0, true));
  }
  return operation.commit();
}

}  // namespace syncline
