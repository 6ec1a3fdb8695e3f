// Scanning for an export. See pg_scan.h.
#include "pg_ext/pg_scan.h"

#include <algorithm>
#include <memory>

#include "pg_ext/pg_port.h"

namespace syncline::pg {

namespace {

constexpr uint32_t kKeysPerRead = 1024;

std::unique_ptr<KeptPlan> kept_plan;  // of this session's last export
std::unique_ptr<KeptPlan> kept_list;  // of its last apply

}  // namespace

void ScanPlan::begin(uint32_t table, std::string_view after) {
  table_ = table;
  first_ = last_ = after;
  ceiling_.clear();
  keys_.clear();
  arena_.clear();
  bytes_used_ = 0;
  sorted_ = at_ = 0;
  truncated_ = false;
}

ScanPlan::Key ScanPlan::as_key(std::string_view bytes, uint64_t place) {
  uint64_t head = 0;
  for (size_t i = 0; i < sizeof head; ++i) {
    head = head << 8 | (i < bytes.size() ? static_cast<uint8_t>(bytes[i]) : 0);
  }
  return {head, bytes, place};
}

void ScanPlan::add(std::string_view key, uint64_t place) {
  if (key <= std::string_view(last_) || (truncated_ && key > std::string_view(ceiling_))) return;
  keys_.push_back(as_key(arena_.copy(key), place));
  bytes_used_ += key.size() + sizeof(Key);
  if (bytes_used_ < kBytesMax) return;
  sort();
  drop_half();
}

void ScanPlan::sort() {
  if (sorted_ == keys_.size()) return;
  keys_.erase(keys_.begin(), keys_.begin() + static_cast<std::ptrdiff_t>(at_));
  sorted_ -= at_;
  at_ = 0;
  first_ = last_;
  const auto added = keys_.begin() + static_cast<std::ptrdiff_t>(sorted_);
  std::sort(added, keys_.end());
  std::inplace_merge(keys_.begin(), added, keys_.end());
  keys_.erase(std::unique(keys_.begin(), keys_.end()), keys_.end());
  sorted_ = keys_.size();
}

// Leaves the greater keys to the next lot. REQUIRES: none was given since they were sorted.
void ScanPlan::drop_half() {
  if (keys_.size() > 1) {
    keys_.resize(keys_.size() / 2);
    ceiling_ = keys_.back().bytes;
    truncated_ = true;
  }
  Arena kept;
  bytes_used_ = 0;
  for (Key& key : keys_) {
    key.bytes = kept.copy(key.bytes);
    bytes_used_ += key.bytes.size() + sizeof(Key);
  }
  arena_ = std::move(kept);
  sorted_ = keys_.size();
}

void ScanPlan::finish() {
  sort();
}

std::span<const ScanPlan::Key> ScanPlan::next(size_t count_max) {
  const size_t count = std::min(count_max, keys_.size() - at_);
  const std::span<const Key> out(keys_.data() + at_, count);
  // Neighbours in order are anywhere in memory: waiting for one after the other took 0.4 us a row.
  for (const Key& key : out) __builtin_prefetch(key.bytes.data());
  at_ += count;
  if (count > 0) last_ = out.back().bytes;
  return out;
}

void ScanPlan::seek(std::string_view after) {
  const auto behind = std::upper_bound(keys_.begin(), keys_.end(), as_key(after, 0));
  at_ = static_cast<size_t>(behind - keys_.begin());
  last_ = after;
}

namespace {

// Leaves a plan to the step that begins with `token`.
void keep(std::string_view token, ScanPlan* plan, std::unique_ptr<KeptPlan>* kept) {
  *kept = std::make_unique<KeptPlan>();
  **kept = {std::string(token), std::move(*plan), sl_counters()->position};
}

}  // namespace

void PgPort::keep_plan(std::string_view resume_hex) {
  kept_plan.reset();
  if (resume_hex.empty() || table_at_ >= tables_.size()) return;
  keep(resume_hex, &plan_, &kept_plan);
}

void PgPort::keep_list() {
  kept_list.reset();
  if (incoming_next_.empty() || key_list_.table() == 0) return;
  keep(incoming_next_, &key_list_, &kept_list);
}

Status PgPort::open_scan(const VersionVector& since, const ScanStart& start) {
  since_ = since;
  std::vector<int64_t> seqs;
  for (SiteIndex s = 0; s < since.size(); ++s) seqs.push_back(static_cast<int64_t>(since.seq(s)));
  SlScanBegin begin = {seqs.data(), static_cast<uint32_t>(seqs.size()), 0};
  SYNCLINE_TRY(guard(sl_leaf_scan_begin, &begin));
  everything_ = start.everything;
  // What was melted here is listed no longer.
  begin_ = everything_ || !melted_.covered_by(since) ? 0 : begin.begin;
  table_at_ = 0;
  scan_after_.clear();
  if (!start.table.empty()) {
    while (table_at_ < tables_.size() && tables_[table_at_].rank < start.rank) ++table_at_;
    if (table_at_ < tables_.size() && tables_[table_at_].rank == start.rank) {
      scan_after_ = start.key;
    }
  }
  return enter_table();
}

// Makes the plan of the table at hand, from behind `scan_after_`.
Status PgPort::enter_table() {
  if (table_at_ >= tables_.size()) return {};
  const TableInfo& table = tables_[table_at_];
  if (table.present && base_.number() != table.number) {
    SYNCLINE_TRY(base_.close());
    SYNCLINE_TRY(base_.open(table.number, write_));
  }
  bool taken = false;
  SYNCLINE_TRY(take_kept_plan(table, &taken));
  return taken ? Status() : plan_table(table, scan_after_);
}

Status PgPort::take_kept_plan(const TableInfo& table, bool* taken) {
  if (resume_hex_.empty()) return {};
  return take(&kept_plan, resume_hex_, table, scan_after_, everything_, &plan_, taken);
}

Status PgPort::take_kept_list(const TableInfo& table, std::string_view after, bool* taken) {
  if (incoming_token_.empty()) return {};
  return take(&kept_list, incoming_token_, table, after, true, &key_list_, taken);
}

// Goes on behind `after` with the plan that was kept for `token`, if there is one. With `extend`
// what came since is added: whoever says which keys a chunk covers must not leave it out.
Status PgPort::take(std::unique_ptr<KeptPlan>* from, std::string_view token, const TableInfo& table,
                    std::string_view after, bool extend, ScanPlan* plan, bool* taken) {
  const KeptPlan* kept = from->get();
  if (kept == nullptr || kept->token != token || kept->plan.table() != table.number ||
      !kept->plan.covers(after)) {
    return {};
  }
  SlListed listed = {table.number, 0};
  if (extend) SYNCLINE_TRY(guard(sl_leaf_listed_from, &listed));
  const int64_t position = kept->position;
  if (extend && position < listed.from) return {};
  *plan = std::move((*from)->plan);
  from->reset();
  plan->seek(after);
  *taken = true;
  return extend ? collect_keys(table, position, false, plan) : Status();
}

Status PgPort::plan_table(const TableInfo& table, std::string_view after) {
  const std::string from(after);  // it may be the plan's own
  plan_.begin(table.number, from);
  const bool whole = everything_ || !since_.knows(table.baseline);
  return collect_keys(table, begin_, table.present && whole, &plan_);
}

// Adds the keys of rows of state behind `begin` and, with `base`, of all rows of the open base
// table.
Status PgPort::collect_keys(const TableInfo& table, int64_t begin, bool base, ScanPlan* plan) {
  SlKeys keys = {};
  keys.number = table.number;
  keys.begin = begin;
  keys.base = base ? base_.get() : nullptr;
  keys.count_max = kKeysPerRead;
  SYNCLINE_TRY(guard(sl_leaf_keys_open, &keys));
  do {
    SYNCLINE_TRY(check_interrupt());
    SYNCLINE_TRY(guard(sl_leaf_keys_next, &keys));
    for (uint32_t i = 0; i < keys.count; ++i) plan->add(view(keys.keys[i]), keys.places[i]);
  } while (keys.count > 0);
  plan->finish();
  return guard(sl_leaf_keys_close, &keys);
}

Status PgPort::scan(size_t count_max, RowBatch* out) {
  out->clear();
  while (table_at_ < tables_.size()) {
    const TableInfo& table = tables_[table_at_];
    const std::span<const ScanPlan::Key> keys = plan_.next(count_max);
    if (!keys.empty()) {
      fetched_table_ = table.number;
      fetched_.assign(keys.size(), Fetched());
      fetched_keys_.clear();
      std::vector<Value> key;
      std::vector<uint64_t> places(keys.size());
      for (size_t i = 0; i < keys.size(); ++i) {
        key.clear();
        SYNCLINE_TRY(decode_key(keys[i].bytes, &out->arena, &key));
        fetched_keys_.push_back(out->arena.copy(RowKey(key)));
        fetched_[i].key = fetched_keys_.back().data();
        fetched_[i].encoded = keys[i].bytes;
        places[i] = keys[i].place;
      }
      out->table = &table;
      return read_rows(table, out, places.data());
    }
    if (plan_.truncated()) {
      SYNCLINE_TRY(plan_table(table, plan_.last()));
    } else {
      ++table_at_;
      scan_after_.clear();
      SYNCLINE_TRY(enter_table());
    }
  }
  return {};
}

}  // namespace syncline::pg

void slb_forget_plans(void) {
  syncline::pg::kept_plan.reset();
  syncline::pg::kept_list.reset();
}
