// See sqlite_port.h: fetching and storing rows, and foreign keys.
#include <set>

#include "sqlite_ext/digest_store.h"
#include "sqlite_ext/sqlite_port.h"

namespace syncline {

namespace {

// Batches from this size on are probed as a range first.
constexpr size_t kProbeRows = 16;

}  // namespace

Status SqlitePort::fetch(const TableInfo& table, std::span<const RowKey> keys, RowBatch* out) {
  out->clear();
  out->table = &table;
  TableAccess* access = nullptr;
  SYNCLINE_TRY(pool_.get(table.number, &access));
  out->rows.reserve(keys.size());
  bool state = true, base = true;
  if (keys.size() >= kProbeRows) {
    SYNCLINE_TRY(access->probe_range(keys.front(), keys.back(), &state, &base));
  }
  vacant_ = base ? 0 : table.number;
  for (RowKey key : keys) {
    LocalRow row;
    row.key = key;
    if (state) SYNCLINE_TRY(access->read_state(key, &out->arena, &row));
    if (base) SYNCLINE_TRY(access->read_base(key, &out->arena, &row));
    out->rows.push_back(row);
  }
  return {};
}

Status SqlitePort::list_contested(const TableInfo& table, std::string_view after,
                                  size_t count_max, RowBatch* out) {
  return list_stateful(table, after, count_max, true, out);
}

Status SqlitePort::list_states(const TableInfo& table, std::string_view after, size_t count_max,
                               RowBatch* out) {
  return list_stateful(table, after, count_max, false, out);
}

// `contested`: only rows with more than one version for the whole row, and their base rows.
Status SqlitePort::list_stateful(const TableInfo& table, std::string_view after, size_t count_max,
                                 bool contested, RowBatch* out) {
  out->clear();
  out->table = &table;
  TableAccess* access = nullptr;
  SYNCLINE_TRY(pool_.get(table.number, &access));
  std::vector<Value> start, stored;
  if (!after.empty()) SYNCLINE_TRY(decode_key(after, &out->arena, &start));
  Statement cursor;
  SYNCLINE_TRY(access->open_state_cursor(start, &cursor));
  out->rows.reserve(count_max);
  for (bool found = true; out->rows.size() < count_max;) {
    SYNCLINE_TRY(cursor.next(&found));
    if (!found) return {};
    LocalRow row;
    row.key = access->key_to_wire(access->cursor_key(cursor, &stored), &out->arena);
    access->read_state_row(cursor, &out->arena, &row);
    if (contested && row.state.cells.empty()) continue;
    if (contested) SYNCLINE_TRY(access->read_base(row.key, &out->arena, &row));
    out->rows.push_back(row);
  }
  return {};
}

// One base row with the application's triggers. A row that a trigger will not have is held; a
// delete that one refuses is done without them.
Status SqlitePort::write_firing(TableAccess* access, const RowWrite& write, StoreOutcome* outcome) {
  SYNCLINE_TRY(guard_.admit_one());
  Status written = access->write_base(write, outcome);
  if (!outcome->stored || write.base == BaseAction::none) return written;
  const bool ignored = written.ok() && sqlite3_changes(db_) == 0;
  if (write.base != BaseAction::erase) {
    if (!ignored) return written;
    outcome->stored = false;
    outcome->kind = ConflictKind::constraint;
    outcome->reason = "a trigger of table \"" + access->table().name + "\" ignores this row";
    return {};
  }
  const bool refused = !written.ok() && sqlite3_extended_errcode(db_) == SQLITE_CONSTRAINT_TRIGGER;
  if (!ignored && !refused) return written;
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  SYNCLINE_TRY(guard_.admit_one());
  written = access->write_base(write, outcome);
  sqlite3_db_config(db_, SQLITE_DBCONFIG_ENABLE_TRIGGER, 1, nullptr);
  return written;
}

Status SqlitePort::write_base(TableAccess* access, std::span<const RowWrite> writes,
                              std::vector<StoreOutcome>* outcomes) {
  const bool fires = guard_.fires(access->table());
  if (fires) SYNCLINE_TRY(guard_.begin(access->table()));
  const bool fills = !fires && vacant_ == access->table().number;
  Status written;
  for (size_t i = 0, end = 0; i < writes.size() && written.ok(); i = end) {
    const size_t count = fills ? access->count_to_insert(writes.subspan(i)) : 1;
    bool stored = false;
    end = i + count;
    if (count > 1) written = access->insert_several(writes.subspan(i, count), &stored);
    for (; i < end && !stored && written.ok(); ++i) {
      StoreOutcome* outcome = &(*outcomes)[i];
      written =
          fires ? write_firing(access, writes[i], outcome) : access->write_base(writes[i], outcome);
    }
  }
  return fires ? guard_.end(std::move(written)) : written;
}

Status SqlitePort::store(const TableInfo& table, std::span<const RowWrite> writes,
                         std::vector<StoreOutcome>* outcomes) {
  outcomes->clear();
  outcomes->resize(writes.size());
  TableAccess* access = nullptr;
  SYNCLINE_TRY(pool_.get(table.number, &access));
  SYNCLINE_TRY(write_base(access, writes, outcomes));
  std::vector<TableAccess::StateWrite> states;
  std::vector<RowKey> relays, forgotten;
  bool fresh = false;
  for (size_t i = 0; i < writes.size(); ++i) {
    if (!(*outcomes)[i].stored) continue;
    fresh = fresh || writes[i].fresh;
    if (writes[i].fresh) continue;
    if (writes[i].forget) {
      forgotten.push_back(writes[i].key);
    } else {
      states.push_back({writes[i].key, writes[i].state});
    }
    // Without news for others, yet stored digests must learn that the base row is another.
    const bool changed = writes[i].base != BaseAction::none;
    if (writes[i].relay || changed) relays.push_back(writes[i].key);
  }
  if (fresh) SYNCLINE_TRY(forget_digests(db_, table.number));
  SYNCLINE_TRY(access->write_states(states));
  SYNCLINE_TRY(access->forget_states(forgotten));
  return access->append_relay(relays);
}

namespace {

// Finds children without parents through one foreign key.
class DanglingKey {
 public:
  DanglingKey(sqlite3* db, const TableInfo& child, TableAccess* access, ForeignKey key)
      : db_(db), child_(child), access_(*access), key_(std::move(key)) {}

