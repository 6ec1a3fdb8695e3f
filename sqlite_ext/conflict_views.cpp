// See conflict_views.h. Before the first sync_enable all of them are empty.
#include "sqlite_ext/conflict_views.h"

#include <algorithm>
#include <map>

#include "sqlite_ext/decide.h"
#include "sqlite_ext/enable.h"
#include "sqlite_ext/log_fold.h"
#include "syncline/explain.h"
#include "syncline/policy_report.h"
#include "syncline/policy_suggestion.h"

namespace syncline {

namespace {

// Rows that are known when the source opens.
class ListSource : public RowSource {
 public:
  // One cell; text unless it is a number. Empty text is NULL.
  struct Cell {
    std::string text;
    double number = 0;
    enum class Kind : uint8_t { text, integer, real } kind = Kind::text;
  };
  static Cell integer(int64_t value) {
    return {{}, static_cast<double>(value), Cell::Kind::integer};
  }
  static Cell real(double value) { return {{}, value, Cell::Kind::real}; }

  void add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }

  Status next(bool* row) override {
    *row = ++at_ < rows_.size();
    return {};
  }
  void column(int column, sqlite3_context* context) override {
    const Cell& cell = rows_[at_][static_cast<size_t>(column)];
    if (cell.kind == Cell::Kind::integer) {
      sqlite3_result_int64(context, static_cast<sqlite3_int64>(cell.number));
    } else if (cell.kind == Cell::Kind::real) {
      sqlite3_result_double(context, cell.number);
    } else if (!cell.text.empty()) {
      give_text(context, cell.text);
    }
  }

