// Decisions about rows that a constraint keeps out. See pg_decide.h.
//
// The row is inserted as an application would; rows in its place are deleted first, deleted rows
// that it refers to come back first. What was moved stands with the conflict, one line each:
// table number, key in hex, "deleted" or "restored"; taking the decision back moves it back.
#include <algorithm>
#include <charconv>

#include "pg_ext/pg_decide.h"
#include "syncline/conflicts.h"
#include "syncline/fold.h"

namespace syncline::pg {

namespace {

constexpr int kObstaclesMax = 100;

// What a row shows, or did before it was deleted.
std::vector<Value> last_image(const TableInfo& table, const CurrentRow& row,
                              const SiteTable& sites, Arena* arena) {
  ShownRow shown;
  if (!row.state.empty()) show_row(row.state, table, sites, &shown);
  std::vector<Value> values(table.column_count());
  for (ColumnNumber c = 0; c < shown.values.size() && c < values.size(); ++c) {
    if (table.columns[c].present) values[c] = arena->copy(shown.values[c]);
  }
  for (size_t i = 0; i < row.key.size(); ++i) values[table.key[i]] = arena->copy(row.key[i]);
  return values;
}

}  // namespace

// Deletes a row, or brings a deleted one back as it was.
Status Decider::move_row(uint32_t number, std::string_view key, bool exists,
                         StoreOutcome* outcome) {
  *outcome = StoreOutcome();
  const TableInfo* table = table_by_number(number);
  if (table == nullptr) return {};
  CurrentRow row;
  SYNCLINE_TRY(read_row(*table, key, &row));
  if (row.local().stored == exists) return {};
  Decision plan;
  plan.exists = exists;
  plan.values = last_image(*table, row, site_.sites, &arena_);
  return write(*table, key, row.local(), plan, outcome);
}

// Brings back the deleted rows that foreign keys of `values` name.
Status Decider::restore_parents(const TableInfo& child, std::span<const Value> values) {
  for (const ForeignKeyInfo& foreign : child.foreign_keys) {
    const TableInfo* parent = table_by_number(foreign.parent);
    if (parent == nullptr || !parent->present) continue;
    std::vector<Value> key;
    for (const ColumnNumber c : foreign.columns) key.push_back(values[c]);
    if (std::any_of(key.begin(), key.end(), [](const Value& v) {
          return v.is(ValueKind::null) || v.is(ValueKind::absent);
        })) {
      continue;
    }
    const std::string encoded = encode_key(key);
    CurrentRow row;
    SYNCLINE_TRY(read_row(*parent, encoded, &row));
    if (row.local().stored || !row.local().has_state) continue;
    if ((row.local().state.flags & kPackedHeld) != 0) return held_parent(parent->name);
    StoreOutcome outcome;
    SYNCLINE_TRY(move_row(parent->number, encoded, true, &outcome));
    if (!outcome.stored) return refused_write(*parent, outcome, "bring the row back by hand");
    append_moved_row({parent->number, encoded, false}, &moved_);
  }
  return {};
}

// The row that stands in the way of one that is to be inserted, of the first constraint that has
// one. REQUIRES: the table has no row of that key.
Status Decider::find_rivals(const TableInfo& table, RowKey key, std::span<const Value> row_values,
                            std::vector<std::string>* rivals) {
  rivals->clear();
  BaseTable base;
  SYNCLINE_TRY(base.open(table.number, true));
  std::vector<const SlValue*> keys{values(key.data())};
  SYNCLINE_TRY(base.set_keys(keys));
  SlWrite asked = {};
  asked.action = SL_WRITE_INSERT;
  asked.values = values(row_values.data());
  SlWriteBatch batch = {};
  batch.base = base.get();
  batch.count = batch.end = 1;
  batch.writes = &asked;
  batch.ask_only = true;
  SYNCLINE_TRY(guard(sl_leaf_write_begin, &batch));
  for (void (*step)(void*) : {sl_leaf_write_prepare, sl_leaf_write_apply}) {
    SlFailure failure = {};
    bool failed = false;
    SYNCLINE_TRY(attempt(step, &batch, &failure, &failed));
    if (failed) return base.close();
  }
  if (asked.outcome == SL_OUTCOME_REFUSED && asked.rival.size > 0) {
    rivals->emplace_back(view(asked.rival));
  }
  return base.close();
}

Status Decider::write_held(Choice choice, const Decision& plan) {
  if (!plan.exists) return {};  // given up: the log entry says so
  if (choice == Choice::remote) SYNCLINE_TRY(restore_parents(*table_, plan.values));
  for (int obstacle = 0; obstacle < kObstaclesMax; ++obstacle) {
    StoreOutcome outcome;
    SYNCLINE_TRY(write(*table_, stored_.key, row_.local(), plan, &outcome));
    if (outcome.stored) return {};
    std::vector<std::string> rivals;
    if (choice == Choice::remote && outcome.kind == ConflictKind::unique) {
      SYNCLINE_TRY(find_rivals(*table_, row_.key, plan.values, &rivals));
    }
    if (rivals.empty()) {
      return refused_write(*table_, outcome,
                           "nothing was written; choose value with other columns, or local");
    }
    for (const std::string& key : rivals) {
      StoreOutcome removed;
      SYNCLINE_TRY(move_row(table_->number, key, false, &removed));
      if (!removed.stored) {
        return refused_write(*table_, removed, "a row in its place cannot be deleted");
      }
      append_moved_row({table_->number, key, true}, &moved_);
    }
  }
  return Status(StatusCode::refused,
                "the row cannot be stored: too many rows stand in its place");
}

// The row leaves the table, in which capture sees nothing, and becomes held anew: a version of its
// own, which the fold is not asked about.
Status Decider::hold_again(std::span<const Value> held_values) {
  SlCounters& counters = *sl_counters();
  const int64_t begin = counters.position;
  PgPort port(true);
  SiteState site;
  SYNCLINE_TRY(port.load_site(&site));
  RowBatch batch;
  const RowKey key(row_.key);
  SYNCLINE_TRY(port.fetch(*table_, std::span<const RowKey>(&key, 1), &batch));
  Version version{static_cast<uint64_t>(counters.next_seq++),
                  next_hlc(static_cast<int64_t>(site.now_ms)), site.self, false};
  const auto above = [&](const Version& v) { version.hlc = std::max(version.hlc, v.hlc + 1); };
  for (const Version& v : row_.state.rest) above(v);
  for (const CellVersion& c : row_.state.cells) above(c.version);
  counters.floor = std::max(counters.floor, static_cast<int64_t>(version.hlc));
  RowState row;
  row.column_count = table_->column_count();
  row.context = row_.state.context;
  row.write_all(version, held_values);
  const std::string origin = origin_to_text(writer());
  row.set_note(kRowNote, version, origin);
  row.held = true;
  ShownRow shown;
  show_row(row, *table_, site.sites, &shown);
  std::string packed;
  RowWrite write;
  write.key = key;
  write.base = batch.rows.at(0).stored ? BaseAction::erase : BaseAction::none;
  write.state = pack_row(row, *table_, &shown, false, &packed);
  std::vector<StoreOutcome> outcomes;
  SYNCLINE_TRY(port.store(*table_, std::span<const RowWrite>(&write, 1), &outcomes));
  SYNCLINE_TRY(port.finish());
  SYNCLINE_TRY(add_own_growth(site, begin));
  // Whatever else was in conflict here, the new version has replaced.
  std::vector<Conflict> gone;
  find_conflicts(*table_, row_.key, row_.state, site_.sites, &gone);
  std::vector<ConflictRecord> records;
  for (const Conflict& conflict : gone) {
    ConflictRecord& record = records.emplace_back();
    record.table = table_;
    record.key = stored_.key;
    record.pk_json = stored_.text.pk;
    record.conflict = conflict;
    record.opened = false;
    record.end = conflict_end(conflict, row, site.sites);
  }
  return record_conflicts(records, site_.sites);
}

Status Decider::record_held(std::span<const Value> held_values) {
  ConflictRecord record;
  record.table = table_;
  record.key = stored_.key;
  record.pk_json = stored_.text.pk;
  record.winner_is_local = false;
  record.reason = "the decision about it was taken back";
  Conflict& conflict = record.conflict;
  conflict.id = stored_.text.id;
  for (const ConflictKind kind :
       {ConflictKind::unique, ConflictKind::foreign_key, ConflictKind::constraint}) {
    if (conflict_kind_name(kind) == stored_.text.kind) conflict.kind = kind;
  }
  conflict.winner_json = row_to_json(*table_, row_.key, held_values);
  conflict.policy = stored_.text.policy;
  conflict.severity = stored_.text.severity;
  return record_conflicts({&record, 1}, site_.sites);
}

// Rows may refer to the one that left its table.
Status Decider::settle_children() {
  const RowRef gone{table_->number, stored_.key, {}};
  PgPort port(true);
  ApplyReport report;
  SYNCLINE_TRY(retry_held(&port, {&gone, 1}, &report));
  return port.finish();
}

Status Decider::undo_held() {
  Decision before;
  SYNCLINE_TRY(plan_undo(input(), &arena_, &before));
  SYNCLINE_TRY(hold_again(before.values));
  SYNCLINE_TRY(record_held(before.values));
  // Who stands in its place is to stay: later versions than the held row's, here and elsewhere.
  std::vector<std::string> rivals;
  SYNCLINE_TRY(find_rivals(*table_, row_.key, before.values, &rivals));
  for (const std::string& key : rivals) {
    SYNCLINE_TRY(log(*table_, key, kMaskEvery, {}, writer()));
  }
  for (const MovedRow& moved : moved_rows(stored_.moved)) {
    StoreOutcome outcome;
    SYNCLINE_TRY(move_row(moved.table, moved.key, moved.deleted, &outcome));
    if (outcome.stored) continue;
    const TableInfo* table = table_by_number(moved.table);
    return refused_write(table == nullptr ? *table_ : *table, outcome,
                         "what the decision had moved cannot go back");
  }
  return {};
}

}  // namespace syncline::pg
