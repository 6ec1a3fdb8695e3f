// Fetching and storing rows. See pg_port.h.
//
// Fetching beside concurrent writers: see everything committed, fold it, find the rows and lock
// them; if a lock was new and anything was committed since the snapshot, once more, until the rows
// are seen as they are locked. Then nobody else can change them before we commit, and their log
// entries are folded. A key that has no row is not locked by this: if another transaction inserts
// it meanwhile, our insert finds that out, and the whole apply is run again.
#include <algorithm>
#include <memory>

#include "pg_ext/pg_port.h"

namespace syncline::pg {

namespace {

Status raced(const TableInfo& table) {
  return Status(StatusCode::busy, "a row of table " + table.name +
                                      " was changed by another transaction at the same moment",
                "try again");
}

// Errors that say "not now" rather than "not this value".
bool is_transient(const SlFailure& failure) {
  const std::string_view state = failure.sqlstate;
  return state.substr(0, 2) == "40" || state.substr(0, 2) == "55" || state == "23505";
}

int32_t action_of(BaseAction action) {
  switch (action) {
    case BaseAction::insert: return SL_WRITE_INSERT;
    case BaseAction::update: return SL_WRITE_UPDATE;
    case BaseAction::erase: return SL_WRITE_ERASE;
    case BaseAction::none: break;
  }
  return SL_WRITE_NONE;
}

}  // namespace

Status BaseTable::open(uint32_t number, bool write) {
  SlBaseOpen open = {number, write, nullptr};
  SYNCLINE_TRY(guard(sl_leaf_base_open, &open));
  base_ = open.base;
  number_ = number;
  return {};
}

Status BaseTable::close() {
  void* base = base_;
  base_ = nullptr;
  number_ = 0;
  return base == nullptr ? Status() : guard(sl_leaf_base_close, base);
}

Status BaseTable::set_keys(const std::vector<const SlValue*>& keys) {
  SlBaseKeys batch = {base_, static_cast<uint32_t>(keys.size()), keys.data(), 0};
  while (true) {
    SlFailure failure;
    bool failed = false;
    SYNCLINE_TRY(attempt(sl_leaf_base_keys, &batch, &failure, &failed));
    if (!failed) return {};
    sl_base_unfit(base_, batch.next++);
  }
}

Status PgPort::open_base(const TableInfo& table) {
  if (base_.number() == table.number) return {};
  SYNCLINE_TRY(base_.close());
  return base_.open(table.number, write_);
}

Status PgPort::see_everything(bool* changed) {
  SlFresh fresh = {completions_, false};
  SYNCLINE_TRY(guard(sl_leaf_fresh_snapshot, &fresh));
  completions_ = fresh.completions;
  *changed = fresh.taken;
  if (!fresh.taken) return {};
  uint64_t row_count = 0;
  return fold_log(false, &row_count);
}

Status PgPort::fetch(const TableInfo& table, std::span<const RowKey> keys, RowBatch* out) {
  out->clear();
  out->table = &table;
  fetched_table_ = table.number;
  fetched_.assign(keys.size(), Fetched());
  fetched_keys_.assign(keys.begin(), keys.end());
  for (size_t i = 0; i < keys.size(); ++i) {
    fetched_[i].key = keys[i].data();
    append_key(&fetched_[i].encoded, keys[i]);
  }
  bool changed = false;
  SYNCLINE_TRY(see_everything(&changed));
  if (table.present) SYNCLINE_TRY(open_base(table));
  return read_rows(table, out);
}

Status PgPort::list_contested(const TableInfo& table, std::string_view after, size_t count_max,
                              RowBatch* out) {
  out->clear();
  out->table = &table;
  SlContested contested = {};
  contested.number = table.number;
  contested.after = bytes(after);
  contested.count_max = static_cast<uint32_t>(count_max);
  SYNCLINE_TRY(guard(sl_leaf_contested, &contested));
  if (contested.count == 0) return {};
  fetched_table_ = table.number;
  fetched_.assign(contested.count, Fetched());
  fetched_keys_.clear();
  std::vector<Value> key;
  for (uint32_t i = 0; i < contested.count; ++i) {
    key.clear();
    SYNCLINE_TRY(decode_key(view(contested.keys[i]), &out->arena, &key));
    fetched_keys_.push_back(out->arena.copy(RowKey(key)));
    fetched_[i].key = fetched_keys_.back().data();
    fetched_[i].encoded = view(contested.keys[i]);
  }
  bool changed = false;
  SYNCLINE_TRY(see_everything(&changed));
  if (table.present) SYNCLINE_TRY(open_base(table));
  return read_rows(table, out);
}

// Reads the rows of `fetched_`, locking them in a port that writes. `places`: where they may be.
Status PgPort::read_rows(const TableInfo& table, RowBatch* out, const uint64_t* places) {
  const size_t count = fetched_.size();
  const ColumnNumber columns = table.column_count();
  out->rows.assign(count, LocalRow());
  for (size_t i = 0; i < count; ++i) out->rows[i].key = fetched_keys_[i];
  if (table.present) {
    std::vector<const SlValue*> keys;
    keys.reserve(count);
    for (const RowKey& key : fetched_keys_) keys.push_back(values(key.data()));
    SYNCLINE_TRY(base_.set_keys(keys));
    const std::span<Value> all = out->arena.values(count * columns);
    std::vector<SlValue*> rows(count);
    for (size_t i = 0; i < count; ++i) {
      rows[i] = reinterpret_cast<SlValue*>(all.data() + i * columns);
    }
    const std::unique_ptr<bool[]> stored = std::make_unique<bool[]>(count);
    SlBaseRead read = {base_.get(), write_, false, rows.data(), stored.get(), places};
    for (bool again = true; again;) {
      SYNCLINE_TRY(guard(sl_leaf_base_read, &read));
      again = false;
      if (read.again) SYNCLINE_TRY(see_everything(&again));
    }
    for (size_t i = 0; i < count; ++i) {
      LocalRow& row = out->rows[i];
      row.stored = stored[i];
      if (!stored[i]) continue;
      row.values = all.subspan(i * columns, columns);
      for (Value& value : all.subspan(i * columns, columns)) {
        if (value.is_bytes()) value = out->arena.copy(value);
      }
    }
  }
  return read_states(table, out);
}

Status PgPort::read_states(const TableInfo& table, RowBatch* out) {
  const size_t count = fetched_.size();
  std::vector<SlBytes> keys;
  keys.reserve(count);
  for (const Fetched& row : fetched_) keys.push_back(bytes(row.encoded));
  std::vector<SlStateRow> states(count);
  SlStateRead read = {table.number, static_cast<uint32_t>(count), keys.data(), states.data(),
                      false};
  SYNCLINE_TRY(guard(sl_leaf_state_read, &read));
  for (size_t i = 0; i < count; ++i) {
    const SlStateRow& state = states[i];
    LocalRow& row = out->rows[i];
    fetched_[i].place = state.place;
    fetched_[i].position = state.pos;
    row.has_state = state.place != 0;
    if (!row.has_state) continue;
    row.state.site = static_cast<SiteIndex>(state.site);
    row.state.seq = static_cast<uint64_t>(state.seq);
    row.state.hlc = static_cast<Hlc>(state.hlc);
    row.state.flags = static_cast<uint32_t>(state.flags);
    row.state.context = static_cast<ContextId>(state.context);
    row.state.cells = out->arena.copy(view(state.cells));
  }
  return {};
}

// For each write its row in `fetched_`. The core stores what it fetched last; where it does not, or
// stores a row again, the rows are fetched again.
Status PgPort::find_fetched(const TableInfo& table, std::span<const RowWrite> writes,
                            std::vector<size_t>* rows) {
  rows->clear();
  size_t at = 0;
  for (const RowWrite& write : writes) {
    if (fetched_table_ != table.number) break;
    while (at < fetched_.size() && (fetched_[at].key != write.key.data() || !fetched_[at].known)) {
      ++at;
    }
    if (at == fetched_.size()) break;
    rows->push_back(at++);
  }
  if (rows->size() == writes.size()) return {};
  std::vector<RowKey> keys;
  for (const RowWrite& write : writes) keys.push_back(write.key);
  RowBatch batch;
  SYNCLINE_TRY(fetch(table, keys, &batch));
  rows->resize(writes.size());
  for (size_t i = 0; i < rows->size(); ++i) (*rows)[i] = i;
  return {};
}

Status PgPort::store(const TableInfo& table, std::span<const RowWrite> writes,
                     std::vector<StoreOutcome>* outcomes) {
  outcomes->assign(writes.size(), StoreOutcome());
  if (writes.empty()) return {};
  std::vector<size_t> rows;
  SYNCLINE_TRY(find_fetched(table, writes, &rows));
  if (table.present) {
    SYNCLINE_TRY(open_base(table));
    SYNCLINE_TRY(write_base(table, writes, rows, outcomes));
  }
  return write_states(table, writes, rows, *outcomes);
}

Status PgPort::write_base(const TableInfo& table, std::span<const RowWrite> writes,
                          const std::vector<size_t>& rows,
                          std::vector<StoreOutcome>* outcomes) {
  std::vector<SlWrite> batch(writes.size());
  bool any = false;
  for (size_t i = 0; i < writes.size(); ++i) {
    const RowWrite& from = writes[i];
    SlWrite& to = batch[i];
    to = {};
    to.action = action_of(from.base);
    to.row = static_cast<uint32_t>(rows[i]);
    to.values = values(from.values.data());
    to.changed = from.changed.data();
    to.changed_count = static_cast<uint32_t>(from.changed.size());
    if (to.action == SL_WRITE_NONE) to.outcome = SL_OUTCOME_STORED;
    any = any || to.action != SL_WRITE_NONE;
  }
  if (!any) return {};
  SlWriteBatch all = {};
  all.base = base_.get();
  all.count = static_cast<uint32_t>(batch.size());
  all.writes = batch.data();
  SYNCLINE_TRY(guard(sl_leaf_write_begin, &all));
  if (all.raced) return raced(table);
  SYNCLINE_TRY(run_writes(&all, sl_leaf_write_prepare));
  SYNCLINE_TRY(run_writes(&all, sl_leaf_write_apply));
  for (size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].outcome != SL_OUTCOME_REFUSED) continue;
    StoreOutcome& outcome = (*outcomes)[i];
    outcome.stored = false;
    outcome.kind = batch[i].unique ? ConflictKind::unique : ConflictKind::constraint;
    outcome.reason = batch[i].reason;
    if (batch[i].rival.size > 0) outcome.rivals.emplace_back(view(batch[i].rival));
    outcome.claimed.assign(batch[i].claimed, batch[i].claimed + batch[i].claimed_count);
  }
  return {};
}