 private:
  std::vector<std::vector<Cell>> rows_;
  size_t at_ = static_cast<size_t>(-1);
};

using Cell = ListSource::Cell;

Status has_companions(sqlite3* db, bool* yes) {
  int64_t there = 0;
  SYNCLINE_TRY(
      query_integer(db, "SELECT 1 FROM main.sqlite_schema WHERE name='sync_meta'", 0, &there));
  *yes = there != 0;
  return {};
}

Status text_argument(const Argument& argument, const char* what, std::string* out) {
  *out = argument.bytes;
  if (argument.given && !out->empty()) return {};
  return {StatusCode::invalid_argument, std::string(what) + " is missing or NULL"};
}

Status open_policies(sqlite3* db, Arguments, std::unique_ptr<RowSource>* out) {
  auto list = std::make_unique<ListSource>();
  bool there = false;
  SYNCLINE_TRY(has_companions(db, &there));
  if (there) {
    Operation operation;
    SYNCLINE_TRY(operation.begin_in_snapshot(db, "sync_policies"));
    const Registry& registry = operation.registry();
    for (const PolicyLine& line : policy_lines(registry.settings, registry.tables)) {
      list->add({{line.table_name}, {line.column_name}, {line.policy}, {line.options},
                 {time_text(hlc_to_ms(line.set_at))}, {line.set_by_site}, {line.source}});
    }
    const std::string self = to_hex(registry.sites.id(registry.self()));
    for (size_t i = 0; i < registry.tables.size(); ++i) {
      for (const std::string& column : registry.extras[i].local) {
        list->add({{registry.tables[i].name}, {column}, {"local"}, {"{}"}, {""}, {self},
                   {"local"}});
      }
    }
  }
  *out = std::move(list);
  return {};
}

// The table as the registry has it, or, if it is not tracked, as it would.
Status find_or_describe(sqlite3* db, const std::string& name, BaseTable* base, TableInfo* out) {
  SYNCLINE_TRY(describe_table(db, name, base));
  if (!base->exists || base->type != "table" || is_companion(base->name)) {
    std::vector<std::string> names;
    SYNCLINE_TRY(table_names(db, &names));
    const std::string near = nearest_name(name, names);
    return {StatusCode::invalid_argument, "table \"" + name + "\" does not exist",
            near.empty() ? "" : "did you mean \"" + near + "\"?"};
  }
  out->name = base->name;
  for (const BaseColumn& column : base->columns) {
    ColumnInfo info;
    info.name = column.name;
    info.type = logical_type_of_declaration(column.declared);
    info.kind = logical_kind(info.type);
    if (std::find(base->key.begin(), base->key.end(), column.name) != base->key.end()) {
      out->key.push_back(out->column_count());
    }
    out->columns.push_back(std::move(info));
  }
  return {};
}

Status open_suggestions(sqlite3* db, Arguments arguments, std::unique_ptr<RowSource>* out) {
  std::string name;
  SYNCLINE_TRY(text_argument(arguments[0], "the name of the table", &name));
  BaseTable base;
  TableInfo table;
  SYNCLINE_TRY(find_or_describe(db, name, &base, &table));
  std::vector<UniqueIndex> indexes;
  SYNCLINE_TRY(unique_indexes(db, base.name, &indexes));
  std::vector<ColumnNumber> unique;
  for (const UniqueIndex& index : indexes) {
    for (const CaptureIndex::Part& part : index.key.parts) {
      const int64_t column = find_column(table.columns, part.column);
      if (column >= 0) unique.push_back(static_cast<ColumnNumber>(column));
    }
  }
  auto list = std::make_unique<ListSource>();
  for (const PolicySuggestion& s : suggest_policies(table, unique)) {
    list->add({{s.column}, {s.policy}, {s.reason}});
  }
  *out = std::move(list);
  return {};
}

Status open_preview(sqlite3* db, Arguments arguments, std::unique_ptr<RowSource>* out) {
  std::string id;
  SYNCLINE_TRY(text_argument(arguments[0], "the id of the conflict", &id));
  bool there = false;
  SYNCLINE_TRY(has_companions(db, &there));
  if (!there) return unknown_conflict(id);
  Operation operation;
  SYNCLINE_TRY(operation.begin_in_snapshot(db, "sync_preview"));
  AccessPool pool(db, operation.registry());
  DecisionScene scene;
  SYNCLINE_TRY(load_scene(db, operation.registry(), &pool, id, &scene));
  if (scene.stored.text.status != "open") return closed_conflict(scene.stored.text);
  std::vector<PreviewLine> lines;
  preview_choices(scene.input(operation.registry()), &lines);
  auto list = std::make_unique<ListSource>();
  for (const PreviewLine& line : lines) list->add({{line.choice}, {line.value}, {line.note}});
  *out = std::move(list);
  return {};
}

struct TableStats {
  int64_t total = 0, open = 0, automatic = 0, manual = 0;
  std::vector<double> seconds;  // from detection to resolution
};

// Nearest rank.
Cell percentile(std::vector<double> values, double share) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<size_t>(share * static_cast<double>(values.size()) + 0.999999);
  return ListSource::real(values[std::clamp<size_t>(rank, 1, values.size()) - 1]);
}

Status open_stats(sqlite3* db, Arguments, std::unique_ptr<RowSource>* out) {
  auto list = std::make_unique<ListSource>();
  bool there = false;
  SYNCLINE_TRY(has_companions(db, &there));
  std::map<std::string, TableStats> tables;
  Statement s;
  if (there) {
    SYNCLINE_TRY(s.prepare(
        db,
        "SELECT table_name,status='open',how='decision',"
        "round(max(0,(julianday(resolved_at)-julianday(detected_at))*86400),3) "
        "FROM main.sync_conflict"));
  }
  for (bool row = there; row;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    TableStats& stats = tables[s.text(0)];
    ++stats.total;
    const bool open = s.integer(1) != 0, decided = s.integer(2) != 0;
    (open ? stats.open : decided ? stats.manual : stats.automatic) += 1;
    if (!open) stats.seconds.push_back(s.real(3));
  }
  for (const auto& [name, stats] : tables) {
    const int64_t closed = stats.automatic + stats.manual;
    list->add({{name},
               ListSource::integer(stats.total),
               ListSource::integer(stats.open),
               ListSource::integer(stats.automatic),
               ListSource::integer(stats.manual),
               closed == 0 ? Cell{}
                           : ListSource::real(static_cast<double>(stats.automatic) /
                                              static_cast<double>(closed)),
               percentile(stats.seconds, 0.5),
               percentile(stats.seconds, 0.95)});
  }
  *out = std::move(list);
  return {};
}

