// See log_fold.h.
//
// fold_all reads the new entries sorted by table, key and position; SQLite's sorter spills to disk,
// so memory does not grow with the log. Entries without a key (markers, rows with NULL in their
// key) are skipped; the latter are listed as quarantined.
#include "sqlite_ext/log_fold.h"

#include <algorithm>

#include "sqlite_ext/capture.h"
#include "sqlite_ext/conflict_names.h"
#include "sqlite_ext/conflict_store.h"

namespace syncline {

ColumnNumber columns_known(const TableExtra& extra, uint64_t seq) {
  ColumnNumber known = 0;
  while (known < extra.known_after.size() && extra.known_after[known] < seq)
    ++known;
  return known;
}

namespace {

// What the log says, with who said it; a suspect means something only if the row is gone.
void settle_events(std::span<const LogEvent> events, const Registry& registry, bool exists,
                   std::vector<LogEvent>* out) {
  out->clear();
  for (LogEvent event : events) {
    if (event.mask == kMaskSuspect) {
      if (exists) continue;
      event.mask = kMaskAll;
    }
    if (const OriginSpan* span = registry.origin_of(event.seq)) {
      event.origin = span->origin;
      event.decides = span->decides;
    }
    out->push_back(event);
  }
}

// Entries written by triggers that did not know a column yet. Most are older than the column, and
// others may have them as they were: they must not come to write it. But somebody may have set it
// before the triggers were renewed: the last of them wrote it if the row holds something else there
// than the column's default. So this comes before what was parked in the column is filled in.
Status settle_columns(TableAccess* access, RowKey key, std::span<const uint64_t> known_after,
                      FoldWork* work) {
  const TableInfo& table = access->table();
  std::vector<LogEvent>& events = work->settled;
  work->unseen.clear();
  const auto young = [&](const LogEvent& event, ColumnNumber c) {
    return c < known_after.size() && known_after[c] >= event.seq;
  };
  for (ColumnNumber c = 0; c < table.column_count() && !events.empty(); ++c) {
    if (!table.columns[c].present || table.is_key(c) || !young(events[0], c)) continue;
    const auto last = std::find_if(events.rbegin(), events.rend(),
                                   [&](const LogEvent& event) { return young(event, c); });
    bool by_default = false;
    SYNCLINE_TRY(access->holds(key, c, Value(), &by_default));
    if (by_default) {
      work->unseen.push_back(c);
    } else if (last->mask >= 0) {
      last->mask |= c < kMaskColumns ? int64_t{1} << c : kMaskMany;
    }
  }
  for (LogEvent& event : events) {
    if (event.mask >= 0) event.columns_known = table.column_count();
    if (!work->unseen.empty() && young(event, work->unseen[0])) event.unseen = work->unseen;
  }
  return {};
}

// What fold_row needs beside the events: the last image, and what policies want to know.
Status gather(TableAccess* access, const Registry& registry, const LocalRow& local,
              std::span<const LogEvent> settled, Arena* arena, FoldInput* input) {
  if (settled.empty()) return {};
  std::vector<uint64_t> seqs;
  if (!input->exists || access->has_noted()) {
    for (const LogEvent& event : settled)
      seqs.push_back(event.seq);
  }
  if (!input->exists) {
    const auto at = static_cast<size_t>(registry.position(access->table().number));
    SYNCLINE_TRY(
        access->read_image(local.key, seqs, registry.extras[at].known_after, arena, &input->image));
  } else if (access->has_noted()) {
    LocalRow base = local;
    if (!base.stored) SYNCLINE_TRY(access->read_base(local.key, arena, &base));
    input->image = base.values;
  }
  return access->has_noted() ? access->read_before(seqs, arena, &input->before) : Status();
}

// What is known of a row that an exchange brought without state is not known of one that was made
// here. An update says that the row was there before, and so does a deleted row's image, or a
// suspect before an insert.
Status keep_context(TableAccess* access, std::span<const LogEvent> events, RowState* row) {
  if (row->context == 0 || events.empty() || events[0].mask != kMaskAll) return {};
  bool deleted = false;
  SYNCLINE_TRY(access->has_image(events[0].seq, &deleted));
  if (!deleted) row->context = 0;
  return {};
}

bool is_bare_baseline(const RowState& row, const TableInfo& table) {
  return row.cells.empty() && row.rest.size() == 1 && row.rest[0].same_dot(table.baseline) &&
         !row.rest[0].dead;
}

Status fold_into(TableAccess* access, const Registry& registry, std::span<const LogEvent> events,
                 bool exists, Arena* arena, LocalRow* local, FoldWork* work, bool* changed) {
  const TableInfo& table = access->table();
  std::vector<LogEvent>& settled = work->settled;
  settle_events(events, registry, exists, &settled);
  *changed = false;
  if (local->has_state) {
    SYNCLINE_TRY(unpack_row(local->state, table.column_count(), &work->row));
  } else {
    make_baseline(table, &work->row);
    SYNCLINE_TRY(keep_context(access, events, &work->row));
  }
  if (exists) {
    const auto at = static_cast<size_t>(registry.position(table.number));
    SYNCLINE_TRY(settle_columns(access, local->key, registry.extras[at].known_after, work));
  }
  FoldInput input;
  input.self = registry.self();
  input.events = settled;
  input.exists = exists;
  SYNCLINE_TRY(gather(access, registry, *local, settled, arena, &input));
  fold_row(input, table, registry.sites, arena, &work->row);
  if (settled.empty()) return {};
  if (!local->has_state && is_bare_baseline(work->row, table)) return {};
  *changed = true;
  local->has_state = true;
  local->state = pack_row(work->row, table, nullptr, exists, &work->packed);
  return {};
}

class Folder {
 public:
  Folder(sqlite3* db, Registry* registry) : db_(db), registry_(*registry), pool_(db, *registry) {}

