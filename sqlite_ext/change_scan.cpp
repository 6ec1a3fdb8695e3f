// See change_scan.h. Memory: the list of changed keys; a batch of rows.
#include "sqlite_ext/change_scan.h"

#include <algorithm>

#include "sqlite_ext/log_fold.h"

namespace syncline {

namespace {

// Newest first in each range: the log positions that are dots of one site.
struct Range {
  SiteIndex site = 0;
  uint64_t from = 0, to = 0;
};

std::vector<Range> own_ranges(const Registry& registry, uint64_t head) {
  std::vector<Range> out;
  for (size_t i = 0; i < registry.incarnations.size(); ++i) {
    const bool last = i + 1 == registry.incarnations.size();
    const uint64_t to = last ? head : registry.incarnations[i + 1].from_seq - 1;
    out.push_back({registry.incarnations[i].site, registry.incarnations[i].from_seq, to});
  }
  return out;
}

}  // namespace

Status ChangeScan::find_relay_start(const VersionVector& since, Bounds* out) {
  out->relay_from = out->relay_head;
  Statement growth;
  SYNCLINE_TRY(growth.prepare(db_,
                              "SELECT min(begin) FROM main.sync_growth WHERE site=?1 AND "
                              "seq>?2"));
  for (SiteIndex site = 0; site < registry_.sites.size(); ++site) {
    growth.bind(1, int64_t{site});
    growth.bind(2, since.seq(site));
    bool row = false;
    SYNCLINE_TRY(growth.next(&row));
    if (row && !growth.is_null(0)) {
      out->relay_from = std::min(out->relay_from, static_cast<uint64_t>(growth.integer(0)));
    }
    growth.reset();
  }
  int64_t context = 0;
  SYNCLINE_TRY(query_integer(db_, "SELECT min(begin) FROM main.sync_context",
                             static_cast<int64_t>(out->relay_head), &context));
  out->relay_from = std::min(out->relay_from, static_cast<uint64_t>(context));
  return {};
}

Status ChangeScan::find_bounds(const VersionVector& since, Bounds* out) {
  VectorEntry head;
  SYNCLINE_TRY(log_head(db_, &head));
  out->log_head = head.seq;
  out->folded = registry_.folded;
  int64_t relay = 0;
  SYNCLINE_TRY(query_integer(db_, "SELECT max(pos) FROM main.sync_relay", 0, &relay));
  out->relay_head = static_cast<uint64_t>(relay);
  out->log_from = head.seq;
  for (const Range& range : own_ranges(registry_, head.seq)) {
    if (since.seq(range.site) >= range.to || range.to < range.from) continue;
    out->log_from = std::min(out->log_from, std::max(since.seq(range.site), range.from - 1));
  }
  for (const TableInfo& table : registry_.tables) {
    if (reads_whole(table)) continue;
    out->delta_tables += (out->delta_tables.empty() ? "" : ",") + std::to_string(table.number);
  }
  return find_relay_start(since, out);
}

// One entry of the log or of sync_relay. Of text and blobs `prefix` holds the first eight bytes, so
// that most comparisons need no more.
struct ChangeScan::Entry {
  uint64_t prefix = 0;
  RowKey key;
  uint64_t seq = 0;  // 0: of sync_relay, or folded already
  Hlc hlc = 0;
  int64_t mask = 0;
  uint32_t table = 0;
  ColumnNumber columns_known = 0;

