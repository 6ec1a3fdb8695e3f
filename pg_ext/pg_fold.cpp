// The fold: what the log says, brought into row state, row by row in key order.
//
// The log says which row, when, and which columns; the core's fold_row decides what that means.
// Each touched row gets the next seq, whatever the number of its entries, and the next position.
#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "pg_ext/pg_site.h"
#include "syncline/codec.h"
#include "syncline/conflicts.h"
#include "syncline/fold.h"
#include "syncline/limits.h"
#include "syncline/origin.h"

namespace syncline::pg {

namespace {

// Few, so that entries are still in the processor's cache when they are copied.
constexpr uint32_t kEntriesPerRead = 256;
constexpr int32_t kInsert = 0;
constexpr int32_t kDelete = 2;
static_assert(SL_STATE_DEAD == kPackedDead);

// A row that the log names, with its entries in the order they were written.
struct TouchedRow {
  struct Entry {
    int64_t mask;
    int64_t origin;  // 0: nobody said
  };
  std::string_view key;
  std::string_view image;  // of the last delete; data null: none
  int64_t inserts = 0, deletes = 0;
  std::vector<Entry> entries;
  std::vector<std::string_view> seen;  // by updates, in columns whose policies want to know
  Hlc hlc = 0;                         // the latest clock
};

// A local write has seen what was shown: conflicts that the row no longer has are closed.
Status settle_conflicts(const SiteState& site, const TableInfo& table, std::string_view key,
                        const RowState& row, bool exists) {
  std::vector<Value> base(table.column_count());
  SlBytes one_key = bytes(key);
  bool stored = false;
  SlValue* row_values = reinterpret_cast<SlValue*>(base.data());
  SlProbe probe = {table.number, 1, &one_key, &stored, &row_values, table.column_count()};
  if (exists) SYNCLINE_TRY(guard(sl_leaf_probe, &probe));
  RowState resolved = row;
  resolve_values(table, stored ? std::span<const Value>(base) : std::span<const Value>(),
                 &resolved);

  Arena arena;
  std::vector<Value> key_values;
  SYNCLINE_TRY(decode_key(key, &arena, &key_values));
  std::vector<Conflict> conflicts;
  find_conflicts(table, key_values, resolved, site.sites, &conflicts);

  SlOpenConflicts open = {};
  open.table = table.number;
  open.key = bytes(key);
  SYNCLINE_TRY(guard(sl_leaf_open_conflicts, &open));
  std::vector<Conflict> gone(open.count);
  for (uint32_t i = 0; i < open.count; ++i) {
    gone[i].id = view(open.ids[i]);
    if (open.columns[i].data != nullptr) {
      gone[i].column = find_column(table.columns, view(open.columns[i]));
    }
  }
  const auto still_open = [&](std::string_view id) {
    std::erase_if(gone, [&](const Conflict& conflict) { return conflict.id == id; });
  };

  std::vector<ConflictRecord> records;
  ConflictRecord record;
  record.table = &table;
  record.key = key;
  record.pk_json = key_to_json(table, key_values);
  for (const Conflict& conflict : conflicts) {
    still_open(conflict.id);  // recorded again: its kind or values may be others now
    record.conflict = conflict;
    record.opened = true;
    record.winner_is_local = conflict.winner.site == site.self;
    records.push_back(record);
  }
  if (row.held || row.kept || row.adjusted) still_open(held_conflict_id(table, key_values));
  record.opened = false;
  for (const Conflict& conflict : gone) {
    record.conflict = conflict;
    record.end = conflict_end(conflict, row, site.sites);
    records.push_back(record);
  }
  return record_conflicts(records, site.sites);
}

class Fold {
 public:
  Status run(bool refuse_own, uint64_t* row_count);

