// Applying a chunk: joining rows batch by batch and writing what changed.
#include <algorithm>

#include "apply_run.h"

namespace syncline {

Status ApplyRun::apply_rows(ChunkReader* reader, TableInfo* table) {
  std::vector<ChunkRow> rows;
  for (bool first = true;; first = false) {
    SYNCLINE_TRY(reader->next_rows(limits::rows_per_batch, &rows));
    if (rows.empty()) return {};
    SYNCLINE_TRY(convert(*table, &rows));
    if (first) SYNCLINE_TRY(adopt_baseline(table, rows));
    can_fill_ = can_fill(*table);
    if (header_->full && !range_empty_) {
      for (const ChunkRow& row : rows)
        keys_sent_.insert(encode_key(row.key));
    }
    SYNCLINE_TRY(apply_batch(*table, rows));
    SYNCLINE_TRY(port_.check_interrupt());
  }
}

// Where the sender's column has another type than ours, its values are brought to our spelling: the
// text '4326' of one engine's key is the integer 4326 of another's, and one row.
Status ApplyRun::convert(const TableInfo& table, std::vector<ChunkRow>* rows) {
  if (converted_columns_.empty()) return {};
  converted_.clear();
  const auto convert_one = [&](ColumnNumber position, Value* value) {
    if (converted_columns_[position]) {
      *value = canonical_value(table.columns[columns_[position]].kind, *value, &converted_);
    }
  };
  for (ChunkRow& row : *rows) {
    const std::span<Value> key = converted_.copy(row.key);
    for (size_t i = 0; i < key.size(); ++i)
      convert_one(key_positions_[i], &key[i]);
    row.key = key;
    RowState& state = row.change.state;
    for (size_t i = 0; i < state.rest_values.size(); ++i) {
      convert_one(static_cast<ColumnNumber>(i % state.column_count), &state.rest_values[i]);
    }
    for (CellVersion& c : state.cells)
      convert_one(c.column, &c.value);
  }
  const auto before = [](const ChunkRow& a, const ChunkRow& b) {
    return compare_keys(a.key, b.key) < 0;
  };
  if (!std::is_sorted(rows->begin(), rows->end(), before)) {
    std::sort(rows->begin(), rows->end(), before);
  }
  const auto twice =
      std::adjacent_find(rows->begin(), rows->end(),
                         [](const auto& a, const auto& b) { return identical_keys(a.key, b.key); });
  if (twice == rows->end()) return {};
  return Status(StatusCode::schema_mismatch,
                "two rows of the sender's table " + table.name + " have one key here",
                "give the key columns the same types in both databases");
}

Status ApplyRun::apply_batch(const TableInfo& table, std::span<const ChunkRow> rows) {
  if (rows.empty()) return {};
  std::vector<RowKey> keys;
  keys.reserve(rows.size());
  for (const ChunkRow& row : rows)
    keys.push_back(row.key);
  RowBatch batch;
  SYNCLINE_TRY(port_.fetch(table, keys, &batch));
  if (batch.rows.size() != rows.size()) {
    return Status(StatusCode::internal, "fetch of table " + table.name + " lost rows");
  }
  if (works_.size() < rows.size()) works_.resize(rows.size());  // kept: its vectors are used again
  std::vector<Work*> touched_works;
  touched_works.reserve(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    works_[i].local = &batch.rows[i];
    bool touched = false;
    SYNCLINE_TRY(join_one(table, rows[i], &works_[i], &touched));
    if (touched) {
      touched_works.push_back(&works_[i]);
    } else {
      ++report_.unchanged;
    }
  }
  return store(table, &touched_works);
}

// Fills `work`. Not touched: nothing about the row changes, not even what is known of it.
Status ApplyRun::join_one(const TableInfo& table, const ChunkRow& row, Work* work, bool* touched) {
  const RowChange* theirs = &row.change;
  if (!columns_same_) {
    remap(table, row.change);
    theirs = &remapped_;
  }
  if (lacks_values(table, theirs->state)) {
    if (columns_same_) remapped_ = row.change;
    fill_missing(table, &remapped_.state);
    theirs = &remapped_;
  }
  const Known there{&header_->knowledge, row.context, &header_->melted};
  SYNCLINE_TRY(check_versions(theirs->state, there));
  SYNCLINE_TRY(load_row(*work->local, table, &work->before));
  work->news = false;
  work->fresh = fills(table, row, *theirs, *work);
  if (work->fresh) {
    work->after = theirs->state;
    work->after.context = table.baseline_context;
    *touched = true;
    return {};
  }
  if (repeats(table, row, *theirs, *work)) {
    *touched = false;
    return {};
  }
  bool same = false;
  if (header_->full) SYNCLINE_TRY(name_melted(table, theirs, work, &same));
  const Known here{&site_.knowledge, context(work->before.context), same ? nullptr : &site_.melted};

  const bool news = has_news(theirs->state, site_.knowledge);
  // Of a row that left no trace, what is known and came late is no reason to make it anew.
  if (work->before.empty() && !news && !header_->full && site_.melted.covered_by(site_.knowledge)) {
    *touched = false;
    return {};
  }
  join_rows(work->before, here, *theirs, there, site_.sites, &work->after);
  if (work->before.empty()) SYNCLINE_TRY(take_returned(table, *theirs, work));
  else SYNCLINE_TRY(name_met_delete(table, theirs->state, work));
  if (header_->full) {
    SYNCLINE_TRY(name_delete(table, theirs->state, work));
    SYNCLINE_TRY(face_melted(table, theirs->state, work));
  }
  work->news = work->news || news;
  work->after.context = context_for(work->before.context, row.context);
  *touched = work->news || work->after.context != work->before.context ||
             !same_versions(work->before, work->after) ||
             (header_->full && melted_otherwise(table, *work));
  // A context that knowledge has covered meanwhile is no reason to write.
  if (!work->news && work->after.context == 0 && context(work->before.context) == nullptr &&
      same_versions(work->before, work->after)) {
    *touched = header_->full && melted_otherwise(table, *work);
  }
  return {};
}

// The chunk's columns are positions in its schema; ours are numbers.
void ApplyRun::remap(const TableInfo& table, const RowChange& change) {
  const RowState& from = change.state;
  RowState& to = remapped_.state;
  to.clear();
  to.column_count = table.column_count();
  remapped_.whole = change.whole;
  to.rest = from.rest;
  to.rest_values.assign(from.rest.size() * to.column_count, Value());
  for (size_t i = 0; i < from.rest.size(); ++i) {
    for (ColumnNumber c = 0; c < from.column_count; ++c) {
      to.rest_values[i * to.column_count + columns_[c]] =
          from.rest_values[i * from.column_count + c];
    }
  }
  to.cells = from.cells;
  for (CellVersion& c : to.cells)
    c.column = columns_[c.column];
  to.notes = from.notes;
  for (VersionNote& n : to.notes) {
    if (n.column != kRowNote) n.column = columns_[n.column];
  }
  std::stable_sort(to.cells.begin(), to.cells.end(),
                   [](const CellVersion& a, const CellVersion& b) { return a.column < b.column; });
}

// A version beyond what the sender says it knows, or from the future, is a lie or a fault.
Status ApplyRun::check_versions(const RowState& row, const Known& there) {
  const auto check = [&](const Version& v) -> Status {
    if (!there.has(v)) {
      return Status(StatusCode::corrupt_input, "the chunk holds change " + std::to_string(v.seq) +
                                                   " of site " + to_hex(site_.sites.id(v.site)) +
                                                   ", unknown to its sender");
    }
    update_.hlc_max = std::max(update_.hlc_max, v.hlc);
    return check_clock(v.hlc);
  };
  for (const Version& v : row.rest)
    SYNCLINE_TRY(check(v));
  for (const CellVersion& c : row.cells)
    SYNCLINE_TRY(check(c.version));
  return {};
}

const VersionVector* ApplyRun::context(ContextId id) const {
  if (id == 0) return nullptr;
  const auto stored = site_.contexts.find(id);
  if (stored != site_.contexts.end()) return &stored->second;
  for (const auto& [made, vector] : update_.contexts_new) {
    if (made == id) return &vector;
  }
  return nullptr;  // knowledge has covered it
}

// The same context, or 0 if knowledge covers it once this chunk is in.
ContextId ApplyRun::open_context(ContextId id) const {
  const VersionVector* vector = context(id);
  return vector == nullptr || vector->covered_by(knowledge_after_) ? 0 : id;
}

// What is known of a row beyond our knowledge once this chunk is in: its own context, the sender's
// knowledge, and the context it came with. Rows with the same of both share one.
ContextId ApplyRun::context_for(ContextId ours, const VersionVector* sent) {
  if (context(ours) == nullptr) ours = 0;
  const auto key = std::make_pair(ours, sent);
  const auto made = contexts_made_.find(key);
  if (made != contexts_made_.end()) return made->second;

  VersionVector known = header_->knowledge;
  if (sent != nullptr) known.merge(*sent);
  if (ours != 0) known.merge(*context(ours));
  ContextId id = 0;
  if (ours != 0 && known == *context(ours)) {
    id = ours;
  } else if (!known.covered_by(knowledge_after_)) {
    id = site_.next_context++;
    update_.contexts_new.emplace_back(id, known);
  }
  contexts_made_.emplace(key, id);
  return id;
}

// Does the column come from another version than before?
bool ApplyRun::newly_shown(const TableInfo& table, const Work& work, ColumnNumber column) const {
  ShownRow before;
  show_row(work.before, table, site_.sites, &before);
  return before.versions.empty() || !before.versions[column].same_dot(work.shown.versions[column]);
}

namespace {

// Would the row's versions be read as the same without its state?
bool says_nothing(const TableInfo& table, const RowState& row, bool stored) {
  if (row.empty()) return true;
  for (ColumnNumber c = 0; c < table.column_count() && c < row.rest_values.size(); ++c) {
    // Only the state has it, until the column appears.
    if (!table.columns[c].present && !row.rest_values[c].is(ValueKind::absent)) return false;
  }
  return stored && row.cells.empty() && row.notes.empty() && !row.kept && !row.adjusted &&
         row.rest.size() == 1 && row.rest[0].same_dot(table.baseline);
}

}  // namespace

RowWrite ApplyRun::plan_write(const TableInfo& table, Work* work) {
  RowWrite write;
  write.key = work->local->key;
  write.relay = work->news || !same_versions(work->before, work->after);
  show_row(work->after, table, site_.sites, &work->shown);
  for (size_t k = 0; k < table.key.size(); ++k) {  // state keeps no values of key columns
    work->shown.values[table.key[k]] = write.key[k];
  }
  for (const ColumnNumber c : work->nulls)
    work->shown.values[c] = Value::null();
  for (const ColumnNumber c : work->defaults)
    work->shown.values[c] = Value();
  const bool stored = work->local->stored;
  work->after.kept = work->after.kept && !work->shown.alive;
  work->after.adjusted = !work->nulls.empty() || !work->defaults.empty();
  const bool exists = work->shown.alive || work->after.kept;
  const bool want = exists && table.present && !work->after.held;
  work->after.held = work->shown.alive && !want;
  work->after.kept = work->after.kept && want;
  if (want && !stored) {
    write.base = BaseAction::insert;
  } else if (!want && stored) {
    write.base = BaseAction::erase;
  } else if (want) {
    for (ColumnNumber c = 0; c < table.column_count(); ++c) {
      const Value& value = work->shown.values[c];
      if (!table.columns[c].present || table.is_key(c)) continue;
      const bool defaulted =
          std::find(work->defaults.begin(), work->defaults.end(), c) != work->defaults.end();
      const bool differs = value.is(ValueKind::absent) ? defaulted || newly_shown(table, *work, c)
                                                       : !value.identical(work->local->values[c]);
      if (differs) write.changed.push_back(c);
    }
    if (!write.changed.empty()) write.base = BaseAction::update;
  }
  // Without state it counts as known as far as all such rows do, which may be too far.
  write.forget = says_nothing(table, work->after, want) &&
                 (work->after.empty() ||
                  open_context(work->after.context) == open_context(table.baseline_context));
  write.fresh = work->fresh && write.forget && write.base == BaseAction::insert;
  write.relay = write.relay && !write.forget;
  write.values = work->shown.values;
  write.state = pack_row(work->after, table, &work->shown, want, &work->packed);
  return write;
}

Status ApplyRun::store(const TableInfo& table, std::vector<Work*>* works) {
  std::vector<RowWrite> writes;
  writes.reserve(works->size());
  for (Work* work : *works) {
    // A row that was held, kept or adjusted is judged again: what came may make it fit.
    work->after.held = work->after.kept = false;
    work->nulls.clear(), work->defaults.clear();
    writes.push_back(plan_write(table, work));
    work->fresh = false;
  }
  std::vector<StoreOutcome> outcomes;
  SYNCLINE_TRY(port_.store(table, writes, &outcomes));
  if (outcomes.size() != writes.size()) {
    return Status(StatusCode::internal, "store into table " + table.name + " lost outcomes");
  }
  wrote_ = wrote_ || !writes.empty();
  for (size_t i = 0; i < writes.size(); ++i) {
    Work& work = *(*works)[i];
    note_conflicts(table, work);
    if (!outcomes[i].stored) {
      const bool again = work.before.held && same_versions(work.before, work.after);
      SYNCLINE_TRY(hold(table, &work, outcomes[i].kind, outcomes[i].reason));
      ++(again ? report_.unchanged : report_.applied);
      continue;
    }
    note_written(table, writes[i], work);
  }
  return {};
}

// Rows with several versions in a cell, one batch after the other: `change` is given each as it is,
// and says whether it is to be stored as it then is.
Status ApplyRun::rewrite_contested(const TableInfo& table,
                                   const std::function<Status(Work*, bool*)>& change) {
  std::string after;
  for (;;) {
    RowBatch batch;
    SYNCLINE_TRY(port_.check_interrupt());
    SYNCLINE_TRY(port_.list_contested(table, after, limits::rows_per_batch, &batch));
    if (batch.rows.empty()) return {};
    after = encode_key(batch.rows.back().key);
    if (works_.size() < batch.rows.size()) works_.resize(batch.rows.size());
    std::vector<Work*> touched_works;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
      Work& work = works_[i];
      work.local = &batch.rows[i];
      work.news = false;
      SYNCLINE_TRY(load_row(batch.rows[i], table, &work.before));
      work.after = work.before;
      bool touched = false;
      SYNCLINE_TRY(change(&work, &touched));
      if (touched) touched_works.push_back(&work);
    }
    SYNCLINE_TRY(store(table, &touched_works));
  }
}

