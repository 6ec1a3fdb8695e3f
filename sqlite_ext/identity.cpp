// See identity.h.
#include "sqlite_ext/identity.h"

#include <algorithm>

#include "sqlite_ext/conflict_store.h"
#include "sqlite_ext/log_fold.h"

namespace syncline {

namespace {

// A conflict is named after its dots: with other dots it is recorded anew.
Status rename_conflicts(sqlite3* db, const Registry& registry, TableAccess* access,
                        const LocalRow& row, const RowState& relabelled, SiteIndex self) {
  if (!may_conflict(relabelled)) return {};
  const TableInfo& table = access->table();
  Arena arena;
  LocalRow base = row;
  SYNCLINE_TRY(access->read_base(row.key, &arena, &base));
  RowState state = relabelled;
  if (base.stored) resolve_same(base.values, &state);
  std::vector<Conflict> conflicts;
  find_conflicts(table, row.key, state, registry.sites, &conflicts);
  std::vector<ConflictRecord> records;
  for (Conflict& conflict : conflicts) {
    ConflictRecord record;
    record.table = &table;
    record.key = encode_key(row.key);
    record.pk_json = key_to_json(table, row.key);
    record.winner_is_local = conflict.winner.site == self;
    record.conflict = std::move(conflict);
    records.push_back(std::move(record));
  }
  SYNCLINE_TRY(forget_open_conflicts(db, table.number, encode_key(row.key)));
  return record_conflicts(db, registry.sites, records);
}

// Rows with own versions after `after` are those the log names there.
Status relabel_rows(sqlite3* db, const Registry& registry, uint64_t after, SiteIndex from,
                    SiteIndex to) {
  AccessPool pool(db, registry);
  Statement log;
  const std::string keys = key_list(registry.key_columns);
  SYNCLINE_TRY(log.prepare(db, "SELECT DISTINCT t," + keys +
                                   " FROM main.sync_log WHERE seq>?1 "
                                   "ORDER BY t," +
                                   keys));
  log.bind(1, after);
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
    if (!relabel_versions(from, after, to, registry.sites, &state)) continue;
    std::string packed;
    const TableAccess::StateWrite write = {
        local.key, pack_row(state, access->table(), nullptr, false, &packed)};
    SYNCLINE_TRY(access->write_states({&write, 1}));
    SYNCLINE_TRY(rename_conflicts(db, registry, access, local, state, to));
  }
}

Status keep_old_entry(sqlite3* db, SiteIndex site, uint64_t seq) {
  return execute(db, "INSERT OR REPLACE INTO main.sync_vector SELECT " + std::to_string(site) +
                         ",seq,ver FROM main.sync_log WHERE seq=" + std::to_string(seq));
}

}  // namespace

Status note_shared(sqlite3* db, Registry* registry, uint64_t seq) {
  if (seq <= registry->shared) return {};
  registry->shared = seq;
  return save_meta(db, "shared", Value::integer(static_cast<int64_t>(seq)));
}

Status take_new_identity(Operation* operation) {
  sqlite3* db = operation->db();
  Registry& registry = operation->registry();
  SYNCLINE_TRY(operation->fold());
  VectorEntry head;
  SYNCLINE_TRY(log_head(db, &head));
  const Incarnation old = registry.incarnations.back();
  const uint64_t shared = std::min(std::max(registry.shared, old.from_seq - 1), head.seq);
  const SiteId id = random_site_id();
  const SiteIndex fresh = registry.sites.intern(id);
  SYNCLINE_TRY(save_site(db, fresh, id));
  SYNCLINE_TRY(relabel_rows(db, registry, shared, old.site, fresh));
  for (size_t i = 0; i < registry.tables.size(); ++i) {
    Version& baseline = registry.tables[i].baseline;
    if (baseline.site != old.site || baseline.seq <= shared) continue;
    baseline.site = fresh;
    SYNCLINE_TRY(save_table(db, registry, i));
  }
  SYNCLINE_TRY(execute(db, "INSERT OR REPLACE INTO main.sync_incarnation VALUES(" +
                               std::to_string(shared + 1) + "," + std::to_string(fresh) + ")"));
  if (old.from_seq > shared) registry.incarnations.pop_back();
  registry.incarnations.push_back({shared + 1, fresh});
  if (shared >= old.from_seq) SYNCLINE_TRY(keep_old_entry(db, old.site, shared));
  return {};
}

Status take_new_identity(sqlite3* db) {
  Operation operation;
  SYNCLINE_TRY(operation.begin_write(db, "sync_new_identity"));
  SYNCLINE_TRY(take_new_identity(&operation));
  return operation.commit();
}

}  // namespace syncline