 private:
  Status read_entries(SlLog* log);
  Status flush();
  Status find_existing(const TableInfo& table, size_t count);
  Status fold_one(const TableInfo& table, size_t i, const SlStateRow& before, bool exists,
                  SlStateRow* after);
  Status load_before(const TableInfo& table, size_t i, const SlStateRow& before, bool exists,
                     RowState* row);
  Status decode_image(std::string_view image, std::vector<Value>* out);
  Status gather(const TableInfo& table, size_t i, bool exists, FoldInput* input);
  const TableInfo* find_table(uint32_t number) const;

  SiteState site_;
  std::vector<TableInfo> tables_;
  SlCounters& counters_ = *sl_counters();

  // The rows gathered so far, all of one table.
  uint32_t table_ = 0;
  uint32_t empty_table_ = 0;  // its state was empty when we came to it; 0: none
  Arena arena_;
  std::vector<TouchedRow> rows_;
  size_t row_count_ = 0;  // rows_ keeps the memory of its elements

  struct Said {
    std::string_view text;
    bool decides = false;
  };
  std::map<int64_t, Said> origins_;
  bool noted_ = false;           // the table at hand has columns whose policies need notes
  std::vector<Value> base_;      // then: the rows of the batch, one value a column
  std::vector<Value> image_, before_image_;
  std::deque<std::string> cells_;
  std::vector<SlBytes> keys_;
  std::vector<SlStateRow> before_, after_;
  RowState row_;  // the one at hand: kept for its memory
  std::unique_ptr<bool[]> exists_;
  std::vector<LogEvent> events_;
  uint64_t rows_folded_ = 0;
};

const TableInfo* Fold::find_table(uint32_t number) const {
  for (const TableInfo& table : tables_) {
    if (table.number == number) return &table;
  }
  return nullptr;
}

Status Fold::run(bool refuse_own, uint64_t* row_count) {
  SlLog log = {};
  SYNCLINE_TRY(guard(sl_leaf_log_open, &log));
  if (log.own_entries && refuse_own) {
    return Status(StatusCode::refused,
                  "this transaction has changed tracked tables and has not committed yet",
                  "commit it, then call again");
  }
  if (log.entry_count > 0) {
    SYNCLINE_TRY(load_site(&site_));
    SYNCLINE_TRY(load_tables(site_.settings, &tables_));
    const int64_t first_position = counters_.position;
    for (uint32_t i = 0; i < log.origin_count; ++i) {
      const std::string_view text = view(log.origins[i].text);
      origins_[log.origins[i].number] = {text, origin_from_text(text).decides()};
    }
    exists_ = std::make_unique<bool[]>(limits::rows_per_batch);
    SYNCLINE_TRY(read_entries(&log));
    SYNCLINE_TRY(flush());
    if (rows_folded_ > 0) SYNCLINE_TRY(add_own_growth(site_, first_position));
  }
  *row_count = rows_folded_;
  return guard(sl_leaf_log_close, &log);
}

Status Fold::read_entries(SlLog* log) {
  log->count_max = kEntriesPerRead;
  while (true) {
    SYNCLINE_TRY(guard(sl_leaf_log_next, log));
    if (log->count == 0) return {};
    for (uint32_t i = 0; i < log->count; ++i) {
      const SlLogEntry& entry = log->entries[i];
      const bool same_row = row_count_ > 0 && entry.table == table_ &&
                            rows_[row_count_ - 1].key == view(entry.key);
      if (!same_row) {
        if (entry.table != table_ || row_count_ == limits::rows_per_batch) SYNCLINE_TRY(flush());
        table_ = entry.table;
        if (row_count_ == rows_.size()) rows_.emplace_back();
        TouchedRow& row = rows_[row_count_++];
        row.key = arena_.copy(view(entry.key));
        row.image = {};
        row.inserts = row.deletes = 0;
        row.entries.clear();
        row.seen.clear();
        row.hlc = 0;
      }
      TouchedRow& row = rows_[row_count_ - 1];
      row.entries.push_back({entry.mask, entry.origin});
      row.inserts += entry.op == kInsert;
      row.deletes += entry.op == kDelete;
      row.hlc = std::max(row.hlc, static_cast<Hlc>(entry.clock));
      if (entry.image.data == nullptr) continue;
      const std::string_view image = arena_.copy(view(entry.image));
      if (entry.op == kDelete) {
        row.image = image;
      } else {
        row.seen.push_back(image);
      }
    }
  }
}

Status Fold::flush() {
  const size_t count = row_count_;
  row_count_ = 0;
  const TableInfo* table = count > 0 ? find_table(table_) : nullptr;
  if (table == nullptr) {  // nothing gathered, or entries of a table that is tracked no longer
    arena_.clear();
    return {};
  }
  keys_.clear();
  for (size_t i = 0; i < count; ++i) keys_.push_back(bytes(rows_[i].key));
  before_.resize(count);
  after_.resize(count);
  if (cells_.size() < count) cells_.resize(count);
  // Each row comes once: a table whose state was empty has none for the rows to come either.
  SlStateRead read{table_, static_cast<uint32_t>(count), keys_.data(), before_.data(),
                   empty_table_ == table_};
  SYNCLINE_TRY(guard(sl_leaf_state_read, &read));
  if (read.known_empty) empty_table_ = table_;
  noted_ = std::any_of(table->columns.begin(), table->columns.end(), [](const ColumnInfo& column) {
    return column.policy && column.policy->needs_notes();
  });
  SYNCLINE_TRY(find_existing(*table, count));
  size_t written = 0;
  for (size_t i = 0; i < count; ++i) {
    SYNCLINE_TRY(fold_one(*table, i, before_[i], exists_[i], &after_[written]));
    if (after_[written].key.data != nullptr) ++written;
  }
  SlStateWrite write{table_, static_cast<uint32_t>(written), after_.data()};
  SYNCLINE_TRY(guard(sl_leaf_state_write, &write));
  rows_folded_ += written;
  arena_.clear();
  return {};
}

// Which rows there are. Entries of one kind say so themselves; where inserts meet deletes, their
// order may be wrong (a trigger that undoes a change is logged first), and the base table has the
// word.
Status Fold::find_existing(const TableInfo& table, size_t count) {
  std::vector<size_t> mixed;
  std::vector<SlBytes> keys;
  for (size_t i = 0; i < count; ++i) {
    exists_[i] = rows_[i].deletes == 0;
    const bool looked_at = noted_ && rows_[i].deletes == 0;
    if (!looked_at && (rows_[i].inserts == 0 || rows_[i].deletes == 0)) continue;
    mixed.push_back(i);
    keys.push_back(keys_[i]);
  }
  if (mixed.empty()) return {};
  const auto found = std::make_unique<bool[]>(mixed.size());
  SlProbe probe = {};
  probe.table = table_;
  probe.count = static_cast<uint32_t>(mixed.size());
  probe.keys = keys.data();
  probe.exists = found.get();
  std::vector<SlValue*> base(noted_ ? mixed.size() : 0);
  if (noted_) {
    base_.assign(count * table.column_count(), Value());
    for (size_t m = 0; m < mixed.size(); ++m) {
      base[m] = reinterpret_cast<SlValue*>(base_.data() + mixed[m] * table.column_count());
    }
    probe.values = base.data();
    probe.column_count = table.column_count();
  }
  SYNCLINE_TRY(guard(sl_leaf_probe, &probe));
  for (size_t m = 0; m < mixed.size(); ++m) exists_[mixed[m]] = found[m];
  return {};
}

// What was known of the row before these entries. Whether it existed follows from their number, not
// from their order: a trigger of the user's that undoes a change makes us log it first.
Status Fold::load_before(const TableInfo& table, size_t i, const SlStateRow& before, bool exists,
                         RowState* row) {
  if (before.place != 0) return unpack_row(packed_row(before), table.column_count(), row);
  if ((exists ? 1 : 0) - rows_[i].inserts + rows_[i].deletes > 0) {
    make_baseline(table, row);
  } else {
    row->clear();
    row->column_count = table.column_count();
  }
  return {};
}

// Brings what an image has of columns that *out has nothing of yet.
Status Fold::decode_image(std::string_view image, std::vector<Value>* out) {
  ByteReader in(image);
  while (!in.at_end()) {
    uint64_t column = 0;
    Value value;
    if (!in.varint(&column)) return Status(StatusCode::internal, "damaged image in syncline.log");
    std::string_view rest = in.rest();
    SYNCLINE_TRY(read_value(&rest, &value));
    if (column < out->size() && (*out)[column].is(ValueKind::absent)) (*out)[column] = value;
    in = ByteReader(rest);
  }
  return {};
}

// What fold_row needs beside the events: the last image, and what policies want to know.
Status Fold::gather(const TableInfo& table, size_t i, bool exists, FoldInput* input) {
  const ColumnNumber columns = table.column_count();
  if (!exists) {
    image_.assign(columns, Value());
    SYNCLINE_TRY(decode_image(rows_[i].image, &image_));
    input->image = image_;
  } else if (noted_) {
    input->image = std::span<const Value>(base_).subspan(i * columns, columns);
  }
  if (!noted_) return {};
  before_image_.assign(columns, Value());
  for (const std::string_view seen : rows_[i].seen) {
    SYNCLINE_TRY(decode_image(seen, &before_image_));
  }
  input->before = before_image_;
  return {};
}

// Leaves after->key null if there is nothing to write.
Status Fold::fold_one(const TableInfo& table, size_t i, const SlStateRow& before, bool exists,
                      SlStateRow* after) {
  const TouchedRow& touched = rows_[i];
  RowState& row = row_;
  after->key = {nullptr, 0};
  SYNCLINE_TRY(load_before(table, i, before, exists, &row));
  // A row that was born and went again unseen has never been.
  if (row.empty() && !exists) return {};
  FoldInput input;
  input.self = site_.self;
  input.exists = exists;
  const uint64_t seq = static_cast<uint64_t>(counters_.next_seq++);
  events_.clear();
  for (const TouchedRow::Entry& entry : touched.entries) {
    const Said said = entry.origin == 0 ? Said() : origins_[entry.origin];
    events_.push_back({seq, touched.hlc, entry.mask, table.column_count(), said.text,
                       said.decides});
  }
  input.events = events_;
  SYNCLINE_TRY(gather(table, i, exists, &input));
  const bool conflicted = may_conflict(row) || row.held || row.kept || row.adjusted;
  fold_row(input, table, site_.sites, &arena_, &row);
  if (conflicted || may_conflict(row)) {
    SYNCLINE_TRY(settle_conflicts(site_, table, touched.key, row, exists));
  }
  const PackedRow packed = pack_row(row, table, nullptr, exists, &cells_[i]);
  after->key = bytes(touched.key);
  after->site = static_cast<int32_t>(packed.site);
  after->seq = static_cast<int64_t>(packed.seq);
  after->hlc = static_cast<int64_t>(packed.hlc);
  after->flags = static_cast<int32_t>(packed.flags);
  after->context = static_cast<int64_t>(packed.context);
  after->cells = bytes(packed.cells);
  after->pos = ++counters_.position;
  after->place = before.place;
  counters_.floor = std::max(counters_.floor, static_cast<int64_t>(touched.hlc));
  return {};
}

}  // namespace

Status add_own_growth(const SiteState& site, int64_t begin) {
  // The mark is our witness at the last seq: the clock, and random bits in place of its counter, so
  // that a database that was rolled back never makes the same one again.
  const SlCounters& counters = *sl_counters();
  const Hlc now = next_hlc(static_cast<int64_t>(site.now_ms));
  const Hlc random = site.random & ((Hlc{1} << kHlcCounterBits) - 1);
  const Hlc mark = (now & ~((Hlc{1} << kHlcCounterBits) - 1)) | random;
  SlGrowth growth = {};
  growth.site = static_cast<int32_t>(site.self);
  growth.seq = counters.next_seq - 1;
  growth.begin = begin;
  growth.mark_hlc = static_cast<int64_t>(mark);
  return guard(sl_leaf_add_growth, &growth);
}

Status fold_log(bool refuse_own, uint64_t* row_count) {
  return Fold().run(refuse_own, row_count);
}

}  // namespace syncline::pg

