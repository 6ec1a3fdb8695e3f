// See enable.h.
#include "sqlite_ext/enable.h"

#include <algorithm>
#include <cctype>

#include "sqlite_ext/access_pool.h"
#include "sqlite_ext/column_defaults.h"
#include "sqlite_ext/conflict_store.h"
#include "sqlite_ext/schema_check.h"
#include "syncline/fold.h"
#include "syncline/json.h"
#include "syncline/limits.h"

namespace syncline {

namespace {

using Json = OrderedJson;

std::string near(std::string_view name, const std::vector<std::string>& names) {
  const std::string nearest = nearest_name(name, names);
  return nearest.empty() ? std::string() : "did you mean \"" + nearest + "\"?";
}

Status refuse(const std::string& table, const std::string& why, const std::string& hint) {
  return {StatusCode::refused, "table \"" + table + "\" cannot be tracked: " + why, hint};
}

// Finds the table, or says why it cannot be tracked.
Status find_trackable(sqlite3* db, std::string_view name, BaseTable* base) {
  SYNCLINE_TRY(describe_table(db, name, base));
  if (!base->exists) {
    std::vector<std::string> names;
    SYNCLINE_TRY(table_names(db, &names));
    return {StatusCode::invalid_argument, "table \"" + std::string(name) + "\" does not exist",
            near(name, names)};
  }
  if (base->type != "table") {
    const char* hint =
        base->type == "view" ? "track the tables that it reads" : "track an ordinary table instead";
    return refuse(base->name, "it is a " + base->type, hint);
  }
  if (base->key.empty()) {
    return refuse(base->name, "it has no primary key",
                  "rows of two databases are matched by primary key: declare one");
  }
  if (base->columns.size() > 2000) return refuse(base->name, "it has too many columns", "");
  return {};
}

// Upper-cased words of SQL, to look for RAISE ( IGNORE ).
bool raises_quietly(std::string sql) {
  for (char& c : sql)
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  std::erase_if(sql, [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; });
  return sql.find("RAISE(IGNORE)") != std::string::npos ||
         sql.find("RAISE(FAIL") != std::string::npos;
}

Status find_warnings(sqlite3* db, const BaseTable& base, std::vector<std::string>* out) {
  std::vector<UniqueIndex> indexes;
  SYNCLINE_TRY(unique_indexes(db, base.name, &indexes));
  for (const UniqueIndex& index : indexes) {
    if (!index.expression) continue;
    out->push_back("unique index \"" + index.name +
                   "\" is on an expression: a row that REPLACE "
                   "removes through it is not seen as deleted");
  }
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT name,sql FROM main.sqlite_schema WHERE type='trigger' AND "
                         "tbl_name=?1 ORDER BY name"));
  s.bind(1, std::string_view(base.name));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    if (!raises_quietly(s.text(1))) continue;
    out->push_back("trigger \"" + s.text(0) +
                   "\" uses RAISE(IGNORE) or RAISE(FAIL): in an AFTER "
                   "trigger, changes may stay that capture did not see");
  }
  if (!base.nullable_key) return {};
  std::string any_null;
  for (const std::string& name : base.key) {
    any_null += (any_null.empty() ? "" : " OR ") + quote_name(name) + " IS NULL";
  }
  int64_t found = 0;
  SYNCLINE_TRY(query_integer(
      db, "SELECT 1 FROM main." + quote_name(base.name) + " WHERE " + any_null + " LIMIT 1", 0,
      &found));
  if (found != 0) {
    out->push_back(
        "rows with NULL in the primary key stay in this database: they have no "
        "identity that others could know");
  }
  return {};
}

Status add_columns(const BaseTable& base, TableInfo* table, TableExtra* extra) {
  for (const BaseColumn& column : base.columns) {
    if (find_column(table->columns, column.name) >= 0) continue;
    ColumnInfo info;
    info.name = column.name;
    info.type = logical_type_of_declaration(column.declared);
    info.kind = logical_kind(info.type);
    table->columns.push_back(std::move(info));
    extra->known_after.push_back(0);
  }
  return {};
}

// Lists the rows that stay here because their key holds NULL; there are few, and an index finds
// them.
Status list_null_keys(sqlite3* db, const BaseTable& base, const TableInfo& table) {
  if (!base.nullable_key) return {};
  std::string keys, any_null;
  for (const std::string& name : base.key) {
    keys += (keys.empty() ? "" : ",") + quote_name(name);
    any_null += (any_null.empty() ? "" : " OR ") + quote_name(name) + " IS NULL";
  }
  Statement s;
  SYNCLINE_TRY(s.prepare(db, "SELECT DISTINCT " + keys + " FROM main." + quote_name(base.name) +
                                 " WHERE " + any_null + " LIMIT 1000"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) return {};
    std::vector<Value> key;
    for (size_t i = 0; i < base.key.size(); ++i)
      key.push_back(s.value(static_cast<int>(i)));
    SYNCLINE_TRY(record_null_key(db, table, RowKey(key), true));
  }
}