  // One child row, by its key.
  Status check_child(RowKey child_key, std::vector<RowRef>* out) {
    if (!one_.prepared()) {
      SYNCLINE_TRY(one_.prepare(db_, query() + " AND " + child_match()));
    }
    for (size_t i = 0; i < child_key.size(); ++i) {
      Value local;
      access_.to_local(child_.key[i], child_key[i], &local);
      one_.bind(static_cast<int>(i) + 1, local);
    }
    return collect(&one_, out);
  }

  // Children of one parent row that is gone; `parent_key` is its primary key as stored.
  Status check_children_of(RowKey parent_key, const std::vector<CaptureIndex::Part>& parts,
                           std::vector<RowRef>* out) {
    if (!by_parent_.prepared()) {
      std::string match;
      for (size_t i = 0; i < key_.from.size(); ++i) {
        match += " AND c." + quote_name(key_.from[i]) + "=?" + std::to_string(i + 1);
        // Else the child's own counts, which may be narrower.
        if (!is_binary(parts[i].collation)) match += " COLLATE " + quote_name(parts[i].collation);
      }
      SYNCLINE_TRY(by_parent_.prepare(db_, query() + match));
    }
    for (size_t i = 0; i < parent_key.size(); ++i) {
      by_parent_.bind(static_cast<int>(i) + 1, parent_key[i]);
    }
    return collect(&by_parent_, out);
  }

  Status check_all(std::vector<RowRef>* out) {
    Statement all;
    SYNCLINE_TRY(all.prepare(db_, query()));
    return collect(&all, out);
  }

  const ForeignKey& key() const { return key_; }

 private:
  std::string query() const {
    std::string keys, where, parent;
    for (size_t i = 0; i < child_.key.size(); ++i) {
      keys += (i > 0 ? ",c." : "c.") + quote_name(child_.columns[child_.key[i]].name);
    }
    for (size_t i = 0; i < key_.from.size(); ++i) {
      where += "c." + quote_name(key_.from[i]) + " IS NOT NULL AND ";
      // The parent's column stands left: its affinity and collation count, as in SQLite's check.
      parent +=
          (i > 0 ? " AND p." : "p.") + quote_name(key_.to[i]) + "=c." + quote_name(key_.from[i]);
    }
    return "SELECT " + keys + " FROM main." + quote_name(child_.name) + " c WHERE " + where +
           "NOT EXISTS(SELECT 1 FROM main." + quote_name(key_.parent) + " p WHERE " + parent + ")";
  }

