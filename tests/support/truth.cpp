#include "support/truth.hpp"

#include <algorithm>
#include <utility>
#include <stdexcept>

#include "support/reference_merge.hpp"

namespace syncline::test {
namespace {

// Our column of the site's column, or -1.
int64_t column_here(const TableRules& rules, const std::string& name) {
  for (size_t c = 0; c < rules.schema.columns.size(); ++c) {
    if (rules.schema.columns[c].name == name) return static_cast<int64_t>(c);
  }
  return -1;
}

// A version that did not know a column shows the column's default, which is NULL in these tables.
bool alike(const Value& a, const Value& b) {
  const auto nothing = [](const Value& v) {
    return v.is(ValueKind::absent) || v.is(ValueKind::null);
  };
  return a.identical(b) || (nothing(a) && nothing(b));
}

std::string place(const Value& value, const std::string& column) {
  return column + " = " + describe(value);
}

}  // namespace

void Truth::add_table(const TableRules& rules) {
  tables_[rules.schema.name].rules = rules;
}

size_t Truth::write_number(Row* row, const Table& table, const SiteId& site, uint64_t seq,
                           bool* added) {
  const auto [at, is_new] = row->by_dot.try_emplace({sites_.intern(site), seq}, row->writes.size());
  *added = is_new;
  if (row->wrote.empty()) {
    row->wrote.resize(table.cell_count());
    row->past.resize(table.cell_count());
    row->lost.resize(table.cell_count());
  }
  if (is_new) {
    if (row->writes.size() == kWritesMax) throw std::length_error("truth: a row is full");
    row->writes.emplace_back();
    writes_max_ = std::max(writes_max_, row->writes.size());
    for (std::vector<Writes>& past : row->past)
      past.emplace_back();
  }
  return at->second;
}

void Truth::note(Row* row, size_t write, size_t cell, const Writes& replaced) {
  Writes past;
  for (size_t i = 0; i < row->writes.size(); ++i) {
    if (replaced[i]) past |= row->past[cell][i] | Writes().set(i);
  }
  row->past[cell][write] = past;
  row->wrote[cell].set(write);
}

void Truth::enabled(const MemoryPort& port, const std::string& name,
                    const std::vector<OwnedRow>& rows) {
  Table& table = tables_.at(name);
  const Version baseline = port.table(name)->info.baseline;
  for (const OwnedRow& values : rows) {
    std::vector<Value> key;
    for (const uint32_t position : table.rules.schema.key)
      key.push_back(values[position].view());
    Row& row = table.rows[encode_key(key)];
    bool added = false;
    const size_t write = write_number(&row, table, port.id(), baseline.seq, &added);
    row.writes[write].values = values;
    row.writes[write].values.resize(table.cell_count() - 1);
    for (size_t cell = 0; cell < table.cell_count(); ++cell)
      note(&row, write, cell, {});
  }
}

std::vector<size_t> Truth::writes_of(const MemoryPort& port, const MemoryTable& local,
                                     const Row& row, const std::string& key, ColumnNumber column,
                                     SiteIndex site, uint64_t seq, bool* unknown) const {
  MemoryData::Dots dots = {{site, seq}};
  if (seq == 0) dots = port.stood_for(local, key, column);
  std::vector<size_t> out;
  for (const auto& [from, number] : dots) {
    const int64_t index = sites_.find(port.data().sites.id(from));
    const auto found =
        index < 0 ? row.by_dot.end() : row.by_dot.find({static_cast<SiteIndex>(index), number});
    *unknown = *unknown || found == row.by_dot.end();
    if (found != row.by_dot.end()) out.push_back(found->second);
  }
  return out;
}

void Truth::folded(const FoldedRow& fold) {
  Table& table = tables_.at(fold.table->name);
  Row& row = table.rows[encode_key(views(*fold.key))];
  const size_t columns = table.cell_count() - 1;
  const bool held = fold.before->held;
  // What its writer sees: by cell, and of columns that only peers have.
  std::vector<Writes> current(columns + 1);
  OwnedRow parked(columns);
  Writes here;
  const ReferenceRow before = reference_of(*fold.before);
  const OwnedRow shown = reference_show(before, *fold.sites, table.rules.on_delete).values;
  std::vector<int64_t> local(columns + 1, -1);
  for (size_t c = 0; c < columns; ++c) {
    local[c] = find_column(fold.table->columns, table.rules.schema.columns[c].name);
  }
  for (size_t cell = 0; cell <= columns && !held; ++cell) {
    const ReferenceCell& set = local[cell] < 0 ? before.back() : before[local[cell]];
    const MemoryTable& table_there = *fold.port->table(fold.table->name);
    const auto column = static_cast<ColumnNumber>(local[cell] < 0 ? fold.table->column_count()
                                                                  : local[cell]);
    // A row that left no trace was known all the same.
    const bool gone = fold.before->empty() &&
                      fold.port->data().stood.count({fold.table->number,
                                                     encode_key(views(*fold.key))}) > 0;
    ReferenceCell nobody;
    if (gone) nobody[{0, 0}] = {};
    for (const auto& [dot, v] : gone ? nobody : set) {
      bool unknown = false;
      for (const size_t write : writes_of(*fold.port, table_there, row,
                                          encode_key(views(*fold.key)), column, dot.first,
                                          dot.second, &unknown)) {
        current[cell].set(write);
        here |= row.past[cell][write] | Writes().set(write);
      }
      if (unknown) throw std::out_of_range("truth: a write that nobody made");
    }
    const bool is_parked = local[cell] >= 0 && !fold.table->columns[local[cell]].present;
    if (is_parked && shown[static_cast<size_t>(local[cell])].kind() != ValueKind::same) {
      parked[cell] = shown[static_cast<size_t>(local[cell])];
    }
  }
  bool kept = fold.before->kept;  // deleted, but there: an update brings it back whole
  for (const auto& [seq, entry] : fold.events) {
    const bool revives = std::exchange(kept, false) && entry->kind == ChangeKind::update;
    bool added = false;
    const size_t number = write_number(&row, table, fold.sites->id(fold.self), seq, &added);
    Write& write = row.writes[number];
    if (entry->kind == ChangeKind::insert) parked.assign(columns, OwnedValue());
    if (added) {
      write.kind = revives ? ChangeKind::insert : entry->kind;
      write.past = here;
      write.values = parked;
    }
    for (size_t cell = 0; cell <= columns; ++cell) {
      const bool known = local[cell] >= 0 && fold.table->columns[local[cell]].present;
      if (entry->kind == ChangeKind::update && !revives &&
          (!known || ((entry->mask >> local[cell]) & 1) == 0)) {
        continue;
      }
      if (added) note(&row, number, cell, current[cell]);
      if (added && known) write.values[cell] = entry->values[local[cell]];
      current[cell].reset().set(number);
    }
    here.set(number);
  }
}

Truth::View Truth::view(const MemoryPort& port, const Table& table, const Row& row,
                        const std::string& key, Arena* arena) const {
  View view;
  view.held.resize(table.cell_count());
  view.covered.resize(table.cell_count());
  const MemoryTable* local = port.table(table.rules.schema.name);
  if (local == nullptr) return view;
  view.state = port.row(*local, key, arena);
  view.exists = !view.state.empty();
  const ReferenceRow cells = reference_of(view.state);
  for (size_t cell = 0; cell < table.cell_count(); ++cell) {
    const int64_t c = cell + 1 == table.cell_count()
                          ? -1
                          : find_column(local->info.columns, table.rules.schema.columns[cell].name);
    const auto column = static_cast<ColumnNumber>(c < 0 ? local->info.column_count() : c);
    const auto cover = [&](size_t write) {
      view.covered[cell] |= row.past[cell][write] | Writes().set(write);
    };
    for (const auto& [dot, v] : c < 0 ? cells.back() : cells[static_cast<size_t>(c)]) {
      bool unknown = false;
      for (const size_t write :
           writes_of(port, *local, row, key, column, dot.first, dot.second, &unknown)) {
        view.held[cell].push_back(write);
        cover(write);
      }
      if (unknown) view.unknown = describe(cells);
    }
    // A row that left no trace was known all the same.
    const bool gone = !view.exists && port.data().stood.count({local->info.number, key}) > 0;
    bool ignored = false;
    for (const auto& [site, seq] : gone ? port.stood_for(*local, key, column)
                                        : MemoryData::Dots()) {
      for (const size_t write : writes_of(port, *local, row, key, column, site, seq, &ignored)) {
        cover(write);
        if (row.writes[write].kind == ChangeKind::erase) view.held[cell].push_back(write);
      }
    }
    view.here |= view.covered[cell];
  }
  return view;
}

std::string Truth::check(const MemoryPort& port) const {
  for (const auto& [name, table] : tables_) {
    for (const auto& [key, row] : table.rows) {
      Arena arena;
      const View seen = view(port, table, row, key, &arena);
      std::string broken;
      if (!seen.unknown.empty()) broken = "invented";
      if (broken.empty()) broken = check_cells(port, table, row, seen);
      if (broken.empty() && seen.exists) broken = check_values(port, table, row, seen);
      if (broken.empty() && seen.exists) broken = check_shown(port, table, row, key, seen);
      if (broken.empty()) continue;
      std::vector<Value> values;
      const bool decoded = decode_key(key, &arena, &values).ok();
      return broken + " at table " + name + " row " + (decoded ? describe(values) : key) + ": " +
             describe(reference_of(seen.state)) + (seen.state.held ? " held" : "");
    }
  }
  return {};
}

std::string Truth::check_cells(const MemoryPort& port, const Table& table, const Row& row,
                               const View& view) const {
  const VersionVector knowledge = port.knowledge();
  const auto context = port.data().contexts.find(view.state.context);
  const SiteTable& sites = port.data().sites;
  for (size_t cell = 0; cell < table.cell_count(); ++cell) {
    for (const size_t e : view.held[cell]) {
      for (const size_t d : view.held[cell]) {
        if (row.past[cell][e][d]) return "exactness";
      }
    }
    for (const auto& [dot, write] : row.by_dot) {
      if (!row.wrote[cell][write] || view.covered[cell][write]) continue;
      const int64_t site = sites.find(sites_.id(dot.first));
      if (site < 0) continue;
      uint64_t known = knowledge.seq(static_cast<SiteIndex>(site));
      if (view.exists && context != port.data().contexts.end()) {
        known = std::max(known, context->second.seq(static_cast<SiteIndex>(site)));
      }
      if (dot.second <= known) {
        return "claims " + std::to_string(site) + ":" + std::to_string(dot.second) + " in cell " +
               std::to_string(cell);
      }
    }
    if (view.exists && view.held[cell].empty()) return "presence";
  }
  for (size_t write = 0; write < row.writes.size(); ++write) {
    bool some = false, all = true;
    for (size_t cell = 0; cell < table.cell_count(); ++cell) {
      if (!row.wrote[cell][write]) continue;
      some = some || view.covered[cell][write];
      all = all && view.covered[cell][write];
    }
    if (some && !all) return "half";
  }
  return {};
}

std::string Truth::check_values(const MemoryPort& port, const Table& table, const Row& row,
                                const View& view) const {
  const MemoryTable& local = *port.table(table.rules.schema.name);
  const ReferenceRow cells = reference_of(view.state);
  for (size_t c = 0; c < cells.size(); ++c) {
    const bool column = c + 1 < cells.size();
    const std::string name = column ? local.info.columns[c].name : "existence";
    const int64_t cell =
        column ? column_here(table.rules, name) : static_cast<int64_t>(table.cell_count()) - 1;
    for (const auto& [dot, v] : cells[c]) {
      if (dot.second == 0) continue;  // melted: what is shown is looked at below
      const int64_t site = sites_.find(port.data().sites.id(dot.first));
      const Write& write = row.writes[row.by_dot.at({static_cast<SiteIndex>(site), dot.second})];
      if (v.version.dead != (write.kind == ChangeKind::erase)) return "values: tombstone flag";
      if (!column || local.info.is_key(static_cast<ColumnNumber>(c))) continue;
      if (!alike(v.value.view(), write.values[static_cast<size_t>(cell)].view())) {
        return "values: " + place(v.value.view(), name) + " but its writer wrote " +
               describe(write.values[static_cast<size_t>(cell)].view());
      }
    }
  }
  return {};
}

bool Truth::expect_alive(const Table& table, const Row& row, const View& view,
                         bool otherwise) const {
  const auto erased_later = [&](size_t write) {
    for (size_t e = 0; e < row.writes.size(); ++e) {
      const Write& end = row.writes[e];
      if (view.here[e] && end.kind == ChangeKind::erase && end.past[write]) return true;
    }
    return false;
  };
  const auto inserted_later = [&](size_t erase) {
    for (size_t i = 0; i < row.writes.size(); ++i) {
      const Write& again = row.writes[i];
      if (view.here[i] && again.kind == ChangeKind::insert && again.past[erase]) return true;
    }
    return false;
  };
  if (table.rules.on_delete == OnDelete::last_writer) return otherwise;
  const bool update_wins = table.rules.on_delete == OnDelete::update_wins;
  for (size_t w = 0; w < row.writes.size(); ++w) {
    if (!view.here[w]) continue;
    const bool erase = row.writes[w].kind == ChangeKind::erase;
    if (update_wins && !erase && !erased_later(w)) return true;
    if (!update_wins && erase && !inserted_later(w)) return false;
  }
  return !update_wins && view.here.any();
}

std::string Truth::check_shown(const MemoryPort& port, const Table& table, const Row& row,
                               const std::string& key, const View& view) const {
  const MemoryTable& local = *port.table(table.rules.schema.name);
  const SiteTable& sites = port.data().sites;
  const OnDelete on_delete = table.rules.on_delete;
  const ReferenceShown naive = reference_show(reference_of(view.state), sites, on_delete);
  ShownRow shown;
  TableInfo info = local.info;
  info.on_delete = on_delete;  // a parked table's is not known there yet
  show_row(view.state, info, sites, &shown);
  if (shown.alive != naive.alive) return "show: alive";
  if (!local.info.present) return {};  // its policy is not known here yet
  if (shown.alive != expect_alive(table, row, view, shown.alive)) return "alive";
  const auto base = local.base.find(key);
  const bool stored = base != local.base.end();
  const bool kept = view.state.kept && !shown.alive;  // for rows that refer to it
  if (stored != ((shown.alive && !view.state.held) || kept)) {
    return std::string("base: ") + (stored ? "stored" : "not stored") +
           (shown.alive ? ", alive" : ", dead") + (view.state.held ? ", held" : "") +
           (view.state.kept ? ", kept" : "") + (view.state.adjusted ? ", adjusted" : "");
  }
  if (!shown.alive && view.state.held) return "base: held and dead";
  for (ColumnNumber c = 0; c < local.info.column_count(); ++c) {
    const bool by_time = info.columns[c].policy_kind() == PolicyKind::last_writer;
    if (by_time && !shown.values[c].identical(naive.values[c].view())) return "show: values";
    if (shown.alive && stored && shown.versions[c].melted() && local.info.columns[c].present &&
        !shown.versions[c].dead && !local.info.is_key(c) && !view.state.adjusted) {
      bool ignored = false;
      const auto cell = static_cast<size_t>(column_here(table.rules, local.info.columns[c].name));
      for (const size_t w : writes_of(port, local, row, key, c, 0, 0, &ignored)) {
        if (!alike(row.writes[w].values[cell].view(), base->second.values[c].view())) {
          return "melted: " + place(base->second.values[c].view(), local.info.columns[c].name) +
                 " but its writer wrote " + describe(row.writes[w].values[cell].view());
        }
      }
    }
    if (!shown.alive || shown.versions[c].seq == 0) continue;
    const int64_t site = sites_.find(sites.id(shown.versions[c].site));
    const size_t from = row.by_dot.at({static_cast<SiteIndex>(site), shown.versions[c].seq});
    for (size_t w = 0; w < row.writes.size(); ++w) {
      const bool whole = row.writes[w].kind != ChangeKind::update;
      if (whole && view.here[w] && row.writes[w].past[from]) return "stale";
    }
    if (!stored || !local.info.columns[c].present) continue;
    if (local.info.is_key(c)) continue;  // looked at below
    if (view.state.adjusted) continue;   // looked at in check_quarantine, once all is calm
    if (!alike(shown.values[c], base->second.values[c].view())) {
      return "base: " + place(base->second.values[c].view(), local.info.columns[c].name) +
             " but the versions show " + describe(shown.values[c]);
    }
  }
  for (size_t k = 0; stored && k < local.info.key.size(); ++k) {
    if (!(base->second.values[local.info.key[k]] == base->second.key[k])) return "base: key";
  }
  return {};
}

std::vector<Truth::Writes> Truth::held_anywhere(const std::vector<const MemoryPort*>& sites,
                                                const Table& table, const Row& row,
                                                const std::string& key) const {
  std::vector<Writes> held(table.cell_count());
  for (const MemoryPort* site : sites) {
    Arena arena;
    const View seen = view(*site, table, row, key, &arena);
    for (size_t cell = 0; cell < held.size(); ++cell)
      held[cell] |= seen.covered[cell];
  }
  return held;
}

std::string Truth::check_safety(const std::vector<const MemoryPort*>& sites) const {
  for (const auto& [name, table] : tables_) {
    for (const auto& [key, row] : table.rows) {
      const std::vector<Writes> held = held_anywhere(sites, table, row, key);
      for (size_t cell = 0; cell < held.size(); ++cell) {
        if ((row.wrote[cell] & ~held[cell] & ~row.lost[cell]).any()) return "safety: table " + name;
      }
    }
  }
  return {};
}

void Truth::forget_lost(const std::vector<const MemoryPort*>& sites) {
  for (auto& [name, table] : tables_) {
    for (auto& [key, row] : table.rows) {
      const std::vector<Writes> held = held_anywhere(sites, table, row, key);
      for (size_t cell = 0; cell < held.size(); ++cell) {
        row.lost[cell] = row.wrote[cell] & ~held[cell];
      }
    }
  }
}

std::string Truth::check_converged(const std::vector<const MemoryPort*>& sites) const {
  for (const auto& [name, table] : tables_) {
    for (const auto& [key, row] : table.rows) {
      Arena arena;
      const View first = view(*sites[0], table, row, key, &arena);
      for (size_t cell = 0; cell < table.cell_count(); ++cell) {
        Writes held, followed;
        for (const size_t w : first.held[cell])
          held.set(w);
        for (size_t w = 0; w < row.writes.size(); ++w) {
          if (first.covered[cell][w]) followed |= row.past[cell][w];
        }
        if (held != (first.covered[cell] & ~followed)) return "not the greatest: table " + name;
        for (const MemoryPort* site : sites) {
          const View other = view(*site, table, row, key, &arena);
          Writes theirs;
          for (const size_t w : other.held[cell])
            theirs.set(w);
          if (theirs != held) return "convergence: table " + name + " key " + key;
          if (other.state.held != first.state.held) return "held: table " + name;
        }
      }
    }
  }
  return {};
}

}  // namespace syncline::test