// Turns a parked table into a present one. Its key must be the same.
Status adopt(sqlite3* db, const BaseTable& base, TableInfo* table, TableExtra* extra) {
  bool same = table->key.size() == base.key.size();
  for (size_t i = 0; same && i < base.key.size(); ++i) {
    same = table->columns[table->key[i]].name == base.key[i];
  }
  if (!same) {
    return refuse(base.name,
                  "rows of a table of this name came from a peer, and its primary key "
                  "is another",
                  "give both tables the same primary key");
  }
  for (ColumnInfo& column : table->columns) {
    const BaseColumn* found = base.find(column.name);
    if (found == nullptr) continue;
    column.present = true;
    column.type = logical_type_of_declaration(found->declared);
    column.kind = logical_kind(column.type);
  }
  extra->adopting = true;
  // Rows that stand here under the key of a waiting one were written without knowing it.
  std::string keys, match;
  for (size_t i = 0; i < base.key.size(); ++i) {
    const std::string name = "b." + quote_name(base.key[i]);
    keys += "," + name;
    match += (i == 0 ? "" : " AND ") + name + "=s.k" + std::to_string(i + 1);
  }
  return execute(db, "INSERT INTO main.sync_log(t,ver,mask," + key_list(base.key.size()) +
                         ") SELECT " + std::to_string(table->number) + "," + kClockSql + "," +
                         std::to_string(kMaskAll) + keys + " FROM main.sync_state_" +
                         std::to_string(table->number) + " s JOIN main." + quote_name(base.name) +
                         " b ON " + match);
}

void describe(const TableInfo& table, EnableReport* report) {
  report->table = table.name;
  for (ColumnNumber n : table.key)
    report->key.push_back(table.columns[n].name);
  for (const ColumnInfo& column : table.columns) {
    if (column.present) report->columns.push_back(column.name);
  }
}

Status read_local(const Json& names, std::vector<std::string>* out) {
  if (names.is_array()) {
    for (const Json& name : names) {
      if (name.is_string()) out->push_back(name.get<std::string>());
    }
    if (out->size() == names.size()) return {};
  }
  return {StatusCode::invalid_argument, "\"local\" is not an array of column names",
          "for example {\"local\": [\"cached_path\"]}"};
}

// What was asked for is a setting, so that it replicates.
Status set_on_delete(sqlite3* db, const TableInfo& table, const std::string& on_delete,
                     Registry* registry) {
  if (on_delete.empty()) return {};
  Setting setting;
  SYNCLINE_TRY(make_policy_setting(table, "", "", json_text(Json({{"on_delete", on_delete}})),
                                   registry->settings, &setting));
  uint64_t now_ms = 0;
  SYNCLINE_TRY(clock_ms(db, &now_ms));
  setting.hlc = registry->settings.next_hlc(setting.key, hlc_from_ms(now_ms));
  setting.site = registry->sites.id(registry->self());
  registry->settings.merge(setting);
  return save_setting(db, setting);
}

}  // namespace

Status enable_options_from_json(std::string_view json, EnableOptions* out) {
  if (json.empty()) return {};
  const Json parsed = parse_json<Json>(json);
  if (!parsed.is_object()) {
    return {StatusCode::invalid_argument, "options of sync_enable are not a JSON object",
            "for example {\"on_delete\": \"update_wins\"}"};
  }
  for (const auto& [key, value] : parsed.items()) {
    const std::string name = value.is_string() ? value.get<std::string>() : json_text(value);
    if (key == "triggers") {
      if (name != "fire" && name != "off") {
        return {StatusCode::invalid_argument, "triggers cannot be \"" + name + "\"",
                "one of \"fire\", \"off\""};
      }
      out->fire = name == "fire";
      continue;
    }
    if (key == "local") {
      SYNCLINE_TRY(read_local(value, &out->local));
      continue;
    }
    if (key != "on_delete") {
      const std::string hint = near(key, {"on_delete", "triggers", "local"});
      return {StatusCode::invalid_argument, "sync_enable has no option \"" + key + "\"",
              hint.empty() ? "known options: \"on_delete\", \"triggers\", \"local\"" : hint};
    }
    const std::vector<std::string> names = {"update_wins", "delete_wins", "last_writer"};
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) {
      return {StatusCode::invalid_argument, "on_delete cannot be \"" + name + "\"",
              "one of \"update_wins\", \"delete_wins\", \"last_writer\""};
    }
    out->on_delete = name;
  }
  return {};
}