void slb_fold(bool refuse_own, uint64_t* row_count, SlStatus* status) {
  using namespace syncline;
  using namespace syncline::pg;
  status->code = 0;
  status->message[0] = status->hint[0] = '\0';
  try {
    const Status folded = fold_log(refuse_own, row_count);
    if (!folded.ok()) fill(folded, status);
  } catch (...) {
    fill_exception(status);
  }
}

void slb_shown_values(uint32_t number, uint32_t column, const SlStateRow* rows, uint32_t count,
                      SlValue* out, SlStatus* status) {
  using namespace syncline;
  using namespace syncline::pg;
  status->code = 0;
  status->message[0] = status->hint[0] = '\0';
  try {
    SiteState site;
    std::vector<TableInfo> tables;
    Status done = load_site(&site);
    if (done.ok()) done = load_tables(site.settings, &tables);
    const auto table = std::find_if(tables.begin(), tables.end(),
                                    [number](const TableInfo& t) { return t.number == number; });
    if (!done.ok() || table == tables.end()) return fill(done, status);
    static Arena& kept = *new Arena();  // what policies have made
    kept.clear();
    // No other base value counts: the column is new, and shows its default.
    std::vector<Value> base(table->column_count());
    base[column] = table->columns[column].missing;
    for (uint32_t i = 0; i < count && done.ok(); ++i) {
      values(out)[i] = Value();
      RowState row;
      done = unpack_row(packed_row(rows[i]), table->column_count(), &row);
      if (!done.ok()) break;
      // Versions that did not know the column say something of it now.
      if (may_conflict(row)) done = settle_conflicts(site, *table, view(rows[i].key), row, true);
      resolve_values(*table, base, &row);
      ShownRow shown;
      show_row(row, *table, site.sites, &shown);
      const Value& value = shown.values[column];
      if (shown.alive && !value.identical(base[column])) values(out)[i] = kept.copy(value);
    }
    fill(done, status);
  } catch (...) {
    fill_exception(status);
  }
}