  int compare_row(const Entry& other) const {
    if (table != other.table) return table < other.table ? -1 : 1;
    const bool prefixes = key[0].is(other.key[0].kind()) && prefix != other.prefix;
    if (prefixes) return prefix < other.prefix ? -1 : 1;
    return compare_keys(key, other.key);
  }
};

Status ChangeScan::read_entries(Statement* log, std::vector<Entry>* out) {
  for (bool row = true;;) {
    SYNCLINE_TRY(log->next(&row));
    if (!row) return {};
    Entry entry;
    entry.table = static_cast<uint32_t>(log->integer(0));
    if (at_ >= registry_.tables.size() || registry_.tables[at_].number != entry.table) {
      const int64_t at = registry_.position(entry.table);
      if (at < 0) continue;
      at_ = static_cast<size_t>(at);
    }
    const std::span<Value> key = list_.arena.values(registry_.tables[at_].key.size());
    bool null = false;
    for (size_t i = 0; i < key.size(); ++i) {
      key[i] = list_.arena.copy(log->value(4 + static_cast<int>(i)));
      null = null || key[i].is(ValueKind::null);
    }
    if (null) continue;
    entry.key = key;
    if (key[0].is_bytes()) {
      const std::string_view bytes = key[0].bytes();
      for (size_t i = 0; i < sizeof entry.prefix; ++i) {
        entry.prefix = entry.prefix << 8 | (i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : 0);
      }
    }
    const auto seq = static_cast<uint64_t>(log->integer(1));
    if (seq > registry_.folded) {
      entry.seq = seq;
      entry.hlc = static_cast<Hlc>(log->integer(2));
      entry.mask = log->integer(3);
      entry.columns_known = columns_known(registry_.extras[at_], seq);
    }
    out->push_back(entry);
  }
}

void ChangeScan::list_entries(const std::vector<Entry>& entries) {
  const Entry* before = nullptr;
  for (const Entry& entry : entries) {
    if (before == nullptr || before->compare_row(entry) != 0) {
      list_.rows.push_back({entry.table, entry.key, list_.events.size(), list_.events.size()});
    }
    before = &entry;
    if (entry.seq == 0) continue;
    LogEvent event;
    event.seq = entry.seq;
    event.hlc = entry.hlc;
    event.mask = entry.mask;
    event.columns_known = entry.columns_known;
    list_.events.push_back(event);
    list_.rows.back().event_end = list_.events.size();
  }
}

// Read in the order of positions and sorted here: ORDER BY over the three parts made SQLite pass
// each row through co-routines and its sorter, 10,600 instructions an entry instead of 3,100.
Status ChangeScan::load_changes(const Bounds& bounds) {
  if (list_.loaded && bounds == list_.bounds) return {};
  list_.loaded = false;
  list_.arena.clear();
  list_.rows.clear();
  list_.events.clear();
  const std::string keys = key_list(registry_.key_columns);
  const std::string in = " AND t IN (" + bounds.delta_tables + ")";
  std::vector<Entry> entries;
  auto read = [&](const std::string& what, std::initializer_list<uint64_t> positions) -> Status {
    Statement log;
    SYNCLINE_TRY(log.prepare(db_, "SELECT " + what));
    int at = 0;
    for (uint64_t position : positions)
      log.bind(++at, position);
    return read_entries(&log, &entries);
  };
  const std::string from_log = "t,seq,ver,mask," + keys + " FROM main.sync_log WHERE seq>?1";
  SYNCLINE_TRY(read(from_log, {bounds.folded}));
  if (bounds.log_from < bounds.folded) {
    SYNCLINE_TRY(read(from_log + " AND seq<=?2" + in, {bounds.log_from, bounds.folded}));
  }
  if (bounds.relay_from < bounds.relay_head) {
    SYNCLINE_TRY(
        read("t,0,0,0," + keys + " FROM main.sync_relay WHERE pos>?1" + in, {bounds.relay_from}));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    const int order = a.compare_row(b);
    return order != 0 ? order < 0 : a.seq < b.seq;
  });
  list_entries(entries);
  list_.bounds = bounds;
  list_.loaded = true;
  return {};
}

Status ChangeScan::open(const VersionVector& since, const ScanStart& start) {
  since_ = since;
  everything_ = start.everything;
  Bounds bounds;
  SYNCLINE_TRY(find_bounds(since, &bounds));
  SYNCLINE_TRY(load_changes(bounds));
  base_ = Statement();
  state_ = Statement();
  entered_ = false;
  start_ = {};
  start_arena_.clear();
  table_ = 0;
  if (start.table.empty()) return {};
  // Tables stand in rank order; the token is void when the order changed.
  while (table_ < registry_.tables.size() && registry_.tables[table_].name != start.table) {
    ++table_;
  }
  if (table_ == registry_.tables.size()) return {};
  std::vector<Value> key;
  SYNCLINE_TRY(decode_key(start.key, &start_arena_, &key));
  if (key.size() != registry_.tables[table_].key.size()) {
    return {StatusCode::invalid_argument,
            "the resume token does not fit table \"" + start.table + "\"", "ask without it"};
  }
  SYNCLINE_TRY(pool_.get(registry_.tables[table_].number, &access_));
  for (size_t i = 0; i < key.size(); ++i) {
    access_->to_local(registry_.tables[table_].key[i], key[i], &key[i]);
  }
  start_ = start_arena_.copy(RowKey(key));
  return {};
}

Status ChangeScan::step(Statement* cursor, std::vector<Value>* key, bool* live) {
  SYNCLINE_TRY(cursor->next(live));
  if (*live) access_->cursor_key(*cursor, key);
  return {};
}