std::string report_to_json(const EnableReport& report) {
  Json out = Json::object();  // one made of null by [] is not safe without memory
  out["table"] = report.table;
  if (!report.skipped.empty()) {
    out["skipped"] = report.skipped;
  } else {
    out["key"] = report.key;
    out["columns"] = report.columns;
    out["already"] = report.already;
    if (report.adopted) out["adopted"] = true;
    if (!report.warnings.empty()) out["warnings"] = report.warnings;
  }
  return json_text(out);
}

Status enable_table(sqlite3* db, std::string_view name, const EnableOptions& options,
                    Registry* registry, EnableReport* report) {
  if (is_companion(name)) {
    report->table = std::string(name);
    report->skipped = "bookkeeping of SQLite or of Syncline";
    return {};
  }
  BaseTable base;
  SYNCLINE_TRY(find_trackable(db, name, &base));
  SYNCLINE_TRY(find_warnings(db, base, &report->warnings));
  int64_t at = find_table(registry->tables, base.name);
  if (at >= 0 && registry->tables[static_cast<size_t>(at)].present) {
    report->already = true;
    if (options.fire.has_value()) {
      registry->extras[static_cast<size_t>(at)].fire = *options.fire;
      SYNCLINE_TRY(save_fire(db, *registry));
    }
    describe(registry->tables[static_cast<size_t>(at)], report);
    return {};
  }
  report->adopted = at >= 0;
  if (at < 0) {
    at = static_cast<int64_t>(registry->tables.size());
    registry->tables.emplace_back();
    registry->extras.emplace_back();
    registry->tables.back().number = registry->next_table++;
    SYNCLINE_TRY(save_meta(db, "next_table", Value::integer(registry->next_table)));
  }
  TableInfo& table = registry->tables[static_cast<size_t>(at)];
  TableExtra& extra = registry->extras[static_cast<size_t>(at)];
  table.name = base.name;
  extra.fire = options.fire.value_or(false);
  if (report->adopted) SYNCLINE_TRY(adopt(db, base, &table, &extra));
  table.present = true;
  SYNCLINE_TRY(add_columns(base, &table, &extra));
  SYNCLINE_TRY(read_defaults(db, base, &table));
  if (!report->adopted) {
    for (const std::string& part : base.key) {
      table.key.push_back(static_cast<ColumnNumber>(find_column(table.columns, part)));
    }
  }
  SYNCLINE_TRY(create_state(db, registry, table));
  SYNCLINE_TRY(create_image(db, table));
  table.baseline = Version();
  table.baseline_context = 0;
  table.baseline.site = registry->self();
  SYNCLINE_TRY(append_marker(db, table.number, &table.baseline.seq));
  SYNCLINE_TRY(query_text(db, "SELECT strftime('%Y-%m-%dT%H:%M:%fZ','now')", &extra.enabled_at));
  SYNCLINE_TRY(set_on_delete(db, table, options.on_delete, registry));
  refresh_policies(registry);  // peers may have said something of it already
  CapturePlan plan;
  SYNCLINE_TRY(plan_capture(db, table, base, &plan));
  SYNCLINE_TRY(make_triggers(db, plan));
  SYNCLINE_TRY(list_null_keys(db, base, table));
  describe(table, report);
  SYNCLINE_TRY(rank_tables(db, registry));
  for (size_t i = 0; i < registry->tables.size(); ++i) {
    SYNCLINE_TRY(save_table(db, *registry, i));
  }
  SYNCLINE_TRY(save_defaults(db, *registry));
  return options.fire.has_value() ? save_fire(db, *registry) : Status();
}

Status unknown_table(const Registry& registry, std::string_view name) {
  std::vector<std::string> names;
  for (const TableInfo& table : registry.tables) {
    if (table.present) names.push_back(table.name);
  }
  return {StatusCode::invalid_argument, "\"" + std::string(name) + "\" is not a tracked table",
          near(name, names)};
}

Status disable_table(sqlite3* db, std::string_view name, Registry* registry, std::string* out) {
  const int64_t at = find_table(registry->tables, name);
  if (at < 0 || !registry->tables[static_cast<size_t>(at)].present) {
    return unknown_table(*registry, name);
  }
  const TableInfo& table = registry->tables[static_cast<size_t>(at)];
  *out = table.name;
  SYNCLINE_TRY(drop_triggers(db, table.number));
  Status dropped = delete_table(db, table.number);
  if (dropped.code() == StatusCode::busy) {
    return {StatusCode::refused, "sync_disable cannot drop tables while a statement reads",
            "call it alone: SELECT sync_disable('" + *out + "')"};
  }
  SYNCLINE_TRY(dropped);
  registry->tables.erase(registry->tables.begin() + at);
  registry->extras.erase(registry->extras.begin() + at);
  return {};
}

