// See schema_check.h.
#include "sqlite_ext/schema_check.h"

#include <algorithm>
#include <map>
#include <set>

#include "sqlite_ext/column_defaults.h"
#include "sqlite_ext/conflict_names.h"
#include "syncline/fold.h"

namespace syncline {

namespace {

// Our triggers as sqlite_schema has them, name -> text, and whether a user's trigger is newer.
struct FoundTriggers {
  std::map<std::string, std::string> text;
  std::string table;  // the table they stand on
  bool outranked = false;
};

Status find_triggers(sqlite3* db, uint32_t table, FoundTriggers* out) {
  const std::string pattern = quote_text(capture_prefix(table) + "*");
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT name,sql,tbl_name FROM main.sqlite_schema WHERE "
                         "type='trigger' AND name GLOB " +
                             pattern));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    out->text[s.text(0)] = s.text(1);
    out->table = s.text(2);
  }
  if (out->text.empty()) return {};
  int64_t newer = 0;
  SYNCLINE_TRY(query_integer(
      db,
      "SELECT 1 FROM main.sqlite_schema WHERE type='trigger' AND tbl_name=" +
          quote_text(out->table) + " COLLATE NOCASE AND name NOT GLOB " + pattern +
          " AND rowid>(SELECT min(rowid) FROM main.sqlite_schema WHERE type='trigger' AND "
          "name GLOB " +
          pattern + ")",
      0, &newer));
  out->outranked = newer != 0;
  return {};
}

// The text as sqlite_schema keeps it: without the schema's name.
std::string as_stored(std::string sql) {
  const std::string head = "CREATE TRIGGER main.";
  if (sql.compare(0, head.size(), head) == 0) sql.replace(0, head.size(), "CREATE TRIGGER ");
  return sql;
}

Status create_before_if_noted(sqlite3* db, const CapturePlan& plan) {
  const bool any = std::any_of(plan.columns.begin(), plan.columns.end(),
                               [](const CaptureColumn& column) { return column.noted; });
  return any ? create_before(db, plan.table) : Status();
}

bool as_planned(const FoundTriggers& found, const CapturePlan& plan) {
  std::set<std::string> have;
  for (const auto& [name, sql] : found.text)
    have.insert(sql);
  const std::vector<std::string> want = capture_triggers(plan);
  return !found.outranked && have.size() == want.size() &&
         std::all_of(want.begin(), want.end(),
                     [&](const std::string& sql) { return have.count(as_stored(sql)) != 0; });
}

// Only those that differ: a trigger costs some 0.2 ms, and a clone changes those of each table
// twice.
Status change_triggers(sqlite3* db, const FoundTriggers& found, const CapturePlan& plan) {
  std::map<std::string, std::string> wanted;  // by the text as it is stored
  for (const std::string& sql : capture_triggers(plan))
    wanted[as_stored(sql)] = sql;
  for (const auto& [name, sql] : found.text) {
    if (wanted.erase(sql) == 0) SYNCLINE_TRY(execute(db, "DROP TRIGGER main." + quote_name(name)));
  }
  SYNCLINE_TRY(create_before_if_noted(db, plan));
  for (const auto& [stored, sql] : wanted)
    SYNCLINE_TRY(execute(db, sql));
  return {};
}

bool is_local(const TableExtra& extra, const std::string& column) {
  return std::any_of(extra.local.begin(), extra.local.end(), [&](const std::string& name) {
    return sqlite3_stricmp(name.c_str(), column.c_str()) == 0;
  });
}

// Columns: renames are matched by order, since SQLite keeps a renamed column's place.
// Local columns are not in `base`. Returns whether a name is gone.
bool match_columns(const BaseTable& base, uint64_t head, TableInfo* table, TableExtra* extra,
                   std::vector<ColumnNumber>* appeared) {
  std::vector<ColumnNumber> gone;
  std::vector<const BaseColumn*> fresh;
  std::set<std::string> matched;
  for (ColumnNumber n = 0; n < table->column_count(); ++n) {
    ColumnInfo& column = table->columns[n];
    const BaseColumn* found = column.dropped ? nullptr : base.find(column.name);
    if (found == nullptr) {
      if (column.present) gone.push_back(n);
      continue;
    }
    matched.insert(found->name);
    column.name = found->name;
    column.type = logical_type_of_declaration(found->declared);
    column.kind = logical_kind(column.type);
    if (column.present) continue;
    column.present = true;
    extra->known_after[n] = head;
    appeared->push_back(n);
  }
  for (const BaseColumn& column : base.columns) {
    if (matched.count(column.name) == 0) fresh.push_back(&column);
  }
  const bool renamed = gone.size() == fresh.size(), moved = !gone.empty();
  for (size_t i = 0; i < gone.size(); ++i) {
    ColumnInfo& column = table->columns[gone[i]];
    if (renamed) {
      column.name = fresh[i]->name;
    } else {
      // A local column does not travel. Of any other, versions may be on their way that no other
      // column has: they are kept and sent on as for a column that was never here.
      column.present = false;
      column.dropped = is_local(*extra, column.name);
    }
  }
  if (renamed) return moved;
  for (const BaseColumn* column : fresh) {
    ColumnInfo info;
    info.name = column->name;
    info.type = logical_type_of_declaration(column->declared);
    info.kind = logical_kind(info.type);
    table->columns.push_back(std::move(info));
    extra->known_after.push_back(head);
  }
  return moved;
}