void ApplyRun::note_written(const TableInfo& table, const RowWrite& write, const Work& work) {
  if (!table.present && work.shown.alive) {
    ++report_.parked;
  } else if (write.base == BaseAction::none) {
    ++report_.unchanged;
  } else {
    ++report_.applied;
  }
  const bool in_base = write.base == BaseAction::insert || write.base == BaseAction::update;
  if (table.refers && in_base) written_.push_back({table.number, encode_key(write.key), {}});
  bool leaves = write.base == BaseAction::erase;
  for (const ColumnNumber c : table.referred_columns) {
    leaves =
        leaves || std::find(write.changed.begin(), write.changed.end(), c) != write.changed.end();
  }
  if (table.referred && leaves) removed_.push_back({table.number, encode_key(write.key), {}});
  const auto beyond = [this](const Version& v) { return !site_.melted.knows(v); };
  const bool got_state = !work.local->has_state && !write.forget;
  melts_anew_ = melts_anew_ || (got_state && !any_version(work.after, beyond));
  const bool waited = work.before.held || work.before.kept || work.before.adjusted;
  if (waited && table.present) {
    const RowName row{table.number, encode_key(write.key)};
    const bool again = work.before.held && same_versions(work.before, work.after);
    if (again && write.base == BaseAction::insert) held_before_.insert(row);
    note_view_before(row, work.before);
    note_free(table, write.key, work.after);
  }
}