namespace syncline::pg {

namespace {

// The record of a value that waited for a column and does not fit it.
Status note_unfit(uint32_t number, uint32_t column, std::string_view key, const Value& value,
                  std::string_view reason) {
  SiteState site;
  std::vector<TableInfo> tables;
  SYNCLINE_TRY(load_site(&site));
  SYNCLINE_TRY(load_tables(site.settings, &tables));
  for (const TableInfo& table : tables) {
    if (table.number != number || column >= table.column_count()) continue;
    Arena arena;
    std::vector<Value> decoded;
    SYNCLINE_TRY(decode_key(key, &arena, &decoded));
    ConflictRecord record;
    record.table = &table;
    record.key = std::string(key);
    record.pk_json = key_to_json(table, decoded);
    SiteId hash;  // as wide, and written alike
    hash128(held_conflict_id(table, decoded) + table.columns[column].name)
        .copy(reinterpret_cast<char*>(hash.bytes.data()), hash.bytes.size());
    record.conflict.id = to_hex(hash);
    record.conflict.kind = ConflictKind::schema;
    record.conflict.column = column;
    record.conflict.loser_json = value_to_json(value);
    record.reason = reason;
    return record_conflicts({&record, 1}, site.sites);
  }
  return {};
}

}  // namespace

}  // namespace syncline::pg

void slb_note_unfit(uint32_t number, uint32_t column, SlBytes key, const SlValue* value,
                    SlBytes reason, SlStatus* status) {
  using namespace syncline;
  using namespace syncline::pg;
  status->code = 0;
  status->message[0] = status->hint[0] = '\0';
  try {
    const Value& shown = *reinterpret_cast<const Value*>(value);
    fill(note_unfit(number, column, view(key), shown, view(reason)), status);
  } catch (...) {
    fill_exception(status);
  }
}