void hide_local(const TableExtra& extra, BaseTable* base) {
  std::erase_if(base->columns,
                [&](const BaseColumn& column) { return is_local(extra, column.name); });
}

bool same_key(const TableInfo& table, const BaseTable& base) {
  if (table.key.size() != base.key.size()) return false;
  for (size_t i = 0; i < base.key.size(); ++i) {
    if (table.columns[table.key[i]].name != base.key[i]) return false;
  }
  return true;
}

// A table that was written without capture: every row counts as written now.
Status log_every_row(sqlite3* db, const TableInfo& table) {
  std::string keys, present;
  for (ColumnNumber n : table.key) {
    keys += "," + quote_name(table.columns[n].name);
    present +=
        (present.empty() ? "" : " AND ") + quote_name(table.columns[n].name) + " IS NOT NULL";
  }
  const std::string number = std::to_string(table.number), all = std::to_string(kMaskAll);
  const std::string log = "INSERT INTO main.sync_log(t,ver,mask," + key_list(table.key.size()) +
                          ") SELECT " + number + "," + kClockSql + "," + all;
  SYNCLINE_TRY(
      execute(db, log + keys + " FROM main." + quote_name(table.name) + " WHERE " + present));
  // Rows that have state and may be gone: the fold finds out.
  std::string gone = log;
  gone.replace(gone.rfind(all), all.size(), std::to_string(kMaskSuspect));
  return execute(db, gone + "," + key_list(table.key.size()) + " FROM main.sync_state_" + number +
                         " WHERE flags=0");
}

Status restore_capture(sqlite3* db, const BaseTable& base, Registry* registry, size_t position,
                       const FoundTriggers& found) {
  TableInfo& table = registry->tables[position];
  CapturePlan plan;
  SYNCLINE_TRY(plan_capture(db, table, base, &plan));
  if (as_planned(found, plan)) return {};
  const std::string prefix = capture_prefix(table.number);
  bool lost = false;
  for (const char* name : {"insert", "update", "rekey", "delete"}) {
    lost = lost || found.text.count(prefix + name) == 0;
  }
  SYNCLINE_TRY(create_image(db, table));
  SYNCLINE_TRY(make_triggers(db, plan));
  if (!lost) return {};
  std::string now;
  SYNCLINE_TRY(query_text(db, "SELECT strftime('%Y-%m-%dT%H:%M:%fZ','now')", &now));
  registry->extras[position].suspect =
      "the table had lost its triggers; found " + now + ": every row counts as written then";
  return log_every_row(db, table);
}

// A table or column under a new name has the policies of the old one.
Status follow_policies(sqlite3* db, bool write, const TableInfo& was, const TableInfo& table,
                       Settings* settings) {
  std::vector<Setting> made = rename_policies(was.name, {}, table.name, settings);
  for (ColumnNumber n = 0; n < was.column_count(); ++n) {
    const std::string& name = table.columns[n].name;
    if (name == was.columns[n].name) continue;
    const auto more = rename_policies(table.name, was.columns[n].name, name, settings);
    made.insert(made.end(), more.begin(), more.end());
  }
  for (const Setting& setting : made) {
    if (write) SYNCLINE_TRY(save_setting(db, setting));
  }
  return {};
}

Status check_table(sqlite3* db, bool write, uint64_t head, Registry* registry, size_t position,
                   bool* keep, SchemaChanges* changes, std::vector<uint32_t>* renamed) {
  TableInfo& table = registry->tables[position];
  const TableInfo was = table;
  FoundTriggers found;
  SYNCLINE_TRY(find_triggers(db, table.number, &found));
  if (!found.text.empty()) table.name = found.table;
  BaseTable base;
  SYNCLINE_TRY(describe_table(db, table.name, &base));
  *keep = base.exists && base.type == "table" && !base.key.empty();
  if (!*keep) return write ? delete_table(db, table.number) : Status();
  table.name = base.name;
  hide_local(registry->extras[position], &base);
  std::vector<ColumnNumber> appeared;
  const bool columns =
      match_columns(base, head, &table, &registry->extras[position], &appeared);
  if (columns || table.name != was.name) renamed->push_back(table.number);
  SYNCLINE_TRY(follow_policies(db, write, was, table, &registry->settings));
  SYNCLINE_TRY(read_defaults(db, base, &table));
  for (ColumnNumber n : appeared)
    changes->appeared.emplace_back(table.number, n);
  refresh_policies(registry);
  if (!same_key(table, base)) {
    registry->extras[position].suspect =
        "the primary key was changed: sync_disable the table and sync_enable it again";
    return write ? drop_triggers(db, table.number) : Status();
  }
  if (!write) return {};
  SYNCLINE_TRY(restore_capture(db, base, registry, position, found));
  return Status();
}

}  // namespace