Status ChangeScan::enter_table(const TableInfo& table, RowKey start) {
  const auto range =
      std::equal_range(list_.rows.begin(), list_.rows.end(), Changed{table.number, {}, 0, 0},
                       [](const Changed& a, const Changed& b) { return a.table < b.table; });
  auto first = range.first;
  if (!start.empty()) {
    first = std::upper_bound(first, range.second, start, [](RowKey key, const Changed& c) {
      return compare_keys(key, c.key) < 0;
    });
  }
  change_ = static_cast<size_t>(first - list_.rows.begin());
  change_end_ = static_cast<size_t>(range.second - list_.rows.begin());
  whole_ = reads_whole(table);
  entered_ = true;
  if (!whole_ && change_ == change_end_) return {};
  SYNCLINE_TRY(pool_.get(table.number, &access_));
  if (!whole_) return {};
  base_live_ = false;
  if (table.present) {
    SYNCLINE_TRY(access_->open_base_cursor(start, &base_));
    SYNCLINE_TRY(step(&base_, &base_key_, &base_live_));
  }
  SYNCLINE_TRY(access_->open_state_cursor(start, &state_));
  return step(&state_, &state_key_, &state_live_);
}

Status ChangeScan::next(size_t count_max, RowBatch* out) {
  out->clear();
  while (table_ < registry_.tables.size()) {
    const TableInfo& table = registry_.tables[table_];
    if (!entered_) SYNCLINE_TRY(enter_table(table, start_));
    start_ = {};
    out->table = &table;
    SYNCLINE_TRY(whole_ ? next_whole(count_max, out) : next_delta(count_max, out));
    if (!out->rows.empty()) return {};
    entered_ = false;
    ++table_;
  }
  base_ = Statement();
  state_ = Statement();
  return {};
}

// Overlays what is not folded yet, and adds the row if there is anything of it.
Status ChangeScan::finish_row(const Changed* changed, RowKey stored, RowBatch* out, LocalRow* row) {
  row->key = access_->key_to_wire(stored, &out->arena);
  if (changed != nullptr && changed->event_end > changed->event_begin) {
    const std::span<const LogEvent> events(list_.events.data() + changed->event_begin,
                                           changed->event_end - changed->event_begin);
    bool touched = false;
    SYNCLINE_TRY(overlay_row(access_, registry_, events, row->stored, &out->arena, row, &fold_work_,
                             &touched));
  }
  if (row->has_state || row->stored) out->rows.push_back(*row);
  return {};
}

Status ChangeScan::next_whole(size_t count_max, RowBatch* out) {
  while (out->rows.size() < count_max) {
    const bool change_live = change_ < change_end_;
    if (!base_live_ && !state_live_ && !change_live) return {};
    RowKey least;
    auto consider = [&](bool live, RowKey key) {
      if (live && (least.empty() || compare_keys(key, least) < 0)) least = key;
    };
    consider(base_live_, base_key_);
    consider(state_live_, state_key_);
    if (change_live) consider(true, list_.rows[change_].key);
    const bool at_base = base_live_ && compare_keys(base_key_, least) == 0;
    const bool at_state = state_live_ && compare_keys(state_key_, least) == 0;
    const bool at_change = change_live && compare_keys(list_.rows[change_].key, least) == 0;
    const RowKey key = out->arena.copy(least);  // before the cursors move
    LocalRow row;
    if (at_base) access_->read_base_row(base_, &out->arena, &row);
    if (at_state) access_->read_state_row(state_, &out->arena, &row);
    SYNCLINE_TRY(finish_row(at_change ? &list_.rows[change_] : nullptr, key, out, &row));
    if (at_base) SYNCLINE_TRY(step(&base_, &base_key_, &base_live_));
    if (at_state) SYNCLINE_TRY(step(&state_, &state_key_, &state_live_));
    if (at_change) ++change_;
  }
  return {};
}

Status ChangeScan::next_delta(size_t count_max, RowBatch* out) {
  for (; out->rows.size() < count_max && change_ < change_end_; ++change_) {
    const Changed& changed = list_.rows[change_];
    LocalRow row;
    const RowKey key = access_->key_to_wire(changed.key, &out->arena);
    SYNCLINE_TRY(access_->read_state(key, &out->arena, &row));
    SYNCLINE_TRY(access_->read_base(key, &out->arena, &row));
    SYNCLINE_TRY(finish_row(&changed, changed.key, out, &row));
  }
  return {};
}

}  // namespace syncline