  std::string child_match() const {
    std::string out;
    for (size_t i = 0; i < child_.key.size(); ++i) {
      const std::string name = "c." + quote_name(child_.columns[child_.key[i]].name);
      const std::string mark = "=?" + std::to_string(i + 1);
      out += (i > 0 ? " AND " : "") + name + mark + " AND " + name + mark + " COLLATE BINARY";
    }
    return out;
  }

  Status collect(Statement* statement, std::vector<RowRef>* out) {
    for (bool row = true;;) {
      SYNCLINE_TRY(statement->next(&row));
      if (!row) break;
      std::vector<Value> stored;
      Arena arena;
      const RowKey key = access_.key_to_wire(access_.cursor_key(*statement, &stored), &arena);
      std::string columns;
      for (const std::string& name : key_.from)
        columns += (columns.empty() ? "" : ", ") + name;
      out->push_back({child_.number, encode_key(key),
                      "foreign key (" + columns + "): no such row in \"" + key_.parent + "\""});
    }
    statement->reset();
    return {};
  }

  sqlite3* db_;
  const TableInfo& child_;
  TableAccess& access_;
  ForeignKey key_;
  Statement one_, by_parent_;
};

bool refers_to_primary_key(const ForeignKey& key, const TableInfo& parent) {
  if (key.to.size() != parent.key.size()) return false;
  for (size_t i = 0; i < key.to.size(); ++i) {
    if (find_column(parent.columns, key.to[i]) != int64_t{parent.key[i]}) return false;
  }
  return true;
}

}  // namespace

Status SqlitePort::find_dangling(std::span<const RowRef> written, std::span<const RowRef> removed,
                                 std::vector<RowRef>* out) {
  out->clear();
  if (!foreign_keys_) return {};
  std::set<uint32_t> children, parents;
  for (const RowRef& ref : written)
    children.insert(ref.table);
  for (const RowRef& ref : removed)
    parents.insert(ref.table);
  for (const TableInfo& child : registry_.tables) {
    if (!child.present || !child.refers) continue;
    std::vector<ForeignKey> keys;
    SYNCLINE_TRY(foreign_keys(db_, child.name, &keys));
    TableAccess* access = nullptr;
    SYNCLINE_TRY(pool_.get(child.number, &access));
    for (ForeignKey& foreign : keys) {
      if (foreign.to.size() != foreign.from.size()) continue;  // a parent that is not there
      const int64_t at = find_table(registry_.tables, foreign.parent);
      const TableInfo* parent = at < 0 ? nullptr : &registry_.tables[static_cast<size_t>(at)];
      const bool lost_parents = parent != nullptr && parents.count(parent->number) != 0;
      if (children.count(child.number) == 0 && !lost_parents) continue;
      DanglingKey dangling(db_, child, access, std::move(foreign));
      for (const RowRef& ref : written) {
        if (ref.table != child.number) continue;
        Arena arena;
        std::vector<Value> key;
        SYNCLINE_TRY(decode_key(ref.key, &arena, &key));
        SYNCLINE_TRY(dangling.check_child(key, out));
      }
      if (!lost_parents) continue;
      if (!refers_to_primary_key(dangling.key(), *parent)) {
        SYNCLINE_TRY(dangling.check_all(out));
        continue;
      }
      TableAccess* parent_access = nullptr;
      SYNCLINE_TRY(pool_.get(parent->number, &parent_access));
      for (const RowRef& ref : removed) {
        if (ref.table != parent->number) continue;
        Arena arena;
        std::vector<Value> key;
        SYNCLINE_TRY(decode_key(ref.key, &arena, &key));
        for (size_t i = 0; i < key.size(); ++i) {
          parent_access->to_local(parent->key[i], key[i], &key[i]);
        }
        SYNCLINE_TRY(dangling.check_children_of(key, parent_access->key_parts(), out));
      }
    }
  }
  return {};
}

}  // namespace syncline
