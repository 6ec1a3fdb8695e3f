// See conflict_names.h.
#include "sqlite_ext/conflict_names.h"

#include "sqlite_ext/access_pool.h"
#include "sqlite_ext/conflict_store.h"

namespace syncline {

Status find_records(const Registry& registry, TableAccess* access, RowKey key,
                    const RowState& versions, SiteIndex self, Arena* arena,
                    std::vector<ConflictRecord>* out) {
  const TableInfo& table = access->table();
  LocalRow base;
  base.key = key;
  SYNCLINE_TRY(access->read_base(key, arena, &base));
  RowState state = versions;
  resolve_values(table, base.stored ? base.values : std::span<const Value>(), &state);
  std::vector<Conflict> conflicts;
  find_conflicts(table, key, state, registry.sites, &conflicts);
  for (Conflict& conflict : conflicts) {
    ConflictRecord record;
    record.table = &table;
    record.key = encode_key(key);
    record.pk_json = key_to_json(table, key);
    record.winner_is_local = conflict.winner.site == self;
    record.conflict = std::move(conflict);
    out->push_back(std::move(record));
  }
  return {};
}

Status rename_conflicts(sqlite3* db, const Registry& registry, TableAccess* access, RowKey key,
                        const RowState& versions, SiteIndex self) {
  if (!may_conflict(versions)) return {};
  Arena arena;
  std::vector<ConflictRecord> records;
  SYNCLINE_TRY(find_records(registry, access, key, versions, self, &arena, &records));
  SYNCLINE_TRY(forget_open_conflicts(db, access->table().number, encode_key(key)));
  return record_conflicts(db, registry.sites, records);
}

Status rename_table_conflicts(sqlite3* db, const Registry& registry, uint32_t number) {
  std::vector<std::string> keys;
  Statement open;
  SYNCLINE_TRY(open.prepare(db,
                            "SELECT DISTINCT key FROM main.sync_conflict WHERE t=?1 AND "
                            "status='open' AND kind NOT IN ('unique','foreign_key','constraint')"));
  open.bind(1, int64_t{number});
  for (bool row = true;;) {
    SYNCLINE_TRY(open.next(&row));
    if (!row) break;
    keys.emplace_back(open.bytes(0));
  }
  if (keys.empty()) return {};
  AccessPool pool(db, registry);
  TableAccess* access = nullptr;
  SYNCLINE_TRY(pool.get(number, &access));
  for (const std::string& key : keys) {
    Arena arena;
    std::vector<Value> values;
    SYNCLINE_TRY(decode_key(key, &arena, &values));
    LocalRow row;
    row.key = values;
    SYNCLINE_TRY(access->read_state(row.key, &arena, &row));
    if (!row.has_state) continue;
    RowState state;
    SYNCLINE_TRY(unpack_row(row.state, access->table().column_count(), &state));
    SYNCLINE_TRY(rename_conflicts(db, registry, access, row.key, state, registry.self()));
  }
  return {};
}

}  // namespace syncline