Status plan_capture(sqlite3* db, const TableInfo& table, const BaseTable& base, CapturePlan* plan) {
  plan->table = table.number;
  plan->name = base.name;
  plan->key = base.key;
  for (ColumnNumber n = 0; n < table.column_count(); ++n) {
    if (!table.columns[n].present) continue;
    const BaseColumn* column = base.find(table.columns[n].name);
    if (column == nullptr) return {StatusCode::internal, "the registry is out of step"};
    std::string type = column->declared;
    const bool any = type.size() == 3 && sqlite3_strnicmp(type.c_str(), "any", 3) == 0;
    const auto& policy = table.columns[n].policy;
    plan->columns.push_back({n, column->name, any || column->affinity == Affinity::blob,
                             policy && policy->needs_notes()});
  }
  int64_t fills = 0;
  SYNCLINE_TRY(query_integer(db,
                             "SELECT 1 FROM main.sync_context WHERE id=" +
                                 std::to_string(table.baseline_context),
                             0, &fills));
  plan->fills = fills != 0;
  std::vector<UniqueIndex> indexes;
  SYNCLINE_TRY(unique_indexes(db, base.name, &indexes));
  for (UniqueIndex& index : indexes) {
    if (!index.expression) plan->indexes.push_back(std::move(index.key));
  }
  // A primary key under NOCASE or the like takes keys for equal that are not: REPLACE may remove a
  // row that has another key than the new one.
  return describe_key(db, base, &plan->primary.parts);
}

Status renew_triggers(sqlite3* db, Registry* registry) {
  for (const TableInfo& table : registry->tables)
    SYNCLINE_TRY(renew_triggers(db, table));
  return {};
}

Status renew_triggers(sqlite3* db, const TableInfo& table) {
  if (!table.present) return {};
  FoundTriggers found;
  SYNCLINE_TRY(find_triggers(db, table.number, &found));
  BaseTable base;
  SYNCLINE_TRY(describe_table(db, table.name, &base));
  if (found.text.empty() || !base.exists) return {};  // the next check sees to it
  CapturePlan plan;
  SYNCLINE_TRY(plan_capture(db, table, base, &plan));
  if (as_planned(found, plan)) return {};
  return found.outranked ? make_triggers(db, plan) : change_triggers(db, found, plan);
}

Status make_triggers(sqlite3* db, const CapturePlan& plan) {
  SYNCLINE_TRY(drop_triggers(db, plan.table));
  SYNCLINE_TRY(create_before_if_noted(db, plan));
  for (const std::string& sql : capture_triggers(plan))
    SYNCLINE_TRY(execute(db, sql));
  return {};
}

Status drop_triggers(sqlite3* db, uint32_t table) {
  std::vector<std::string> names;
  SYNCLINE_TRY(query_texts(db,
                           "SELECT name FROM main.sqlite_schema WHERE type='trigger' AND "
                           "name GLOB " +
                               quote_text(capture_prefix(table) + "*"),
                           &names));
  for (const std::string& name : names) {
    SYNCLINE_TRY(execute(db, "DROP TRIGGER main." + quote_name(name)));
  }
  return {};
}

