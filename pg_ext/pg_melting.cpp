// Metadata that melts: the port's verbs over sl_melting.h, and sync_maintain's part of it. See
// pg_port.h; core horizon.h says what melts when.
#include <algorithm>
#include <string>
#include <vector>

#include "pg_ext/pg_port.h"
#include "syncline/maintain.h"

namespace syncline::pg {

namespace {

std::string packed(const VersionVector& vector, const SiteTable& sites) {
  std::string out;
  append_vector(&out, vector, sites);
  return out;
}

}  // namespace

// The next row of `fetched_`.
void PgPort::put_key(std::string_view encoded, RowKey key) {
  Fetched& row = fetched_.emplace_back();
  row.key = key.data();
  row.encoded = encoded;
  fetched_keys_.push_back(key);
}

// Keys are listed once a table and exchange: see pg_scan.h. What comes in between is written by the
// operation itself, which knows of it, or is listed where the next one takes the list over.
Status PgPort::list_keys(const TableInfo& table, std::string_view after, size_t count_max,
                         RowBatch* out) {
  out->clear();
  out->table = &table;
  bool listed = key_list_.table() == table.number && key_list_.covers(after);
  if (!listed) SYNCLINE_TRY(take_kept_list(table, after, &listed));
  std::span<const ScanPlan::Key> keys;
  for (;; listed = false) {
    if (!listed) {
      key_list_.begin(table.number, after);
      if (table.present) SYNCLINE_TRY(open_base(table));
      SYNCLINE_TRY(collect_keys(table, 0, table.present, &key_list_));
    }
    key_list_.seek(after);
    keys = key_list_.next(count_max);
    if (!keys.empty() || !key_list_.truncated()) break;
  }
  std::vector<Value> key;
  for (const ScanPlan::Key& one : keys) {
    key.clear();
    SYNCLINE_TRY(decode_key(one.bytes, &out->arena, &key));
    out->rows.emplace_back().key = out->arena.copy(RowKey(key));
  }
  return {};
}

Status PgPort::list_states(const TableInfo& table, std::string_view after, size_t count_max,
                           RowBatch* out) {
  out->clear();
  out->table = &table;
  state_list_.table = table.number;
  state_list_.after = bytes(after);
  state_list_.count_max = static_cast<uint32_t>(count_max);
  SYNCLINE_TRY(guard(sl_leaf_state_list, &state_list_));
  fetched_table_ = table.number;
  fetched_.clear();
  fetched_keys_.clear();
  std::vector<Value> key;
  for (uint32_t i = 0; i < state_list_.count; ++i) {
    const SlStateRow& state = state_list_.rows[i];
    key.clear();
    SYNCLINE_TRY(decode_key(view(state.key), &out->arena, &key));
    LocalRow& row = out->rows.emplace_back();
    row.key = out->arena.copy(RowKey(key));
    row.has_state = true;
    row.state = packed_row(state);
    row.state.cells = out->arena.copy(row.state.cells);
    put_key(view(state.key), row.key);
    fetched_.back().place = state.place;
  }
  return {};
}

// The core forgets rows that it has just listed; others are looked up.
Status PgPort::forget(const TableInfo& table, std::span<const RowKey> keys) {
  std::vector<SlStateRow> rows;
  rows.reserve(keys.size());
  for (size_t at = 0; fetched_table_ == table.number && rows.size() < keys.size(); ++at) {
    while (at < fetched_.size() && fetched_[at].key != keys[rows.size()].data()) ++at;
    if (at >= fetched_.size()) break;
    SlStateRow& row = rows.emplace_back();
    row.place = fetched_[at].place;
    fetched_[at].known = false;
  }
  std::vector<std::string> encoded;
  if (rows.size() < keys.size()) {
    std::vector<SlBytes> wanted;
    for (const RowKey key : keys) encoded.push_back(encode_key(key));
    for (const std::string& key : encoded) wanted.push_back(bytes(key));
    rows.assign(keys.size(), SlStateRow());
    SlStateRead read = {table.number, static_cast<uint32_t>(keys.size()), wanted.data(),
                        rows.data(), false};
    SYNCLINE_TRY(guard(sl_leaf_state_read, &read));
    for (SlStateRow& row : rows) row.pos = 0;
  }
  SlStateForget forget = {table.number, static_cast<uint32_t>(rows.size()), rows.data()};
  return guard(sl_leaf_state_forget, &forget);
}

// Growth and mark of these dots are written when the operation ends: see note_dots.
Status PgPort::new_dot(const TableInfo&, RowKey, Version* out) {
  SlCounters& counters = *sl_counters();
  if (!dots_begin_) dots_begin_ = counters.position;
  const Hlc hlc = next_hlc(static_cast<int64_t>(now_ms_));
  counters.floor = static_cast<int64_t>(hlc);
  dot_last_ = static_cast<uint64_t>(counters.next_seq++);
  *out = {dot_last_, hlc, self_, false};
  return {};
}

// Exports for whoever lacks the dots look at all rows behind where the first was given. A fold that
// came later has left a mark of its own.
Status PgPort::note_dots() {
  if (!dots_begin_) return {};
  const int64_t begin = *dots_begin_;
  dots_begin_.reset();
  if (static_cast<uint64_t>(sl_counters()->next_seq) == dot_last_ + 1) {
    SiteState site;
    site.self = self_;
    site.now_ms = now_ms_;
    site.random = random_;
    return add_own_growth(site, begin);
  }
  SlGrowth growth = {static_cast<int32_t>(self_), sl_counters()->next_seq - 1, begin, 0};
  return guard(sl_leaf_add_growth, &growth);
}

Status PgPort::set_baseline(const TableInfo& table, const Version& baseline) {
  SYNCLINE_TRY(save_new_sites(*sites_));
  SlBaseline to = {table.number, static_cast<int32_t>(baseline.site),
                   static_cast<int64_t>(baseline.seq),
                   static_cast<int64_t>(table.baseline_context)};
  SYNCLINE_TRY(guard(sl_leaf_save_baseline, &to));
  for (TableInfo& ours : tables_) {
    if (ours.number != table.number) continue;
    ours.baseline = baseline;
    ours.baseline_context = table.baseline_context;
  }
  return {};
}

Status PgPort::is_empty(const TableInfo& table, bool* yes) {
  SlEmpty empty = {table.number, table.present, false};
  SYNCLINE_TRY(guard(sl_leaf_is_empty, &empty));
  *yes = empty.empty;
  return {};
}

Status PgPort::load_acknowledgements(std::span<const SiteIndex> sites,
                                     std::vector<Acknowledgement>* out) {
  const std::vector<int32_t> wanted(sites.begin(), sites.end());
  SlAcks acks = {};
  acks.sites = wanted.data();
  acks.site_count = static_cast<uint32_t>(wanted.size());
  SYNCLINE_TRY(guard(sl_leaf_load_acks, &acks));
  out->clear();
  for (uint32_t i = 0; i < acks.count; ++i) {
    const SlAck& ack = acks.list[i];
    Acknowledgement& heard = out->emplace_back();
    heard.site = static_cast<SiteIndex>(ack.site);
    heard.heard_ms = static_cast<uint64_t>(ack.heard_ms);
    SYNCLINE_TRY(unpack_vector(ack.vector, sites_, &heard.vector));
  }
  return {};
}

Status PgPort::save_acknowledgements(const SiteState& site, const ExchangeUpdate& update) {
  std::vector<std::string> vectors;
  for (const Acknowledgement& ack : update.acknowledgements) {
    vectors.push_back(packed(ack.vector, site.sites));
  }
  std::vector<SlAck> list;
  for (const Acknowledgement& ack : update.acknowledgements) {
    SlAck& to = list.emplace_back();
    to = {};
    to.site = static_cast<int32_t>(ack.site);
    to.vector = bytes(vectors[list.size() - 1]);
    to.heard_ms = static_cast<int64_t>(ack.heard_ms);
    // Changes that somebody else has keep the id under which they are known there.
    const VectorEntry own = ack.vector.entry(site.self);
    SlRecognise shared = {static_cast<int64_t>(own.seq), static_cast<int64_t>(own.hlc), false};
    if (own.seq > 0) SYNCLINE_TRY(guard(sl_leaf_recognise, &shared));
  }
  SlAcks acks = {};
  acks.list = list.data();
  acks.count = static_cast<uint32_t>(list.size());
  if (!list.empty()) SYNCLINE_TRY(guard(sl_leaf_save_acks, &acks));
  if (!update.melted_changed) return {};
  const std::string melted = packed(update.melted, site.sites);
  SlMelting melting = {};
  melting.melted = bytes(melted);
  melting.own = static_cast<int64_t>(update.melted.seq(site.self));
  return guard(sl_leaf_save_melted, &melting);
}

Status PgPort::load_melting(MeltingState* out) {
  SlMelting melting = {};
  SYNCLINE_TRY(guard(sl_leaf_load_melting, &melting));
  out->done = melting.done;
  out->table = melting.table;
  out->key = view(melting.key);
  return unpack_vector(melting.under, sites_, &out->under);
}

Status PgPort::save_melting(const SiteState& site, const MeltingState& state) {
  SYNCLINE_TRY(save_new_sites(site.sites));
  const std::string melted = packed(site.melted, site.sites);
  const std::string under = packed(state.under, site.sites);
  SlMelting melting = {};
  melting.melted = bytes(melted);
  melting.own = static_cast<int64_t>(site.melted.seq(site.self));
  melting.under = bytes(under);
  melting.done = state.done;
  melting.table = state.table;
  melting.key = bytes(state.key);
  return guard(sl_leaf_save_melting, &melting);
}

Status PgPort::prune(const SiteState& site) {
  std::vector<int64_t> melted;
  for (SiteIndex s = 0; s < site.melted.size(); ++s) {
    melted.push_back(static_cast<int64_t>(site.melted.seq(s)));
  }
  SlPrune prune = {melted.data(), static_cast<uint32_t>(melted.size()),
                   static_cast<int64_t>(site.melted.seq(site.self)), 0};
  SYNCLINE_TRY(guard(sl_leaf_prune, &prune));
  pruned_ += static_cast<uint64_t>(prune.dropped);
  return {};
}

namespace {

// What outlives slb_maintain.
struct Kept {
  MaintainReport report;
  std::string json;
};
Kept& kept() {
  static Kept object;
  return object;
}

Status maintain(SlMaintenance* maintenance) {
  kept() = Kept();
  MaintainReport& report = kept().report;
  if (maintenance->retire_unseen_days > 0) {
    SYNCLINE_TRY(retire_unseen(maintenance->retire_unseen_days));
  }
  PgPort port(true);
  SYNCLINE_TRY(melt(&port, maintenance->rows_max, &report.melting));
  SiteState site;
  SYNCLINE_TRY(port.load_site(&site));
  // Also between two passes: an exchange may have ended that needed what is left.
  if (report.melting.done && site.melted.covered_by(site.knowledge)) {
    SYNCLINE_TRY(port.prune(site));
  }
  SYNCLINE_TRY(port.finish());
  report.log_dropped = port.pruned();
  return {};
}

}  // namespace

}  // namespace syncline::pg

using namespace syncline;
using namespace syncline::pg;

void slb_maintain_options(SlBytes json, SlMaintenance* maintenance, SlStatus* status) {
  bounded(status, [&]() -> Status {
    MaintainOptions options;
    SYNCLINE_TRY(maintain_options_from_json(view(json), &options));
    maintenance->rows_max = options.rows_max;
    maintenance->keep_closed_days = options.keep_closed_days;
    maintenance->retire_unseen_days = options.retire_unseen_days;
    return {};
  });
}

void slb_maintain(SlMaintenance* maintenance, SlStatus* status) {
  bounded(status, [&] { return maintain(maintenance); });
}

SlBytes slb_maintain_report(const SlMaintenance* maintenance, SlStatus* status) {
  bounded(status, [&]() -> Status {
    MaintainReport& report = kept().report;
    report.melting.done = report.melting.done && maintenance->done;
    report.conflicts_dropped = maintenance->conflicts_dropped;
    report.events_dropped = maintenance->events_dropped;
    report.bytes_metadata = maintenance->bytes_metadata;
    kept().json = report_to_json(report);
    return {};
  });
  return bytes(kept().json);
}
