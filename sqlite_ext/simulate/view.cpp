// See view.h.
#include "sqlite_ext/simulate/view.h"

#include <algorithm>
#include <charconv>

#include "sqlite_ext/operation.h"
#include "syncline/json.h"

namespace syncline::simulate {

size_t Words::cell(const std::string& table, const std::string& column) {
  std::vector<std::string>& names = cells[table];
  if (names.empty()) names.emplace_back();
  const auto found = std::find(names.begin() + 1, names.end(), column);
  if (found != names.end()) return static_cast<size_t>(found - names.begin());
  names.push_back(column);
  return names.size() - 1;
}

std::string literal(const Value& value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  switch (value.kind()) {
    case ValueKind::absent: return {};
    case ValueKind::integer: return std::to_string(value.as_integer());
    case ValueKind::real: {
      char text[40];
      const auto end = std::to_chars(text, text + sizeof text, value.as_real()).ptr;
      std::string out(text, end);
      return out.find_first_of(".en") == std::string::npos ? out + ".0" : out;
    }
    case ValueKind::text: return quote_text(value.bytes());
    case ValueKind::blob: {
      std::string out = "x'";
      for (const char c : value.bytes()) {
        out += kDigits[static_cast<unsigned char>(c) >> 4];
        out += kDigits[static_cast<unsigned char>(c) & 15];
      }
      return out + "'";
    }
    default: return "NULL";
  }
}

namespace {

Known known_of(const VersionVector& vector, const SiteTable& sites, Words* words) {
  Known out;
  for (SiteIndex s = 0; s < vector.size(); ++s) {
    if (vector.seq(s) > 0) out[words->sites.intern(sites.id(s))] = vector.seq(s);
  }
  return out;
}

// Also what has melted, which no log names.
ScanStart everything() {
  ScanStart start;
  start.everything = true;
  return start;
}

struct Reader {
  sqlite3* db;
  Words* words;
  View* out;
  const SiteTable* sites = nullptr;

  SeenTable& table_of(const TableInfo& table, std::vector<size_t>* cells) const {
    SeenTable& seen = out->tables[table.name];
    seen.present = table.present;
    seen.on_delete = table.on_delete;
    cells->clear();
    for (const ColumnInfo& column : table.columns) {
      const size_t cell = column.dropped ? 0 : words->cell(table.name, column.name);
      cells->push_back(cell);
      if (cell >= seen.policies.size()) {
        seen.policies.resize(cell + 1);
        seen.kinds.resize(cell + 1);
        seen.columns.resize(cell + 1);
      }
      if (column.dropped) continue;
      seen.policies[cell] = column.policy_kind();
      seen.kinds[cell] = column.kind;
      seen.columns[cell] = column.present;
    }
    seen.key.clear();
    for (const ColumnNumber c : table.key)
      seen.key.push_back((*cells)[c]);
    return seen;
  }

  SeenVersion version_of(const Version& version, const Value* value) const {
    SeenVersion seen;
    seen.site = words->sites.intern(sites->id(version.site));
    seen.seq = version.seq;
    seen.hlc = version.hlc;
    seen.dead = version.dead;
    if (value != nullptr) seen.value = literal(*value);
    return seen;
  }

