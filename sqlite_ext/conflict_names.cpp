// See conflict_names.h.
#include "sqlite_ext/conflict_names.h"

#include "sqlite_ext/access_pool.h"
#include "sqlite_ext/conflict_store.h"

namespace syncline {

Status rename_conflicts(sqlite3* db, const Registry& registry, TableAccess* access,
                        const LocalRow& row, const RowState& versions, SiteIndex self) {
  if (!may_conflict(versions)) return {};
  const TableInfo& table = access->table();
  Arena arena;
  LocalRow base = row;
  SYNCLINE_TRY(access->read_base(row.key, &arena, &base));
  RowState state = versions;
  if (base.stored) resolve_same(base.values, &state);
  fill_missing(table, &state);
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
    SYNCLINE_TRY(rename_conflicts(db, registry, access, row, state, registry.self()));
  }
  return {};
}

}  // namespace syncline
