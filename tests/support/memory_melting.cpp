// The part of the memory port that melts. See memory_port.hpp.
#include <algorithm>

#include "support/memory_port.hpp"
#include "syncline/apply.h"
#include "syncline/membership.h"

namespace syncline::test {

namespace {

Status change(MemoryPort* port, Setting setting) {
  setting.hlc = port->data().settings.next_hlc(setting.key, hlc_from_ms(port->now_ms()));
  setting.site = port->id();
  ApplyReport report;
  return change_settings(port, std::span<const Setting>(&setting, 1), &report);
}

}  // namespace

// An entry without a key: it makes knowledge grow, so that settings travel.
void MemoryPort::append_marker() {
  fold();
  data_.floor = std::max(data_.floor, hlc_from_ms(now_ms_));
  LogEntry entry;
  entry.hlc = data_.floor;
  data_.log.push_back(entry);
  data_.folded = data_.log.size();
}

void MemoryPort::join_members() {
  append_marker();
  Member member;
  member.id = id();
  member.name = name_;
  const Status status = transaction([&] { return change(this, make_member_setting(member)); });
  if (!status.ok()) throw std::runtime_error(status.message());
}

void MemoryPort::know_member(const SiteId& other) {
  Member member;
  member.id = other;
  const Status status = transaction([&] { return change(this, make_member_setting(member)); });
  if (!status.ok()) throw std::runtime_error(status.message());
}

void MemoryPort::retire(const SiteId& gone) {
  append_marker();
  const Status status =
      transaction([&] { return change(this, make_retirement(gone, now_ms_, "")); });
  if (!status.ok()) throw std::runtime_error(status.message());
}

Status MemoryPort::maintain(uint64_t rows_max, MeltReport* report) {
  return transaction([&] { return melt(this, rows_max, report); });
}

Status MemoryPort::list_keys(const TableInfo& table, std::string_view after, size_t count_max,
                             RowBatch* out) {
  SYNCLINE_TRY(called("list_keys"));
  out->clear();
  out->table = &table;
  const MemoryTable& from = data_.tables.at(table.number);
  const std::set<std::string> all = keys(from);
  for (auto at = all.upper_bound(std::string(after));
       at != all.end() && out->rows.size() < count_max; ++at) {
    LocalRow row;
    fill(from, *at, out, &row);
    LocalRow only;
    only.key = row.key;
    out->rows.push_back(only);
  }
  return {};
}

Status MemoryPort::list_states(const TableInfo& table, std::string_view after, size_t count_max,
                               RowBatch* out) {
  SYNCLINE_TRY(called("list_states"));
  out->clear();
  out->table = &table;
  const MemoryTable& from = data_.tables.at(table.number);
  for (auto at = from.state.upper_bound(std::string(after));
       at != from.state.end() && out->rows.size() < count_max; ++at) {
    LocalRow row;
    fill(from, at->first, out, &row);
    row.stored = false;
    row.values = {};
    out->rows.push_back(row);
  }
  return {};
}

Status MemoryPort::forget(const TableInfo& info, std::span<const RowKey> forgotten) {
  SYNCLINE_TRY(called("forget"));
  MemoryTable& table = data_.tables.at(info.number);
  for (const RowKey key_values : forgotten) {
    const std::string key = encode_key(key_values);
    Arena arena;
    const RowState state = row(table, key, &arena);
    std::vector<MemoryData::Dots> cells(table.info.column_count() + size_t{1});
    std::vector<NotedVersion> cell;
    for (ColumnNumber c = 0; c <= table.info.column_count(); ++c) {
      if (c < table.info.column_count()) {
        state.cell(c, &cell);
      } else {
        cell.clear();
        for (const Version& v : state.rest) cell.push_back({v, Value(), {}});
      }
      for (const NotedVersion& v : cell) {
        if (!v.version.melted()) {
          cells[c].emplace_back(v.version.site, v.version.seq);
          continue;
        }
        for (const auto& dot : stood_for(table, key, c)) cells[c].push_back(dot);
      }
    }
    data_.stood[{info.number, key}] = std::move(cells);
    table.state.erase(key);
  }
  return {};
}

MemoryData::Dots MemoryPort::stood_for(const MemoryTable& table, const std::string& key,
                                       ColumnNumber column) const {
  const auto found = data_.stood.find({table.info.number, key});
  if (found != data_.stood.end()) {
    const bool existence = column >= table.info.column_count();
    const size_t last = found->second.size() - 1;
    return found->second[existence || column >= last ? last : column];
  }
  const auto baseline = data_.baselines.find(table.info.number);
  if (baseline == data_.baselines.end()) return {};
  return {{baseline->second.site, baseline->second.seq}};
}

Status MemoryPort::new_dot(const TableInfo& table, RowKey key, Version* out) {
  SYNCLINE_TRY(called("new_dot"));
  data_.floor = std::max(data_.floor, hlc_from_ms(now_ms_));
  LogEntry entry;
  entry.table = table.number;
  entry.key_values = owned(key);
  entry.key = encode_key(key);
  entry.hlc = data_.floor;
  entry.mask = kMaskNoted;
  entry.columns_known = table.column_count();
  data_.log.push_back(std::move(entry));
  *out = {data_.log.size(), data_.floor, data_.self, false};
  return {};
}

// Of the new dots in `write` those of cells that show what they showed before. Whatever else the
// merge writes itself is told to nobody: where all were waited for it is a fault.
void MemoryPort::note_renewal(const MemoryTable& table, const RowWrite& write) {
  if (write.base != BaseAction::none) return;
  RowState row;
  const Status status = unpack_row(write.state, table.info.column_count(), &row);
  if (!status.ok()) throw std::runtime_error(status.message());
  const std::string key = encode_key(write.key);
  const auto stored = table.state.find(key);
  const auto base = table.base.find(key);
  for (const CellVersion& cell : row.cells) {
    const Version& v = cell.version;
    if (v.site != data_.self || v.seq <= data_.folded || base == table.base.end()) continue;
    const int64_t bit = int64_t{1} << cell.column;
    const auto same = [&](const Renewal& r) { return r.seq == v.seq; };
    const auto known = std::find_if(renewals_.begin(), renewals_.end(), same);
    if (known != renewals_.end()) {
      known->entry.mask |= bit;
      continue;
    }
    Renewal renewal{table.info.number, std::nullopt, v.seq, data_.log[v.seq - 1]};
    if (stored != table.state.end()) renewal.before = stored->second;
    renewal.entry.mask = bit;
    renewal.entry.kind = ChangeKind::update;
    renewal.entry.values = base->second.values;
    renewals_.push_back(std::move(renewal));
  }
}

void MemoryPort::tell_renewals() {
  for (const Renewal& renewal : renewals_) {
    const TableInfo& table = data_.tables.at(renewal.table).info;
    RowState before;
    before.column_count = table.column_count();
    if (renewal.before) {
      const Status status = unpack_row(renewal.before->packed(), table.column_count(), &before);
      if (!status.ok()) throw std::runtime_error(status.message());
    } else {
      make_baseline(table, &before);
    }
    on_fold({this, &data_.sites, data_.self, &table, &renewal.entry.key_values, &before,
             {{renewal.seq, &renewal.entry}}});
  }
  renewals_.clear();
}

Status MemoryPort::set_baseline(const TableInfo& table, const Version& baseline) {
  SYNCLINE_TRY(called("set_baseline"));
  Version& now = data_.tables.at(table.number).info.baseline;
  if (baseline.melted()) data_.baselines.try_emplace(table.number, now);
  now = baseline;
  data_.tables.at(table.number).info.baseline_context = table.baseline_context;
  return {};
}

Status MemoryPort::load_acknowledgements(std::span<const SiteIndex> sites,
                                         std::vector<Acknowledgement>* out) {
  SYNCLINE_TRY(called("load_acknowledgements"));
  out->clear();
  for (const auto& [site, ack] : data_.heard) {
    const bool wanted = std::find(sites.begin(), sites.end(), site) != sites.end();
    if (sites.empty() || wanted) out->push_back(ack);
  }
  return {};
}

Status MemoryPort::load_melting(MeltingState* out) {
  SYNCLINE_TRY(called("load_melting"));
  *out = data_.melting;
  return {};
}

Status MemoryPort::save_melting(const SiteState& site, const MeltingState& state) {
  SYNCLINE_TRY(called("save_melting"));
  data_.sites = site.sites;
  data_.melted = site.melted;
  data_.melting = state;
  return {};
}

Status MemoryPort::prune(const SiteState& site) {
  SYNCLINE_TRY(called("prune"));
  while (data_.log_pruned < data_.folded &&
         data_.log_pruned + 1 <= site.melted.seq(owner(data_.log_pruned + 1))) {
    ++data_.log_pruned;
  }
  std::erase_if(data_.growth, [&](const MemoryData::Growth& step) {
    return step.seq <= site.melted.seq(step.site);
  });
  uint64_t begin = data_.relay.size();
  for (const MemoryData::Growth& step : data_.growth) begin = std::min(begin, step.begin);
  for (const auto& [sender, incoming] : data_.incoming) begin = std::min(begin, incoming.begin);
  data_.relay_pruned = std::max(data_.relay_pruned, begin);
  return {};
}

}  // namespace syncline::test