  Status add_row(const TableInfo& table, const std::vector<size_t>& cells, const LocalRow& local,
                 SeenTable* seen) const {
    RowState state;
    SYNCLINE_TRY(load_row(local, table, &state));
    if (state.empty() && !local.stored) return {};
    SeenRow& row = seen->rows[encode_key(local.key)];
    row.pk = key_to_json(table, local.key);
    row.stored = local.stored;
    row.held = state.held;
    row.kept = state.kept;
    row.adjusted = state.adjusted;
    row.context = state.context;
    const size_t count = words->cells[table.name].size();
    row.base.resize(count);
    std::vector<SeenVersion> rest;
    for (const Version& version : state.rest)
      rest.push_back(version_of(version, nullptr));
    row.cells.assign(count, rest);
    for (ColumnNumber c = 0; c < table.column_count(); ++c) {
      const size_t cell = cells[c];
      if (cell == 0) continue;
      if (local.stored) row.base[cell] = literal(local.values[c]);
      const auto exceptions = state.exceptions(c);
      if (!exceptions.empty()) {
        row.cells[cell].clear();
        for (const CellVersion& v : exceptions)
          row.cells[cell].push_back(version_of(v.version, &v.value));
        continue;
      }
      for (size_t i = 0; i < state.rest.size() && c < state.column_count; ++i) {
        row.cells[cell][i].value = literal(state.rest_values[i * state.column_count + c]);
      }
    }
    return {};
  }
};

}  // namespace

Status read_view(sqlite3* db, Words* words, View* out) {
  *out = View();
  Operation operation;
  SYNCLINE_TRY(operation.begin_read(db, "the simulation"));
  SiteState site;
  SYNCLINE_TRY(operation.port().load_site(&site));
  Reader reader{db, words, out, &site.sites};
  out->self = words->sites.intern(site.sites.id(site.self));
  out->shared = operation.registry().incarnations.back().from_seq - 1;
  out->folded = operation.registry().folded;
  out->knowledge = known_of(site.knowledge, site.sites, words);
  for (const auto& [id, vector] : site.contexts)
    out->contexts[id] = known_of(vector, site.sites, words);
  std::vector<size_t> cells;
  for (const TableInfo& table : operation.registry().tables)
    reader.table_of(table, &cells);
  SYNCLINE_TRY(operation.port().open_scan(VersionVector(), everything()));
  for (RowBatch batch;;) {
    SYNCLINE_TRY(operation.port().scan(256, &batch));
    if (batch.rows.empty()) break;
    SeenTable& seen = reader.table_of(*batch.table, &cells);
    for (const LocalRow& local : batch.rows)
      SYNCLINE_TRY(reader.add_row(*batch.table, cells, local, &seen));
  }
  return {};
}

namespace {

// The key comes from where the row is kept: a version of some columns alone has no value for it.
std::string insert_of(const TableInfo& table, RowKey key, const RowState& state,
                      const SiteTable& sites) {
  ShownRow shown;
  show_row(state, table, sites, &shown);
  for (size_t i = 0; i < table.key.size(); ++i) shown.values[table.key[i]] = key[i];
  std::string columns, values, same;
  for (ColumnNumber c = 0; c < table.column_count(); ++c) {
    const Value& value = shown.values[c];
    if (!table.columns[c].present || value.is(ValueKind::absent)) continue;
    const std::string name = quote_name(table.columns[c].name);
    columns += (columns.empty() ? "" : ",") + name;
    values += (values.empty() ? "" : ",") + literal(value);
    if (!value.is(ValueKind::text)) continue;
    // '007' in a column of numbers would become 7.
    same += (same.empty() ? "CAST(" : " AND CAST(") + name + " AS TEXT)=" + literal(value);
  }
  return "INSERT INTO main." + quote_name(table.name) + "(" + columns + ") VALUES(" + values +
         ") RETURNING " + (same.empty() ? "1" : same);
}

// Whether two versions of a row, as JSON objects, differ in open columns alone.
bool differ_in_open(const IsOpen& open, const std::string& table, const std::string& a,
                    const std::string& b) {
  SortedJson sides[] = {parse_json<SortedJson>(a), parse_json<SortedJson>(b)};
  for (SortedJson& side : sides) {
    if (!side.is_object()) return false;
    for (auto at = side.begin(); at != side.end();)
      at = open(table, at.key()) ? side.erase(at) : std::next(at);
  }
  return a != b && sides[0] == sides[1];
}

}  // namespace

Status read_records(sqlite3* db, const IsOpen& open, Records* out) {
  Statement s;
  SYNCLINE_TRY(s.prepare(db,
                         "SELECT id,kind,table_name,pk,column_name,local,remote FROM "
                         "sync_conflicts WHERE status='open'"));
  for (bool row = true;;) {
    SYNCLINE_TRY(s.next(&row));
    if (!row) break;
    if (open(s.text(2), s.text(4))) continue;
    if (differ_in_open(open, s.text(2), s.text(5), s.text(6))) continue;
    out->listed[s.text(0)] = s.text(1) + " in " + s.text(2) + " " + s.text(3) + " " + s.text(4);
  }
  Operation operation;
  SYNCLINE_TRY(operation.begin_read(db, "the simulation"));
  SiteState site;
  SYNCLINE_TRY(operation.port().load_site(&site));
  SYNCLINE_TRY(operation.port().open_scan(VersionVector(), everything()));
  for (RowBatch batch;;) {
    SYNCLINE_TRY(operation.port().scan(256, &batch));
    if (batch.rows.empty()) return {};
    const TableInfo& table = *batch.table;
    for (const LocalRow& local : batch.rows) {
      RowState state;
      SYNCLINE_TRY(load_row(local, table, &state));
      const std::string words = table.name + " " + key_to_json(table, local.key);
      std::vector<Conflict> conflicts;
      find_conflicts(table, local.key, state, site.sites, &conflicts);
      for (const Conflict& conflict : conflicts) {
        const auto column = static_cast<size_t>(conflict.column);
        if (conflict.column >= 0 && open(table.name, table.columns[column].name)) continue;
        if (differ_in_open(open, table.name, conflict.winner_json, conflict.loser_json)) continue;
        out->expected[conflict.id] = std::string(conflict_kind_name(conflict.kind)) + " " + words;
      }
      if (!table.present) continue;
      if (state.held || state.kept || state.adjusted) {
        out->expected[held_conflict_id(table, local.key)] = "of the row " + words;
      }
      if (state.held) out->held[words] = insert_of(table, local.key, state, site.sites);
    }
  }
}

bool same_rows(const View& a, const View& b) {
  for (const auto& [name, table] : a.tables) {
    const auto other = b.tables.find(name);
    if (other == b.tables.end() || table.rows != other->second.rows) return false;
  }
  return a.tables.size() == b.tables.size();
}

}  // namespace syncline::simulate