namespace {

// Notes in parent and child that `key` ties them.
void note_reference(const ForeignKey& key, TableInfo* child, std::vector<TableInfo>* tables) {
  child->refers = true;
  for (TableInfo& parent : *tables) {
    if (!parent.present || parent.name != key.parent) continue;
    parent.referred = true;
    for (const std::string& name : key.to) {
      const int64_t column = find_column(parent.columns, name);
      if (column < 0) continue;
      const auto number = static_cast<ColumnNumber>(column);
      std::vector<ColumnNumber>& columns = parent.referred_columns;
      if (!parent.is_key(number) &&
          std::find(columns.begin(), columns.end(), number) == columns.end()) {
        columns.push_back(number);
      }
    }
  }
}

ForeignAction action_of(std::string_view on_delete) {
  if (on_delete == "CASCADE") return ForeignAction::cascade;
  if (on_delete == "SET NULL") return ForeignAction::set_null;
  if (on_delete == "SET DEFAULT") return ForeignAction::set_default;
  return ForeignAction::restrict;
}

// What the core can act upon: a key that refers to exactly the primary key of a tracked table.
void note_foreign_key(const ForeignKey& key, const std::vector<TableInfo>& tables,
                      TableInfo* child) {
  for (const TableInfo& parent : tables) {
    if (!parent.present || parent.name != key.parent) continue;
    if (key.to.size() != parent.key.size() || key.from.size() != key.to.size()) return;
    ForeignKeyInfo info;
    info.parent = parent.number;
    info.on_delete = action_of(key.on_delete);
    for (const ColumnNumber part : parent.key) {
      for (size_t i = 0; i < key.to.size(); ++i) {
        if (find_column(parent.columns, key.to[i]) != int64_t{part}) continue;
        const int64_t column = find_column(child->columns, key.from[i]);
        if (column >= 0) info.columns.push_back(static_cast<ColumnNumber>(column));
      }
    }
    if (info.columns.size() == parent.key.size()) child->foreign_keys.push_back(std::move(info));
    return;
  }
}

// Which tables each one waits for, by name.
using Parents = std::map<std::string, std::set<std::string>>;

Status find_parents(sqlite3* db, Registry* registry, Parents* waits) {
  for (TableInfo& table : registry->tables) {
    table.refers = table.referred = false;
    table.referred_columns.clear();
    table.foreign_keys.clear();
  }
  for (TableInfo& table : registry->tables) {
    std::set<std::string>& parents = (*waits)[table.name];
    std::vector<ForeignKey> keys;
    if (table.present) SYNCLINE_TRY(foreign_keys(db, table.name, &keys));
    for (const ForeignKey& key : keys) {
      note_reference(key, &table, &registry->tables);
      note_foreign_key(key, registry->tables, &table);
      if (key.parent != table.name) parents.insert(key.parent);
    }
  }
  return {};
}

}  // namespace

Status rank_tables(sqlite3* db, Registry* registry) {
  // Kahn's algorithm over names; of a cycle, the first name goes first.
  Parents waits;
  SYNCLINE_TRY(find_parents(db, registry, &waits));
  for (auto& [name, parents] : waits) {
    std::erase_if(parents, [&](const std::string& p) { return waits.count(p) == 0; });
  }
  std::map<std::string, uint32_t> rank;
  uint32_t next = 0;
  while (!waits.empty()) {
    auto ready = std::find_if(waits.begin(), waits.end(),
                              [](const auto& entry) { return entry.second.empty(); });
    if (ready == waits.end()) ready = waits.begin();
    const std::string name = ready->first;
    rank[name] = ++next;
    waits.erase(ready);
    for (auto& [other, parents] : waits)
      parents.erase(name);
  }
  std::vector<size_t> order(registry->tables.size());
  for (size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
    registry->tables[i].rank = rank[registry->tables[i].name];
  }
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return registry->tables[a].rank < registry->tables[b].rank;
  });
  std::vector<TableInfo> tables;
  std::vector<TableExtra> extras;
  for (size_t i : order) {
    tables.push_back(std::move(registry->tables[i]));
    extras.push_back(std::move(registry->extras[i]));
  }
  registry->tables = std::move(tables);
  registry->extras = std::move(extras);
  return {};
}

Status note_schema_version(sqlite3* db, Registry* registry) {
  int64_t version = 0;
  SYNCLINE_TRY(query_integer(db, "PRAGMA main.schema_version", 0, &version));
  if (version == registry->schema_version) return {};
  registry->schema_version = version;
  return save_meta(db, "schema_version", Value::integer(version));
}

Status check_schema(sqlite3* db, bool write, Registry* registry, SchemaChanges* changes) {
  int64_t version = 0;
  SYNCLINE_TRY(query_integer(db, "PRAGMA main.schema_version", 0, &version));
  if (version == registry->schema_version) return {};
  changes->any = true;
  std::vector<uint32_t> renamed;
  VectorEntry head;
  SYNCLINE_TRY(log_head(db, &head));
  for (size_t i = 0; i < registry->tables.size();) {
    bool keep = true;
    if (registry->tables[i].present) {
      SYNCLINE_TRY(check_table(db, write, head.seq, registry, i, &keep, changes, &renamed));
    }
    if (keep) {
      ++i;
      continue;
    }
    const auto at = static_cast<std::ptrdiff_t>(i);
    registry->tables.erase(registry->tables.begin() + at);
    registry->extras.erase(registry->extras.begin() + at);
  }
  SYNCLINE_TRY(rank_tables(db, registry));
  if (!write) return {};
  for (size_t i = 0; i < registry->tables.size(); ++i) {
    SYNCLINE_TRY(save_table(db, *registry, i));
  }
  SYNCLINE_TRY(save_defaults(db, *registry));
  for (const uint32_t table : renamed)
    SYNCLINE_TRY(rename_table_conflicts(db, *registry, table));
  return note_schema_version(db, registry);
}

}  // namespace syncline