  // Folds the entries up to position `last`.
  Status run(uint64_t last) {
    if (last <= registry_.folded) return {};
    Statement log;
    const std::string keys = key_list(registry_.key_columns);
    SYNCLINE_TRY(log.prepare(db_, "SELECT seq,ver,mask,t," + keys +
                                      " FROM main.sync_log WHERE "
                                      "seq>?1 AND seq<=?2 ORDER BY t," +
                                      keys + ",seq"));
    log.bind(1, registry_.folded);
    log.bind(2, last);
    for (bool row = true;;) {
      SYNCLINE_TRY(log.next(&row));
      if (!row) break;
      SYNCLINE_TRY(take(log));
    }
    SYNCLINE_TRY(fold_pending());
    SYNCLINE_TRY(flush());
    SYNCLINE_TRY(forget_images(last));
    registry_.folded = last;
    if (registry_.origins.size() > 1) {
      SYNCLINE_TRY(trim_origins(db_, last));
      SYNCLINE_TRY(load_origins(db_, &registry_));
    }
    SYNCLINE_TRY(save_meta(db_, "folded", Value::integer(static_cast<int64_t>(last))));
    return raise_floor(db_, hlc_max_ + 1);
  }

 private:
  Status forget_images(uint64_t last) {
    std::vector<std::string> names;
    for (uint32_t table : touched_)
      names.push_back("sync_image_" + std::to_string(table));
    // Policies may have gone meanwhile that asked for these.
    const std::vector<const Setting*> settings = registry_.settings.all();
    if (std::any_of(settings.begin(), settings.end(),
                    [](const Setting* setting) { return setting->key.starts_with("policy/"); })) {
      std::vector<std::string> more;
      SYNCLINE_TRY(query_texts(db_,
                               "SELECT name FROM main.sqlite_schema WHERE type='table' AND name "
                               "GLOB 'sync_before_[0-9]*'",
                               &more));
      names.insert(names.end(), more.begin(), more.end());
    }
    for (const std::string& name : names) {
      Statement images;
      SYNCLINE_TRY(images.prepare(db_, "DELETE FROM main." + quote_name(name) + " WHERE seq<=?1"));
      images.bind(1, last);
      SYNCLINE_TRY(images.run());
    }
    return {};
  }