void ApplyRun::note_view_before(const RowName& row, const RowState& before) {
  if ((before.kept || before.adjusted) && views_.count(row) == 0) views_before_.insert(row);
}

// Conflicts that the row shows now and did not before are opened, the others closed.
void ApplyRun::note_conflicts(const TableInfo& table, const Work& work) {
  if (!may_conflict(work.before) && !may_conflict(work.after)) return;
  std::vector<Conflict> before, after;
  const TableInfo& was = table_before_ != nullptr ? *table_before_ : table;
  find_conflicts(was, work.local->key, work.before, site_.sites, &before);
  find_conflicts(table, work.local->key, work.after, site_.sites, &after);
  const auto holds = [](const RowState& row, const Version& v) {
    const auto same = [&](const Version& x) { return x.same_dot(v); };
    return std::any_of(row.rest.begin(), row.rest.end(), same) ||
           std::any_of(row.cells.begin(), row.cells.end(),
                       [&](const CellVersion& c) { return same(c.version); });
  };
  const auto note = [&](const Conflict& conflict, bool opened) {
    ConflictRecord record;
    record.table = &table;
    record.key = encode_key(work.local->key);
    record.pk_json = key_to_json(table, work.local->key);
    record.conflict = conflict;
    record.opened = opened;
    if (!opened) record.end = conflict_end(conflict, work.after, site_.sites);
    const bool winner_here = holds(work.before, conflict.winner);
    const bool loser_here = holds(work.before, conflict.loser);
    record.winner_is_local =
        winner_here != loser_here ? winner_here : conflict.loser.site != site_.self;
    records_.push_back(std::move(record));
  };
  const auto missing = [](const std::vector<Conflict>& list, const Conflict& conflict) {
    return std::none_of(list.begin(), list.end(),
                        [&](const Conflict& c) { return c.id == conflict.id; });
  };
  const auto unchanged = [&](const Conflict& conflict) {
    return std::any_of(before.begin(), before.end(), [&](const Conflict& c) {
      return c.id == conflict.id && same_conflict(c, conflict);
    });
  };
  for (const Conflict& c : after) {
    if (unchanged(c)) continue;
    note(c, true);  // new, or with another kind or other values than before
    if (missing(before, c)) ++report_.conflicts;
  }
  for (const Conflict& c : before) {
    if (missing(after, c)) note(c, false);
  }
}

Status ApplyRun::record() {
  if (records_.empty()) return {};
  wrote_ = true;
  // A row may have been let in and set aside again on the way: what counts is how it ends.
  std::map<std::string, size_t> last;
  for (size_t i = 0; i < records_.size(); ++i)
    last[records_[i].conflict.id] = i;
  std::vector<ConflictRecord> records;
  for (size_t i = 0; i < records_.size(); ++i) {
    if (last[records_[i].conflict.id] != i) continue;
    const auto row = std::make_pair(records_[i].table->number, records_[i].key);
    // Held rows are counted apart, other kinds where they were found.
    if (views_.count(row) > 0 && views_before_.count(row) == 0 && records_[i].opened &&
        records_[i].conflict.kind == ConflictKind::foreign_key) {
      ++report_.conflicts;
    }
    records.push_back(std::move(records_[i]));
  }
  records_.clear();
  return port_.record_conflicts(records);
}

}  // namespace syncline
