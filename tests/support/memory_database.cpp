// The half of the memory port that an application uses: schema, writes, and the fold of what was
// written. See memory_port.hpp.
#include <algorithm>
#include <utility>

#include "support/memory_port.hpp"
#include "syncline/apply.h"

namespace syncline::test {

void MemoryPort::rank_tables() {
  std::set<std::string> placed;
  uint32_t rank = 0;
  for (auto& [number, table] : data_.tables) {
    table.info.refers = !table.rules.foreign_keys.empty();
    table.info.referred = false;
  }
  for (auto& [number, table] : data_.tables) {
    for (const ForeignKeyRule& rule : table.rules.foreign_keys) {
      if (MemoryTable* parent = find(rule.parent)) parent->info.referred = true;
    }
    table.info.foreign_keys.clear();
    for (const ForeignKeyRule& rule : table.rules.foreign_keys) {
      const MemoryTable* parent = find(rule.parent);
      if (parent == nullptr || !table.info.present) continue;
      ForeignKeyInfo key;
      for (const std::string& name : rule.columns) {
        key.columns.push_back(
            static_cast<ColumnNumber>(find_column(table.info.columns, name)));
      }
      key.parent = parent->info.number;
      key.on_delete = rule.on_delete;
      table.info.foreign_keys.push_back(std::move(key));
    }
  }
  while (placed.size() < data_.tables.size()) {
    MemoryTable* next = nullptr;
    for (auto& [number, table] : data_.tables) {
      if (placed.count(table.info.name) > 0) continue;
      const auto& rules = table.rules.foreign_keys;
      const bool ready = std::all_of(rules.begin(), rules.end(), [&](const ForeignKeyRule& rule) {
        return placed.count(rule.parent) > 0 || find(rule.parent) == nullptr ||
               rule.parent == table.info.name;
      });
      if (ready && (next == nullptr || table.info.name < next->info.name)) next = &table;
    }
    if (next == nullptr) return;  // a cycle: not used in these tests
    next->info.rank = rank++;
    placed.insert(next->info.name);
  }
}

void MemoryPort::enable(const TableRules& rules, const std::vector<OwnedRow>& rows) {
  fold();
  MemoryTable* table = find(rules.schema.name);
  if (table == nullptr) {
    const uint32_t number = static_cast<uint32_t>(data_.tables.size()) + 1;
    table = &data_.tables[number];
    table->info.number = number;
    table->info.name = rules.schema.name;
    for (const uint32_t position : rules.schema.key)
      table->info.key.push_back(position);
  }
  table->rules = rules;
  table->info.present = true;
  table->info.on_delete = table->info.default_on_delete = rules.on_delete;
  for (const ColumnSchema& column : rules.schema.columns) {
    const int64_t at = find_column(table->info.columns, column.name);
    if (at >= 0) {
      table->info.columns[static_cast<size_t>(at)].present = true;
    } else {
      table->info.columns.push_back(
          {column.name, column.type, logical_kind(column.type), true, false});
    }
  }
  for (const OwnedRow& row : rows) {
    BaseRow base;
    base.values = row;
    for (const ColumnNumber c : table->info.key)
      base.key.push_back(row[c]);
    table->base[encode_key(views(base.key))] = base;
  }
  data_.floor = std::max(data_.floor, hlc_from_ms(now_ms_));
  LogEntry entry;
  entry.table = table->info.number;
  entry.hlc = data_.floor;
  data_.log.push_back(entry);
  table->info.baseline = {data_.log.size(), 0, data_.self, false};
  data_.folded = data_.log.size();
  rank_tables();
  renew_policies();
}

void MemoryPort::add_column(const std::string& name, const ColumnSchema& column) {
  fold();
  MemoryTable& table = *find(name);
  const int64_t at = find_column(table.info.columns, column.name);
  if (at < 0) {
    table.info.columns.push_back(
        {column.name, column.type, logical_kind(column.type), true, false});
    for (auto& [key, row] : table.base)
      row.values.push_back(Value::null());
    return;
  }
  const auto c = static_cast<ColumnNumber>(at);
  for (auto& [key, base] : table.base) {
    Arena arena;
    const RowState state = row(table, key, &arena);
    ShownRow shown;
    show_row(state, table.info, data_.sites, &shown);
    const bool absent = shown.values.empty() || shown.values[c].is(ValueKind::absent);
    base.values[c] = absent ? Value::null() : shown.values[c];
  }
  table.info.columns[c].present = true;
  for (const auto& [key, state] : table.state) {  // what they say of the column is known now
    Arena arena;
    refresh_conflicts(table, state.key, row(table, key, &arena));
  }
}

void MemoryPort::append_log(MemoryTable* table, const BaseRow& row, ChangeKind kind, int64_t mask) {
  data_.floor = std::max(data_.floor, hlc_from_ms(now_ms_));
  LogEntry entry;
  entry.table = table->info.number;
  entry.key_values = row.key;
  entry.key = encode_key(views(row.key));
  entry.hlc = data_.floor;
  entry.mask = kind == ChangeKind::update ? mask : kMaskAll;
  entry.columns_known = table->info.column_count();
  entry.kind = kind;
  entry.values = row.values;
  if (kind == ChangeKind::erase) table->images[entry.key] = row.values;
  data_.log.push_back(std::move(entry));
}

bool MemoryPort::insert(const std::string& name, RowKey values) {
  MemoryTable& table = *find(name);
  BaseRow row;
  size_t next = 0;
  for (const ColumnInfo& column : table.info.columns) {
    row.values.emplace_back(column.present ? values[next++] : Value());
  }
  for (const ColumnNumber c : table.info.key)
    row.key.push_back(row.values[c]);
  const std::string key = encode_key(views(row.key));
  std::string reason;
  if (table.base.count(key) > 0 || !check_row(table, key, row.values).stored ||
      !parents_exist(table, row.values, &reason)) {
    return false;
  }
  append_log(&table, row, ChangeKind::insert, kMaskAll);
  table.base[key] = std::move(row);
  return true;
}

bool MemoryPort::update(const std::string& name, RowKey key_values,
                        const std::vector<std::pair<std::string, Value>>& values) {
  MemoryTable& table = *find(name);
  const std::string key = encode_key(key_values);
  const auto base = table.base.find(key);
  if (base == table.base.end()) return false;
  BaseRow row = base->second;
  int64_t mask = 0;
  for (const auto& [column_name, value] : values) {
    const auto c = static_cast<ColumnNumber>(find_column(table.info.columns, column_name));
    if (row.values[c] == OwnedValue(value)) continue;
    mask |= c < kMaskColumns ? int64_t{1} << c : kMaskMany;
    row.values[c] = value;
  }
  std::string reason;
  if (!check_row(table, key, row.values).stored || !parents_exist(table, row.values, &reason)) {
    return false;
  }
  append_log(&table, row, ChangeKind::update, mask);
  table.seen.try_emplace(key, base->second.values);
  base->second = std::move(row);
  return true;
}

void MemoryPort::renew_policies() {
  for (auto& [number, table] : data_.tables) {
    std::vector<TableInfo> one{table.info};
    apply_policies(data_.settings, &one);
    table.info = one[0];
  }
}

Status MemoryPort::set_policy(const std::string& name, const std::string& column,
                              const std::string& policy, const std::string& options) {
  return transaction([&]() -> Status {
    Setting setting;
    SYNCLINE_TRY(make_policy_setting(find(name)->info, column, policy, options, data_.settings,
                                     &setting));
    setting.hlc = data_.settings.next_hlc(setting.key, std::max(data_.floor, hlc_from_ms(now_ms_)));
    setting.site = id();
    ApplyReport report;
    return change_settings(this, std::span<const Setting>(&setting, 1), &report);
  });
}

// The rows that a delete of this one deletes, itself last; false if one of them must stay.
bool MemoryPort::cascade(const MemoryTable& table, const std::string& key,
                         std::vector<std::pair<uint32_t, std::string>>* rows) const {
  for (const auto& [number, child] : data_.tables) {
    for (const ForeignKeyRule& rule : child.rules.foreign_keys) {
      if (rule.parent != table.info.name) continue;
      for (const std::string& child_key : children_of(child, rule, key)) {
        if (rule.on_delete == ForeignAction::set_null) continue;
        if (rule.on_delete != ForeignAction::cascade) return false;
        if (!cascade(child, child_key, rows)) return false;
      }
    }
  }
  rows->push_back({table.info.number, key});
  return true;
}

// ON DELETE SET NULL of the rows that refer to this one.
void MemoryPort::set_null(const MemoryTable& parent, const std::string& key) {
  for (auto& [number, child] : data_.tables) {
    for (const ForeignKeyRule& rule : child.rules.foreign_keys) {
      if (rule.parent != parent.info.name || rule.on_delete != ForeignAction::set_null) continue;
      for (const std::string& child_key : children_of(child, rule, key)) {
        BaseRow& row = child.base.at(child_key);
        child.seen.try_emplace(child_key, row.values);
        int64_t mask = 0;
        for (const std::string& name : rule.columns) {
          const auto c = static_cast<ColumnNumber>(find_column(child.info.columns, name));
          mask |= int64_t{1} << c;
          row.values[c] = Value::null();
        }
        append_log(&child, row, ChangeKind::update, mask);
      }
    }
  }
}

bool MemoryPort::erase(const std::string& name, RowKey key_values) {
  MemoryTable& table = *find(name);
  const std::string key = encode_key(key_values);
  std::vector<std::pair<uint32_t, std::string>> rows;
  if (table.base.count(key) == 0 || !cascade(table, key, &rows)) return false;
  for (const auto& [number, erased] : rows) {
    MemoryTable& from = data_.tables.at(number);
    set_null(from, erased);
    append_log(&from, from.base.at(erased), ChangeKind::erase, kMaskAll);
    from.base.erase(erased);
  }
  return true;
}

void MemoryPort::take_identity(const SiteId& id) {
  fold();
  const VectorEntry own = knowledge().entry(data_.self);
  data_.knowledge.set(data_.self, own);
  data_.self = data_.sites.intern(id);
  data_.incarnations.push_back({data_.log.size() + 1, data_.self});
  prng_ = Prng(prng_.next() ^ id.bytes[0]);
}

void MemoryPort::fold() {
  const bool any = data_.folded < data_.log.size();
  std::map<std::pair<uint32_t, std::string>, std::vector<std::pair<uint64_t, const LogEntry*>>>
      rows;
  for (; data_.folded < data_.log.size(); ++data_.folded) {
    const LogEntry& entry = data_.log[data_.folded];
    rows[{entry.table, entry.key}].push_back({data_.folded + 1, &entry});
  }
  for (auto& [row, events] : rows)
    fold_one(row.first, row.second, std::move(events));
  for (auto& [number, table] : data_.tables)
    table.images.clear(), table.seen.clear();
  if (any) settle_held();
}

// A local write may have freed a key that a held row waits for, or ended what kept a deleted one.
void MemoryPort::settle_held() {
  const uint64_t calls_until_failure = std::exchange(calls_until_failure_, 0);
  std::vector<RowRef> held;
  ApplyReport report;
  Status status = list_held(&held);
  if (status.ok() && !held.empty()) status = retry_held(this, {}, &report);
  if (!status.ok()) throw std::runtime_error(status.message());
  calls_until_failure_ = calls_until_failure;
}

void MemoryPort::fold_one(uint32_t table_number, const std::string& key,
                          std::vector<std::pair<uint64_t, const LogEntry*>> events) {
  MemoryTable& table = data_.tables.at(table_number);
  const OwnedRow& key_values = events.front().second->key_values;
  RowState state;
  state.column_count = table.info.column_count();
  std::string cells;  // `state` points into it
  const auto stored = table.state.find(key);
  if (stored != table.state.end()) {
    cells = stored->second.cells;
    PackedRow packed = stored->second.packed();
    packed.cells = cells;
    const Status status = unpack_row(packed, state.column_count, &state);
    if (!status.ok()) throw std::runtime_error(status.message());
  } else if (events.front().second->mask != kMaskAll) {
    make_baseline(table.info, &state);
  }
  // A baseline row whose first event replaces it whole was known all the same.
  RowState before = state;
  if (before.empty() && events.front().second->kind != ChangeKind::insert) {
    make_baseline(table.info, &before);
    state.context = before.context;
  }
  const SiteIndex self = owner(events.back().first);
  if (on_fold) on_fold({this, &data_.sites, self, &table.info, &key_values, &before, events});

  std::vector<LogEvent> log;
  for (const auto& [seq, entry] : events) {
    log.push_back({seq, entry->hlc, entry->mask, entry->columns_known, {}, false});
  }
  const auto base = table.base.find(key);
  const auto image = table.images.find(key);
  std::vector<Value> values;
  if (base != table.base.end()) {
    values = views(base->second.values);
  } else if (image != table.images.end()) {
    values = views(image->second);
  }
  const bool exists = base != table.base.end();
  Arena arena;
  const auto seen = table.seen.find(key);
  std::vector<Value> seen_values;
  if (seen != table.seen.end()) seen_values = views(seen->second);
  fold_row({self, log, exists, values, seen_values}, table.info, data_.sites, &arena, &state);
  std::string buffer;
  const PackedRow packed = pack_row(state, table.info, nullptr, exists, &buffer);
  table.state[key] = {key_values,
                      packed.site,
                      packed.seq,
                      packed.hlc,
                      packed.flags,
                      packed.context,
                      std::string(packed.cells)};
  resolve_values(table.info, exists ? std::span<const Value>(values) : std::span<const Value>(),
                 &state);
  for (const Version& v : state.rest)
    data_.floor = std::max(data_.floor, v.hlc);
  for (const CellVersion& c : state.cells)
    data_.floor = std::max(data_.floor, c.version.hlc);
  refresh_conflicts(table, key_values, state);
}

// What a local write closed, or opened by standing beside a held row.
void MemoryPort::refresh_conflicts(const MemoryTable& table, const OwnedRow& key_values,
                                   const RowState& row) {
  const std::vector<Value> key = views(key_values);
  const std::string encoded = encode_key(key);
  std::vector<Conflict> now;
  find_conflicts(table.info, key, row, data_.sites, &now);
  std::set<std::string> ids;
  for (const Conflict& conflict : now)
    ids.insert(conflict.id);
  if (row.held || row.kept || row.adjusted) ids.insert(held_conflict_id(table.info, key));
  for (auto it = data_.conflicts.begin(); it != data_.conflicts.end();) {
    const bool here = it->second.table == table.info.number && it->second.key == encoded;
    const bool gone = here && ids.count(it->first) == 0;
    data_.conflicts_closed += gone ? 1 : 0;
    it = gone ? data_.conflicts.erase(it) : std::next(it);
  }
  for (const Conflict& conflict : now) {
    data_.conflicts.try_emplace(
        conflict.id,
        OpenConflict{table.info.number, encoded, conflict, {}, ++data_.conflict_clock});
  }
}

RowState MemoryPort::row(const MemoryTable& table, const std::string& key, Arena* arena) const {
  RowBatch batch;
  LocalRow local;
  fill(table, key, &batch, &local);
  RowState state;
  const Status status = load_row(local, table.info, &state);
  if (!status.ok()) throw std::runtime_error(status.message());
  for (CellVersion& c : state.cells)
    c.value = arena->copy(c.value);
  for (VersionNote& n : state.notes)
    n.bytes = arena->copy(n.bytes);
  for (Value& v : state.rest_values)
    v = arena->copy(v);
  return state;
}

std::set<std::string> MemoryPort::keys(const MemoryTable& table) const {
  std::set<std::string> out;
  for (const auto& [key, row] : table.base)
    out.insert(key);
  for (const auto& [key, state] : table.state)
    out.insert(key);
  return out;
}

}  // namespace syncline::test