namespace {

// Columns that `ddl` may drop: where they are named in a DDL that drops something.
std::vector<ColumnNumber> may_go(const TableInfo& table, const std::string& ddl) {
  const std::string text = lower_name(ddl);
  std::vector<ColumnNumber> columns;
  if (text.find("drop") == std::string::npos) return columns;
  for (ColumnNumber c = 0; c < table.column_count(); ++c) {
    if (!table.columns[c].present || table.is_key(c)) continue;
    if (text.find(lower_name(table.columns[c].name)) != std::string::npos) columns.push_back(c);
  }
  return columns;
}

// Writes out the values of cells of these columns that stand in the base rows alone: where the
// column goes, they still travel to those who have it.
class ValueKeeper {
 public:
  ValueKeeper(sqlite3* db, const Registry& registry) : pool_(db, registry) {}

  Status run(uint32_t number, const std::vector<ColumnNumber>& columns) {
    SYNCLINE_TRY(pool_.get(number, &access_));
    std::vector<Value> start;
    for (bool more = true; more;) {
      Arena arena;
      std::vector<LocalRow> rows;
      SYNCLINE_TRY(read(start, &arena, &rows, &more));
      std::vector<TableAccess::StateWrite> writes;
      for (LocalRow& row : rows)
        SYNCLINE_TRY(complete(columns, &arena, &row, &writes));
      if (!writes.empty()) SYNCLINE_TRY(access_->write_states(writes));
      start_arena_.clear();
      start.clear();
      for (const Value& part : rows.empty() ? RowKey() : rows.back().key)
        start.push_back(start_arena_.copy(part));
    }
    return {};
  }

 private:
  // Some rows with cells of their own, from behind `start` on.
  Status read(RowKey start, Arena* arena, std::vector<LocalRow>* rows, bool* more) {
    Statement cursor;
    std::vector<Value> stored;
    SYNCLINE_TRY(access_->open_state_cursor(start, &cursor));
    while (rows->size() < limits::rows_per_batch) {
      SYNCLINE_TRY(cursor.next(more));
      if (!*more) return {};
      LocalRow row;
      access_->read_state_row(cursor, arena, &row);
      if (row.state.cells.empty()) continue;
      row.key = access_->key_to_wire(access_->cursor_key(cursor, &stored), arena);
      rows->push_back(row);
    }
    return {};
  }

  Status complete(const std::vector<ColumnNumber>& columns, Arena* arena, LocalRow* row,
                  std::vector<TableAccess::StateWrite>* writes) {
    const TableInfo& table = access_->table();
    RowState state;
    SYNCLINE_TRY(unpack_row(row->state, table.column_count(), &state));
    const auto lacks_value = [&](const CellVersion& cell) {
      return cell.value.is(ValueKind::same) &&
             std::find(columns.begin(), columns.end(), cell.column) != columns.end();
    };
    if (std::none_of(state.cells.begin(), state.cells.end(), lacks_value)) return {};
    SYNCLINE_TRY(access_->read_base(row->key, arena, row));
    if (!row->stored) return {};
    for (CellVersion& cell : state.cells) {
      if (lacks_value(cell)) cell.value = row->values[cell.column];
    }
    std::string packed;
    writes->push_back({row->key, pack_row(state, table, nullptr, true, &packed)});
    writes->back().state.cells = arena->copy(writes->back().state.cells);
    return {};
  }

  AccessPool pool_;
  TableAccess* access_ = nullptr;
  Arena start_arena_;
};

}  // namespace

Status alter_table(sqlite3* db, std::string_view name, const std::string& ddl, Registry* registry) {
  const int64_t at = find_table(registry->tables, name);
  if (at < 0 || !registry->tables[static_cast<size_t>(at)].present) {
    return unknown_table(*registry, name);
  }
  TableInfo table = registry->tables[static_cast<size_t>(at)];
  const std::vector<ColumnNumber> going = may_go(table, ddl);
  if (!going.empty()) SYNCLINE_TRY(ValueKeeper(db, *registry).run(table.number, going));
  SYNCLINE_TRY(drop_triggers(db, table.number));
  SYNCLINE_TRY(execute(db, ddl));
  BaseTable base;
  SYNCLINE_TRY(describe_table(db, table.name, &base));
  if (!base.exists || base.key.empty()) {
    return {StatusCode::refused,
            "after this, \"" + table.name +
                "\" would be no table with a "
                "primary key any more",
            "rename or drop a tracked table without sync_alter"};
  }
  // With its triggers back before the check, the table is not taken for one that lost them.
  for (ColumnInfo& column : table.columns) {
    if (column.present && base.find(column.name) == nullptr) column.present = false;
  }
  CapturePlan plan;
  SYNCLINE_TRY(plan_capture(db, table, base, &plan));
  SYNCLINE_TRY(make_triggers(db, plan));
  SchemaChanges changes;
  return check_schema(db, true, registry, &changes);
}

}  // namespace syncline