  Status take(const Statement& log) {
    const auto number = static_cast<uint32_t>(log.integer(3));
    if (access_ == nullptr || access_->table().number != number) {
      SYNCLINE_TRY(fold_pending());
      SYNCLINE_TRY(flush());
      access_ = nullptr;
      const int64_t at = registry_.position(number);
      if (at < 0) return {};  // not tracked any more
      extra_ = &registry_.extras[static_cast<size_t>(at)];
      if (!registry_.tables[static_cast<size_t>(at)].present) return {};
      SYNCLINE_TRY(pool_.get(number, &access_));
      // Keys ascend and come once: what this fold writes, it does not read.
      SYNCLINE_TRY(access_->any_state(&any_state_));
      touched_.push_back(number);
    }
    key_.clear();
    size_t nulls = 0;
    for (size_t i = 0; i < access_->table().key.size(); ++i) {
      key_.push_back(log.value(4 + static_cast<int>(i)));
      if (key_.back().is(ValueKind::null)) ++nulls;
    }
    const int64_t mask = log.integer(2);
    if (nulls > 0) return nulls == key_.size() && mask == 0 ? Status() : null_key();
    if (events_.empty() || !identical_keys(key_, stored_)) {
      SYNCLINE_TRY(fold_pending());
      // 1 and 1.0 in a key without affinity are one row to SQLite: the second sees the first.
      const bool again = !stored_.empty() && key_[0].kind() != stored_[0].kind();
      any_state_ = any_state_ || again;
      if (++rows_ >= kRowsPerFlush || again) SYNCLINE_TRY(flush());
      pending_ = access_->key_to_wire(key_, &arena_);
      stored_ = arena_.copy(RowKey(key_));
    }
    LogEvent event;
    event.seq = static_cast<uint64_t>(log.integer(0));
    event.hlc = static_cast<Hlc>(log.integer(1));
    event.mask = mask;
    event.columns_known = columns_known(*extra_, event.seq);
    events_.push_back(event);
    return {};
  }

  // Entries of a key that holds NULL, whatever they say: such a row has no identity.
  Status null_key() {
    SYNCLINE_TRY(fold_pending());
    std::string where;
    for (const std::string& name : access_->base().key) {
      where += (where.empty() ? "" : " AND ") + quote_name(name) + " IS ?";
    }
    Statement s;
    SYNCLINE_TRY(s.prepare(
        db_, "SELECT 1 FROM main." + quote_name(access_->base().name) + " WHERE " + where));
    for (size_t i = 0; i < key_.size(); ++i)
      s.bind(static_cast<int>(i) + 1, key_[i]);
    bool exists = false;
    SYNCLINE_TRY(s.next(&exists));
    return record_null_key(db_, access_->table(), RowKey(key_), exists);
  }

  Status fold_pending() {
    if (events_.empty()) return {};
    LocalRow row;
    row.key = pending_;
    if (any_state_) SYNCLINE_TRY(access_->read_state(row.key, &arena_, &row));
    bool exists = false, changed = false;
    SYNCLINE_TRY(access_->exists(row.key, &exists));
    const LocalRow before = row;
    SYNCLINE_TRY(fold_into(access_, registry_, events_, exists, &arena_, &row, &work_, &changed));
    for (const LogEvent& event : events_)
      hlc_max_ = std::max(hlc_max_, event.hlc);
    events_.clear();
    if (!changed) return {};
    for (const Version& v : work_.row.rest)
      hlc_max_ = std::max(hlc_max_, v.hlc);
    for (const CellVersion& c : work_.row.cells)
      hlc_max_ = std::max(hlc_max_, c.version.hlc);
    row.state.cells = arena_.copy(row.state.cells);
    states_.push_back({row.key, row.state});
    if (!before.has_state) return {};
    return settle_conflicts(db_, access_, registry_, before, work_.row, &arena_);
  }