// Runs one step over all rows. Where it fails, what goes before the row is run again without it (it
// was rolled back), then the row alone, which is refused.
Status PgPort::run_writes(SlWriteBatch* batch, void (*step)(void*)) {
  const bool writes = step == sl_leaf_write_apply;
  batch->first = 0;
  batch->end = batch->count;
  while (batch->first < batch->count) {
    SlFailure failure;
    bool failed = false;
    SYNCLINE_TRY(attempt(step, batch, &failure, &failed));
    if (!failed) {
      batch->first = batch->end;
      batch->end = batch->count;
      continue;
    }
    if (is_transient(failure)) {
      return Status(StatusCode::busy,
                    std::string("writing met another transaction (SQLSTATE ") +
                        failure.sqlstate + ")",
                    "try again");
    }
    if (writes && batch->next > batch->first) {
      batch->end = batch->next;
      continue;
    }
    sl_write_refuse(batch, &failure);
    batch->first = batch->next + 1;
    batch->end = batch->count;
  }
  return {};
}

Status PgPort::write_states(const TableInfo& table, std::span<const RowWrite> writes,
                            const std::vector<size_t>& rows,
                            const std::vector<StoreOutcome>& outcomes) {
  int64_t& position = sl_counters()->position;
  std::vector<SlStateRow> states, forgotten;
  states.reserve(writes.size());
  for (size_t i = 0; i < writes.size(); ++i) {
    if (!outcomes[i].stored) continue;
    Fetched& row = fetched_[rows[i]];
    const PackedRow& packed = writes[i].state;
    SlStateRow state = {};
    state.key = bytes(row.encoded);
    state.place = row.place;
    row.known = false;
    if (writes[i].fresh && filled_ != table.number) {
      SlListed listed = {table.number, ++position};
      SYNCLINE_TRY(guard(sl_leaf_list_from, &listed));
      filled_ = table.number;
    }
    if (writes[i].fresh) continue;
    if (writes[i].forget) {
      const bool moves = writes[i].relay || writes[i].base != BaseAction::none;
      state.pos = moves ? ++position : 0;
      forgotten.push_back(state);
      continue;
    }
    state.seq = static_cast<int64_t>(packed.seq);
    state.hlc = static_cast<int64_t>(packed.hlc);
    state.context = static_cast<int64_t>(packed.context);
    // Stored digests must learn of every base row that changes, news for others or not.
    const bool moves = writes[i].relay || writes[i].base != BaseAction::none || row.place == 0;
    state.pos = moves ? ++position : row.position;
    state.cells = bytes(packed.cells);
    state.site = static_cast<int32_t>(packed.site);
    state.flags = static_cast<int32_t>(packed.flags);
    states.push_back(state);
  }
  if (!forgotten.empty()) {
    SlStateForget forget = {table.number, static_cast<uint32_t>(forgotten.size()),
                            forgotten.data()};
    SYNCLINE_TRY(guard(sl_leaf_state_forget, &forget));
  }
  if (states.empty()) return {};
  SlStateWrite write = {table.number, static_cast<uint32_t>(states.size()), states.data()};
  return guard(sl_leaf_state_write, &write);
}

}  // namespace syncline::pg