Status open_events(sqlite3* db, Arguments arguments, std::unique_ptr<RowSource>* out) {
  *out = std::make_unique<EmptySource>();
  bool there = false;
  SYNCLINE_TRY(has_companions(db, &there));
  if (arguments[0].given && !arguments[0].integer) {
    return {StatusCode::invalid_argument, "sync_events wants the number of an event",
            "pass the greatest `event` that was read, or 0"};
  }
  if (!there) return {};
  auto source = std::make_unique<CopiedSource>();
  SYNCLINE_TRY(source->open(
      db, "SELECT event,at,kind,conflict_id,table_name,pk,column_name,detail FROM "
          "main.sync_event WHERE event>" +
              (arguments[0].given ? arguments[0].bytes : std::string("0")) + " ORDER BY event"));
  *out = std::move(source);
  return {};
}

Status open_explain(sqlite3* db, Arguments arguments, std::unique_ptr<RowSource>* out) {
  std::string name;
  SYNCLINE_TRY(text_argument(arguments[0], "the name of the table", &name));
  Operation operation;
  SYNCLINE_TRY(operation.begin_in_snapshot(db, "sync_explain"));
  const Registry& registry = operation.registry();
  const int64_t at = find_table(registry.tables, name);
  if (at < 0) return unknown_table(registry, name);
  const TableInfo& table = registry.tables[static_cast<size_t>(at)];
  Arena arena;
  const Argument& given = arguments[1];
  const Value value = !given.given    ? Value()
                      : given.integer ? Value::integer(std::stoll(given.bytes))
                      : given.blob    ? Value::blob(given.bytes)
                                      : Value::text(given.bytes);
  std::vector<Value> key;
  SYNCLINE_TRY(key_from_argument(table, value, &arena, &key));
  AccessPool pool(db, registry);
  TableAccess* access = nullptr;
  SYNCLINE_TRY(pool.get(table.number, &access));
  LocalRow local;
  RowState row;
  SYNCLINE_TRY(read_current_row(access, registry, key, &arena, &local, &row));
  std::vector<ExplainedCell> cells;
  explain_row(table, row, registry.sites, &cells);
  auto list = std::make_unique<ListSource>();
  for (const ExplainedCell& cell : cells) {
    list->add({{cell.column},
               {cell.value},
               {cell.site},
               cell.seq == 0 ? Cell{} : ListSource::integer(static_cast<int64_t>(cell.seq)),
               {time_text(hlc_to_ms(cell.hlc))},
               {cell.actor},
               {cell.rule},
               {cell.lost}});
  }
  *out = std::move(list);
  return {};
}

const TableFunction kViews[] = {
    {"sync_policies", "table_name, column_name, policy, options, set_at, set_by_site, source", "",
     7, 0, open_policies},
    {"sync_suggest_policies", "column_name, policy, reason", "name", 3, 1, open_suggestions},
    {"sync_preview", "choice, value, note", "conflict", 3, 1, open_preview},
    {"sync_conflict_stats",
     "table_name, total, open, automatic, manual, automatic_share, p50_s, p95_s", "", 8, 0,
     open_stats},
    {"sync_events", "event, at, kind, conflict_id, table_name, pk, column_name, detail", "since",
     8, 1, open_events},
    {"sync_explain", "column_name, value, site, seq, written_at, actor, rule, lost", "name, key", 8,
     2, open_explain},
};

}  // namespace

int register_conflict_views(sqlite3* db) {
  for (const TableFunction& view : kViews) {
    const int rc = register_table_function(db, &view);
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

}  // namespace syncline