  // Writes the states of the rows that are done, and forgets what they were made of.
  Status flush() {
    if (!states_.empty()) SYNCLINE_TRY(access_->write_states(states_));
    states_.clear();
    arena_.clear();
    rows_ = 0;
    stored_ = {};
    return {};
  }

  static constexpr size_t kRowsPerFlush = 256;

  sqlite3* db_;
  Registry& registry_;
  AccessPool pool_;
  TableAccess* access_ = nullptr;
  bool any_state_ = true;  // whether the table had state when the fold came to it
  std::vector<TableAccess::StateWrite> states_;
  size_t rows_ = 0;
  const TableExtra* extra_ = nullptr;
  Arena arena_;
  RowKey pending_, stored_;  // the key of `events_`, as it travels and as stored
  std::vector<Value> key_;
  std::vector<LogEvent> events_;
  std::vector<uint32_t> touched_;
  FoldWork work_;
  Hlc hlc_max_ = 0;
};

}  // namespace

Status settle_conflicts(sqlite3* db, TableAccess* access, const Registry& registry,
                        const LocalRow& before, const RowState& after, Arena* arena) {
  const TableInfo& table = access->table();
  RowState was;
  SYNCLINE_TRY(unpack_row(before.state, table.column_count(), &was));
  const bool out = was.held || was.kept || was.adjusted;
  // `after` shows one that `was` did not if a decision is taken back.
  if (!out && !may_conflict(was) && !may_conflict(after)) return {};
  std::vector<std::string> open;
  if (may_conflict(after)) {
    // One may be new: an insert over a held row, or a tombstone left beside another version.
    std::vector<ConflictRecord> records;
    SYNCLINE_TRY(
        find_records(registry, access, before.key, after, registry.self(), arena, &records));
    for (const ConflictRecord& record : records)
      open.push_back(record.conflict.id);
    SYNCLINE_TRY(record_conflicts(db, registry.sites, records));
  }
  if (after.held || after.kept || after.adjusted) {
    open.push_back(held_conflict_id(table, before.key));
  }
  return close_superseded(db, table, encode_key(before.key), open, after, registry.sites);
}

Status overlay_row(TableAccess* access, const Registry& registry, std::span<const LogEvent> events,
                   bool exists, Arena* arena, LocalRow* row, FoldWork* work, bool* changed) {
  SYNCLINE_TRY(fold_into(access, registry, events, exists, arena, row, work, changed));
  if (*changed) row->state.cells = arena->copy(row->state.cells);
  return {};
}

Status read_current_row(TableAccess* access, const Registry& registry, RowKey key, Arena* arena,
                        LocalRow* row, RowState* state) {
  row->key = key;
  SYNCLINE_TRY(access->read_state(key, arena, row));
  SYNCLINE_TRY(access->read_base(key, arena, row));
  std::vector<LogEvent> events;
  SYNCLINE_TRY(access->read_events(key, registry.folded, &events));
  const int64_t at = registry.position(access->table().number);
  for (LogEvent& event : events) {
    event.columns_known = columns_known(registry.extras[static_cast<size_t>(at)], event.seq);
  }
  FoldWork work;
  bool changed = false;
  if (!events.empty()) {
    SYNCLINE_TRY(overlay_row(access, registry, events, row->stored, arena, row, &work, &changed));
  }
  return load_row(*row, access->table(), state);
}

Status fold_all(sqlite3* db, Registry* registry) {
  VectorEntry head;
  SYNCLINE_TRY(log_head(db, &head));
  return fold_up_to(db, registry, head.seq);
}

Status fold_up_to(sqlite3* db, Registry* registry, uint64_t last) {
  return Folder(db, registry).run(last);
}

}  // namespace syncline
