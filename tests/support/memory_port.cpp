// The half of the memory port that the core calls, and transactions. See memory_port.hpp.
#include "support/memory_port.hpp"

#include <algorithm>

namespace syncline::test {

MemoryPort::MemoryPort(const SiteId& id, std::string name, uint64_t seed)
    : name_(std::move(name)), prng_(seed) {
  data_.self = data_.sites.intern(id);
  data_.incarnations.push_back({1, data_.self});
}

Status MemoryPort::transaction(const std::function<Status()>& body) {
  fold();
  MemoryData before = data_;
  renewals_.clear();
  Status status = body();
  if (status.ok()) tell_renewals();
  else data_ = std::move(before);
  scan_rows_.clear();
  return status;
}

Status MemoryPort::reading(const std::function<Status()>& body) {
  fold();
  return body();
}

Status MemoryPort::called(const char* verb) {
  if (calls_until_failure_ == 0 || --calls_until_failure_ > 0) return {};
  return Status(StatusCode::host_failed, std::string("injected failure in ") + verb);
}

const MemoryTable* MemoryPort::table(const std::string& name) const {
  for (const auto& [number, table] : data_.tables) {
    if (table.info.name == name) return &table;
  }
  return nullptr;
}

MemoryTable* MemoryPort::find(const std::string& name) {
  return const_cast<MemoryTable*>(std::as_const(*this).table(name));
}

SiteIndex MemoryPort::owner(uint64_t seq) const {
  SiteIndex site = data_.self;
  for (const auto& [from_seq, who] : data_.incarnations) {
    if (from_seq <= seq) site = who;
  }
  return site;
}

VersionVector MemoryPort::knowledge() const {
  VersionVector out = data_.knowledge;
  if (data_.log.size() >= data_.incarnations.back().first) {
    out.set(data_.self, {data_.log.size(), data_.log.back().hlc});
  }
  return out;
}

Status MemoryPort::load_site(SiteState* out) {
  SYNCLINE_TRY(called("load_site"));
  out->sites = data_.sites;
  out->self = data_.self;
  out->name = name_;
  out->knowledge = knowledge();
  out->now_ms = now_ms_;
  out->random = prng_.next();
  out->position = data_.relay.size();
  out->contexts = data_.contexts;
  out->next_context = data_.next_context;
  out->settings = data_.settings;
  out->melted = data_.melted;
  return {};
}

Status MemoryPort::recognises(const VectorEntry& own, bool* yes) {
  SYNCLINE_TRY(called("recognises"));
  *yes = own.seq <= data_.log_pruned;  // all have seen these
  if (*yes) return {};
  *yes = own.seq >= data_.incarnations.back().first && own.seq <= data_.log.size() &&
         data_.log[own.seq - 1].hlc == own.hlc;
  return {};
}

Status MemoryPort::load_tables(std::vector<TableInfo>* out) {
  SYNCLINE_TRY(called("load_tables"));
  out->clear();
  for (const auto& [number, table] : data_.tables)
    out->push_back(table.info);
  apply_policies(data_.settings, out);
  return {};
}

Status MemoryPort::park(const TableSchema& remote, std::vector<TableInfo>* tables) {
  SYNCLINE_TRY(called("park"));
  MemoryTable* table = find(remote.name);
  if (table == nullptr) {
    const uint32_t number = static_cast<uint32_t>(data_.tables.size()) + 1;
    table = &data_.tables[number];
    table->info.number = number;
    table->info.name = remote.name;
    table->info.present = false;
    for (const uint32_t position : remote.key)
      table->info.key.push_back(position);
  }
  for (const ColumnSchema& column : remote.columns) {
    if (find_column(table->info.columns, column.name) >= 0) continue;
    table->info.columns.push_back(
        {column.name, column.type, logical_kind(column.type), false, false});
    for (auto& [key, row] : table->base)
      row.values.emplace_back();
  }
  rank_tables();
  return load_tables(tables);
}

void MemoryPort::fill(const MemoryTable& table, const std::string& key, RowBatch* out,
                      LocalRow* row) const {
  const auto state = table.state.find(key);
  if (state != table.state.end()) {
    row->has_state = true;
    row->state = state->second.packed();
    row->state.cells = out->arena.copy(row->state.cells);
    row->key = out->arena.copy(views(state->second.key));
  }
  const auto base = table.base.find(key);
  if (base != table.base.end()) {
    row->stored = true;
    row->values = out->arena.copy(views(base->second.values));
    row->key = out->arena.copy(views(base->second.key));
  }
}

Status MemoryPort::fetch(const TableInfo& table, std::span<const RowKey> keys, RowBatch* out) {
  SYNCLINE_TRY(called("fetch"));
  out->clear();
  out->table = &table;
  const MemoryTable& from = data_.tables.at(table.number);
  for (const RowKey key : keys) {
    LocalRow row;
    row.key = out->arena.copy(key);
    fill(from, encode_key(key), out, &row);
    out->rows.push_back(row);
  }
  return {};
}

StoreOutcome MemoryPort::check_row(const MemoryTable& table, const std::string& key,
                                   const OwnedRow& values) const {
  StoreOutcome outcome;
  std::vector<ColumnNumber> claimed;
  for (const std::vector<std::string>& unique : table.rules.uniques) {
    for (const std::string& name : unique) {
      claimed.push_back(static_cast<ColumnNumber>(find_column(table.info.columns, name)));
    }
  }
  for (const std::vector<std::string>& unique : table.rules.uniques) {
    std::vector<ColumnNumber> columns;
    bool has_null = false;
    for (const std::string& name : unique) {
      columns.push_back(static_cast<ColumnNumber>(find_column(table.info.columns, name)));
      has_null = has_null || values[columns.back()].kind() <= ValueKind::null;
    }
    if (has_null) continue;
    for (const auto& [other_key, other] : table.base) {
      const bool same = std::all_of(columns.begin(), columns.end(),
                                    [&](ColumnNumber c) { return other.values[c] == values[c]; });
      if (!same || other_key == key) continue;
      outcome.stored = false;
      outcome.kind = ConflictKind::unique;
      outcome.reason = "unique constraint on " + table.info.name + "." + unique[0];
      outcome.rivals.push_back(other_key);
      outcome.claimed = claimed;
    }
    if (!outcome.stored) return outcome;
  }
  int64_t sum = 0;
  for (const std::string& name : table.rules.sum_columns) {
    const Value v = values[static_cast<size_t>(find_column(table.info.columns, name))].view();
    if (v.is(ValueKind::integer)) sum += v.as_integer();
  }
  if (!table.rules.sum_columns.empty() && sum > table.rules.sum_max) {
    outcome.stored = false;
    outcome.kind = ConflictKind::constraint;
    outcome.reason = "check constraint of " + table.info.name;
  }
  return outcome;
}

Status MemoryPort::store(const TableInfo& info, std::span<const RowWrite> writes,
                         std::vector<StoreOutcome>* outcomes) {
  SYNCLINE_TRY(called("store"));
  outcomes->clear();
  MemoryTable& table = data_.tables.at(info.number);
  for (const RowWrite& write : writes) {
    const std::string key = encode_key(write.key);
    const auto base = table.base.find(key);
    OwnedRow values;
    if (write.base == BaseAction::insert) {
      if (base != table.base.end()) return Status(StatusCode::internal, "insert over a row");
      for (ColumnNumber c = 0; c < table.info.column_count(); ++c) {
        const bool present = table.info.columns[c].present;
        const bool absent = !present || write.values[c].is(ValueKind::absent);
        values.push_back(!absent ? write.values[c] : present ? Value::null() : Value());
      }
    } else if (write.base == BaseAction::update) {
      if (base == table.base.end()) return Status(StatusCode::internal, "update of no row");
      values = base->second.values;
      for (const ColumnNumber c : write.changed) {
        if (!table.info.columns[c].present) continue;
        values[c] = write.values[c].is(ValueKind::absent) ? Value::null() : write.values[c];
      }
    }
    StoreOutcome outcome;
    if (!values.empty()) outcome = check_row(table, key, values);
    outcomes->push_back(outcome);
    if (!outcome.stored) continue;
    if (write.base == BaseAction::erase) {
      if (base == table.base.end()) return Status(StatusCode::internal, "erase of no row");
      table.base.erase(base);
    } else if (!values.empty()) {
      table.base[key] = {owned(write.key), std::move(values)};
    }
    if ((write.state.flags & kPackedKept) != 0 && table.base.count(key) == 0) {
      return Status(StatusCode::internal, "a kept row that is not there");
    }
    if (write.forget) {
      table.state.erase(key);
      if (write.relay) data_.relay.push_back({info.number, key});
      continue;
    }
    if (on_fold) note_renewal(table, write);
    const PackedRow& s = write.state;
    table.state[key] = {owned(write.key),    s.site, s.seq, s.hlc, s.flags, s.context,
                        std::string(s.cells)};
    if (write.relay) data_.relay.push_back({info.number, key});
  }
  return {};
}

bool MemoryPort::parents_exist(const MemoryTable& table, const OwnedRow& values,
                               std::string* reason) const {
  for (const ForeignKeyRule& rule : table.rules.foreign_keys) {
    std::vector<Value> key;
    bool has_null = false;
    for (const std::string& name : rule.columns) {
      key.push_back(values[static_cast<size_t>(find_column(table.info.columns, name))].view());
      has_null = has_null || key.back().is(ValueKind::null) || key.back().is(ValueKind::absent);
    }
    const MemoryTable* parent = this->table(rule.parent);
    if (has_null || (parent != nullptr && parent->base.count(encode_key(key)) > 0)) continue;
    *reason = "foreign key to " + rule.parent;
    return false;
  }
  return true;
}

std::vector<std::string> MemoryPort::children_of(const MemoryTable& child,
                                                 const ForeignKeyRule& rule,
                                                 const std::string& parent_key) const {
  std::vector<std::string> found;
  for (const auto& [key, row] : child.base) {
    std::vector<Value> refers;
    for (const std::string& name : rule.columns) {
      refers.push_back(
          row.values[static_cast<size_t>(find_column(child.info.columns, name))].view());
    }
    if (encode_key(refers) == parent_key) found.push_back(key);
  }
  return found;
}

std::string MemoryPort::dangling() const {
  for (const auto& [number, table] : data_.tables) {
    for (const auto& [key, row] : table.base) {
      std::string reason;
      if (parents_exist(table, row.values, &reason)) continue;
      return "table " + table.info.name + " row " + describe(views(row.key)) + ": " + reason;
    }
  }
  return {};
}

Status MemoryPort::find_dangling(std::span<const RowRef> written, std::span<const RowRef> removed,
                                 std::vector<RowRef>* out) {
  SYNCLINE_TRY(called("find_dangling"));
  std::set<RowRef> found;
  for (const RowRef& ref : written) {
    const MemoryTable& table = data_.tables.at(ref.table);
    const auto base = table.base.find(ref.key);
    std::string reason;
    if (base == table.base.end() || parents_exist(table, base->second.values, &reason)) continue;
    found.insert({ref.table, ref.key, reason});
  }
  for (const RowRef& ref : removed) {
    const MemoryTable& parent = data_.tables.at(ref.table);
    if (parent.base.count(ref.key) > 0) continue;
    for (const auto& [number, child] : data_.tables) {
      for (const ForeignKeyRule& rule : child.rules.foreign_keys) {
        if (rule.parent != parent.info.name) continue;
        for (const std::string& key : children_of(child, rule, ref.key)) {
          found.insert({number, key, "foreign key to " + rule.parent});
        }
      }
    }
  }
  out->assign(found.begin(), found.end());
  return {};
}

Status MemoryPort::list_held(std::vector<RowRef>* out) {
  SYNCLINE_TRY(called("list_held"));
  std::map<std::pair<uint32_t, std::string>, const OpenConflict*> records;
  for (const auto& [id, open] : data_.conflicts) {
    const ConflictKind kind = open.conflict.kind;
    if (kind == ConflictKind::unique || kind == ConflictKind::foreign_key ||
        kind == ConflictKind::constraint) {
      records[{open.table, open.key}] = &open;
    }
  }
  std::vector<std::pair<uint64_t, RowRef>> rows;
  for (const auto& [number, table] : data_.tables) {
    if (!table.info.present) continue;
    for (const auto& [key, state] : table.state) {
      if ((state.flags & (kPackedHeld | kPackedKept | kPackedAdjusted)) == 0) continue;
      const auto record = records.find({number, key});
      const bool known = record != records.end();
      rows.push_back({known ? record->second->age : 0,
                      {number, key, known ? record->second->reason : std::string()}});
    }
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  out->clear();
  for (auto& [age, row] : rows)
    out->push_back(std::move(row));
  return {};
}

Status MemoryPort::record_conflicts(std::span<const ConflictRecord> records) {
  SYNCLINE_TRY(called("record_conflicts"));
  for (const ConflictRecord& record : records) {
    if (!record.opened) {
      data_.conflicts_closed += data_.conflicts.erase(record.conflict.id);
      continue;
    }
    const uint64_t age = ++data_.conflict_clock;
    const auto [at, added] = data_.conflicts.try_emplace(
        record.conflict.id,
        OpenConflict{record.table->number, record.key, record.conflict, record.reason, age});
    if (!added) {  // an open conflict keeps its age
      at->second.conflict = record.conflict;
      at->second.reason = record.reason;
    }
  }
  return {};
}

Status MemoryPort::list_contested(const TableInfo& table, std::string_view after,
                                  size_t count_max, RowBatch* out) {
  SYNCLINE_TRY(called("list_contested"));
  out->clear();
  out->table = &table;
  const MemoryTable& from = data_.tables.at(table.number);
  for (auto it = from.state.upper_bound(std::string(after));
       it != from.state.end() && out->rows.size() < count_max; ++it) {
    if (it->second.cells.empty()) continue;
    LocalRow row;
    fill(from, it->first, out, &row);
    out->rows.push_back(row);
  }
  return {};
}

Status MemoryPort::load_incoming(const SiteId& sender, Incoming* out) {
  SYNCLINE_TRY(called("load_incoming"));
  const auto found = data_.incoming.find(sender);
  *out = found == data_.incoming.end() ? Incoming() : found->second;
  return {};
}

Status MemoryPort::list_incoming(std::vector<std::pair<SiteId, std::string>>* out) {
  SYNCLINE_TRY(called("list_incoming"));
  for (const auto& [sender, incoming] : data_.incoming)
    out->push_back({sender, incoming.token});
  return {};
}

Status MemoryPort::save_exchange(const SiteState& site, const ExchangeUpdate& update) {
  SYNCLINE_TRY(called("save_exchange"));
  data_.sites = site.sites;
  if (update.incoming.open) {
    data_.incoming[update.sender] = update.incoming;
  } else {
    data_.incoming.erase(update.sender);
  }
  if (update.knowledge_grew) {
    for (SiteIndex s = 0; s < update.knowledge.size(); ++s) {
      if (s == data_.self || update.knowledge.seq(s) <= data_.knowledge.seq(s)) continue;
      data_.growth.push_back({s, update.knowledge.seq(s), update.begin});
      data_.knowledge.set(s, update.knowledge.entry(s));
    }
  }
  for (const auto& [id, vector] : update.contexts_new) {
    data_.contexts[id] = vector;
    data_.next_context = std::max(data_.next_context, id + 1);
  }
  for (const ContextId id : update.contexts_gone)
    data_.contexts.erase(id);
  for (const Acknowledgement& ack : update.acknowledgements) data_.heard[ack.site] = ack;
  if (update.melted_changed) data_.melted = update.melted;
  for (const Setting& setting : update.settings_new) data_.settings.merge(setting);
  if (!update.settings_new.empty()) renew_policies();
  if (update.hlc_max > 0) data_.floor = std::max(data_.floor, update.hlc_max + 1);
  return {};
}

// The position after which relayed rows may have news: the least at which any exchange began that
// made knowledge grow beyond `since`. Exchanges overlap, so that is not always the first of them.
uint64_t MemoryPort::scan_begin(const VersionVector& since) const {
  uint64_t begin = data_.relay.size();
  for (const MemoryData::Growth& step : data_.growth) {
    if (step.seq > since.seq(step.site)) begin = std::min(begin, step.begin);
  }
  return begin;
}

Status MemoryPort::open_scan(const VersionVector& since, const ScanStart& start) {
  SYNCLINE_TRY(called("open_scan"));
  std::set<std::pair<uint32_t, std::string>> rows;
  for (size_t i = data_.log_pruned; i < data_.log.size(); ++i) {
    const LogEntry& entry = data_.log[i];
    if (entry.key.empty() || i + 1 <= since.seq(owner(i + 1))) continue;
    rows.insert({entry.table, entry.key});
  }
  for (uint64_t i = std::max(scan_begin(since), data_.relay_pruned); i < data_.relay.size(); ++i)
    rows.insert(data_.relay[i]);
  for (const auto& [number, table] : data_.tables) {
    for (const auto& [key, state] : table.state) {
      if (data_.contexts.count(state.context) > 0) rows.insert({number, key});
    }
    const bool whole = table.info.present && !since.knows(table.info.baseline);
    if (!whole && !start.everything) continue;
    for (const std::string& key : keys(table)) {
      rows.insert({number, key});
    }
  }
  scan_rows_.clear();
  for (const auto& [number, key] : rows) {
    const TableInfo& info = data_.tables.at(number).info;
    if (!start.table.empty()) {
      if (info.rank < start.rank) continue;
      if (info.rank == start.rank && key <= start.key) continue;
    }
    scan_rows_.push_back({number, key});
  }
  const auto rank = [this](uint32_t number) { return data_.tables.at(number).info.rank; };
  std::sort(scan_rows_.begin(), scan_rows_.end(), [&](const auto& a, const auto& b) {
    return a.first != b.first ? rank(a.first) < rank(b.first) : a.second < b.second;
  });
  scan_next_ = 0;
  return {};
}

Status MemoryPort::scan(size_t count_max, RowBatch* out) {
  SYNCLINE_TRY(called("scan"));
  out->clear();
  if (scan_next_ >= scan_rows_.size()) return {};
  const uint32_t number = scan_rows_[scan_next_].first;
  const MemoryTable& table = data_.tables.at(number);
  out->table = &table.info;
  while (out->rows.size() < count_max && scan_next_ < scan_rows_.size() &&
         scan_rows_[scan_next_].first == number) {
    LocalRow row;
    fill(table, scan_rows_[scan_next_++].second, out, &row);
    out->rows.push_back(row);
  }
  return {};
}

Status MemoryPort::check_interrupt() {
  return called("check_interrupt");
}

}  // namespace syncline::test
