#include "syncline/horizon.h"

#include <algorithm>
#include <map>
#include <set>

#include "syncline/limits.h"
#include "syncline/membership.h"
#include "syncline/origin.h"

namespace syncline {
namespace {

// The entrywise least of both, with the witnesses of the first where it is not greater.
VersionVector least(const VersionVector& a, const VersionVector& b) {
  VersionVector out;
  for (SiteIndex s = 0; s < a.size(); ++s) {
    if (a.seq(s) == 0 || b.seq(s) == 0) continue;
    out.set(s, a.seq(s) <= b.seq(s) ? a.entry(s) : b.entry(s));
  }
  return out;
}

bool lives(const RowState& row) {
  return any_version(row, [](const Version& v) { return !v.dead; });
}

class Melting {
 public:
  Melting(Port* port, uint64_t rows_max, MeltReport* report)
      : port_(*port), rows_max_(rows_max), report_(*report) {}

  Status run() {
    SYNCLINE_TRY(port_.load_site(&site_));
    SYNCLINE_TRY(port_.load_tables(&tables_));
    SYNCLINE_TRY(port_.load_melting(&state_));
    if (find_retirement(site_.settings, site_.sites.id(site_.self)) != nullptr) return {};
    if (!site_.melted.covered_by(site_.knowledge)) return {};
    SYNCLINE_TRY(advance());
    report_.under = site_.melted;
    if (state_.done) return {};
    std::sort(tables_.begin(), tables_.end(),
              [](const TableInfo& a, const TableInfo& b) { return a.number < b.number; });
    SYNCLINE_TRY(find_contended());
    SYNCLINE_TRY(find_parked());
    for (const TableInfo& table : tables_) {
      if (table.number < state_.table) continue;
      if (contended_.count(table.number) == 0) SYNCLINE_TRY(melt_table(table));
      if (report_.looked_at >= rows_max_) break;
      state_ = {state_.under, false, table.number + 1, {}};
    }
    state_.done = report_.looked_at < rows_max_;
    if (state_.done) {
      state_.table = 0;
      if (alone_) state_.under = VersionVector();  // what stayed is looked at again
      SYNCLINE_TRY(port_.prune(site_));
    }
    report_.done = state_.done;
    return port_.save_melting(site_, state_);
  }

 private:
  // Between two passes the melt vector rises to the horizon, once that covers it: else what has
  // melted before would not be known to a site that is waited for since. Baselines below it melt.
  Status advance() {
    std::vector<Acknowledgement> heard;
    SYNCLINE_TRY(port_.load_acknowledgements({}, &heard));
    const Horizon horizon = find_horizon(&site_, heard);
    alone_ = heard.empty() && active_sites(&site_).empty() && retired_ids(site_.settings).empty();
    for (const SiteIndex s : horizon.waiting_for)
      report_.waiting_for.push_back(site_.sites.id(s));
    if (!state_.done) return {};
    if (site_.melted.covered_by(horizon.vector)) site_.melted = horizon.vector;
    if (site_.melted == state_.under) return {};
    state_ = {site_.melted, false, 0, {}};
    for (TableInfo& table : tables_) {
      const bool stays = table.baseline.melted() || !site_.melted.knows(table.baseline);
      if (!table.present || stays) continue;
      table.baseline = melted_version(&site_.sites);
      SYNCLINE_TRY(port_.set_baseline(table, table.baseline));
    }
    return {};
  }

  // Which of the rows that claim one place has it is decided by their versions, as long as one of
  // them is held: nothing melts in its table, nor in those that foreign keys tie to it.
  Status find_contended() {
    std::vector<RowRef> held;
    SYNCLINE_TRY(port_.list_held(&held));
    for (const RowRef& row : held) contended_.insert(row.table);
    for (size_t before = 0; before != contended_.size();) {
      before = contended_.size();
      for (const TableInfo& table : tables_) {
        for (const ForeignKeyInfo& key : table.foreign_keys) {
          if (contended_.count(table.number) > 0) contended_.insert(key.parent);
          if (contended_.count(key.parent) > 0) contended_.insert(table.number);
        }
      }
    }
    return {};
  }

  // Rows of a table that is not here yet may refer to deleted rows of any table, and are judged by
  // their tombstones when it appears.
  Status find_parked() {
    for (const TableInfo& table : tables_) {
      std::string after;
      for (bool more = !table.present; more && !parked_;) {
        RowBatch batch;
        RowState row;
        SYNCLINE_TRY(port_.list_states(table, after, limits::rows_per_batch, &batch));
        for (const LocalRow& local : batch.rows) {
          SYNCLINE_TRY(unpack_row(local.state, table.column_count(), &row));
          parked_ = parked_ || lives(row);
        }
        more = !batch.rows.empty();
        if (more) after = encode_key(batch.rows.back().key);
      }
    }
    return {};
  }

  // A deleted row to which rows still refer at some site is kept there, or reset in them, and more
  // rows may come to refer to it: its tombstone says what becomes of those. So it stays while a row
  // that could have ended that here holds something that not all sites know: a row of a table whose
  // foreign keys lead to it. With CASCADE no such row is stored anywhere.
  Status may_be_needed(const TableInfo& table, bool* yes) {
    const auto [found, added] = needed_.emplace(table.number, false);
    const bool all_known = site_.contexts.empty() && site_.knowledge.covered_by(state_.under);
    std::set<uint32_t> leading;
    for (size_t before = SIZE_MAX; added && !all_known && before != leading.size();) {
      before = leading.size();
      for (const TableInfo& child : tables_) {
        for (const ForeignKeyInfo& key : child.foreign_keys) {
          const bool leads = key.parent == table.number || leading.count(key.parent) > 0;
          if (leads && key.on_delete != ForeignAction::cascade) leading.insert(child.number);
        }
      }
    }
    for (const TableInfo& child : tables_) {
      if (leading.count(child.number) == 0 || found->second) continue;
      SYNCLINE_TRY(has_news(child, &found->second));
    }
    *yes = found->second;
    return {};
  }

  // Does a row of it hold a version that is not known to all?
  Status has_news(const TableInfo& table, bool* yes) {
    std::string after;
    RowBatch batch;
    RowState row;
    do {
      SYNCLINE_TRY(port_.check_interrupt());
      SYNCLINE_TRY(port_.list_states(table, after, limits::rows_per_batch, &batch));
      for (const LocalRow& local : batch.rows) {
        SYNCLINE_TRY(unpack_row(local.state, table.column_count(), &row));
        const auto news = [&](const Version& v) { return !state_.under.knows(v); };
        *yes = *yes || site_.contexts.count(row.context) > 0 || any_version(row, news);
      }
      if (!batch.rows.empty()) after = encode_key(batch.rows.back().key);
    } while (!batch.rows.empty() && !*yes);
    return {};
  }

  Status melt_table(const TableInfo& table) {
    RowBatch batch;
    RowState row;
    // More may be known of the rows that a broken-off exchange has filled in without state than of
    // those that have it: these would be read as known as far.
    const bool filling = site_.contexts.count(table.baseline_context) > 0;
    while (report_.looked_at < rows_max_) {
      SYNCLINE_TRY(port_.check_interrupt());
      const uint64_t left = rows_max_ - report_.looked_at;
      const size_t count = static_cast<size_t>(std::min<uint64_t>(left, limits::rows_per_batch));
      SYNCLINE_TRY(port_.list_states(table, state_.key, count, &batch));
      if (batch.rows.empty()) return {};
      std::vector<RowKey> keys;
      for (const LocalRow& local : batch.rows) {
        SYNCLINE_TRY(unpack_row(local.state, table.column_count(), &row));
        if (site_.contexts.count(row.context) == 0) row.context = 0;  // known by now
        if ((parked_ || alone_) && !lives(row)) continue;
        bool stays = !can_melt(row, table, state_.under) || (filling && lives(row));
        if (!stays && !lives(row)) SYNCLINE_TRY(may_be_needed(table, &stays));
        if (!stays) keys.push_back(local.key);
      }
      state_.table = table.number;
      state_.key = encode_key(batch.rows.back().key);
      report_.looked_at += batch.rows.size();
      report_.melted += keys.size();
      if (!keys.empty()) SYNCLINE_TRY(port_.forget(table, keys));
    }
    return {};
  }

  Port& port_;
  const uint64_t rows_max_;
  MeltReport& report_;
  SiteState site_;
  std::vector<TableInfo> tables_;
  MeltingState state_;
  std::set<uint32_t> contended_;     // table numbers
  std::map<uint32_t, bool> needed_;  // by table number: may_be_needed()
  bool parked_ = false;              // are there rows of tables that are not here?
  // No other site was ever heard of. Some may have got changes all the same, by hand: they would be
  // the only ones to know of a delete, and nobody could tell who else is to hear of it.
  bool alone_ = false;
};

}  // namespace

Version melted_version(SiteTable* sites) {
  return {0, 0, sites->intern(kNobody), false};
}

std::vector<SiteIndex> active_sites(SiteState* site) {
  std::vector<SiteIndex> out;
  for (const SiteId& id : member_ids(site->settings)) {
    const SiteIndex index = site->sites.intern(id);
    if (index != site->self) out.push_back(index);
  }
  std::sort(out.begin(), out.end());
  return out;
}

void note_acknowledgement(const SiteState& state, const VersionVector& bound, SiteIndex site,
                          const VersionVector& vector, std::span<const Acknowledgement> known,
                          std::vector<Acknowledgement>* out) {
  const bool nobody = site == state.self || state.sites.id(site) == kNobody;
  if (nobody || !vector.covered_by(bound)) return;
  Acknowledgement ack{site, vector, state.now_ms};
  for (const Acknowledgement& before : known) {
    if (before.site != site) continue;
    if (ack.vector.covered_by(before.vector)) return;
    ack.vector.merge(before.vector);
  }
  out->push_back(std::move(ack));
}

Status hear_peer(Port* port, std::string_view site_hex, std::string_view vector_json) {
  SiteState site;
  SYNCLINE_TRY(port->load_site(&site));
  const Result<SiteId> id = site_id_from_hex(site_hex);
  if (!id.ok()) return id.status();
  VersionVector vector;
  SYNCLINE_TRY(vector_from_json(vector_json, &site.sites, &vector));
  const SiteIndex peer = site.sites.intern(id.value());
  std::vector<Acknowledgement> known;
  SYNCLINE_TRY(port->load_acknowledgements({&peer, 1}, &known));
  ExchangeUpdate update;
  update.sender = site.sites.id(site.self);
  note_acknowledgement(site, site.knowledge, peer, vector, known, &update.acknowledgements);
  return update.acknowledgements.empty() ? Status() : port->save_exchange(site, update);
}

Horizon find_horizon(SiteState* site, std::span<const Acknowledgement> acknowledgements) {
  Horizon out;
  out.vector = site->knowledge;
  for (const SiteIndex member : active_sites(site)) {
    const auto heard = std::find_if(acknowledgements.begin(), acknowledgements.end(),
                                    [&](const Acknowledgement& a) { return a.site == member; });
    const bool any = heard != acknowledgements.end();
    if (!any || !site->knowledge.covered_by(heard->vector)) out.waiting_for.push_back(member);
    out.vector = any ? least(out.vector, heard->vector) : VersionVector();
  }
  // It names all that it waited for: who reads it can tell.
  std::vector<SiteIndex> all = active_sites(site);
  all.push_back(site->self);
  const auto unnamed = [&](SiteIndex s) {
    return site->knowledge.seq(s) > 0 && out.vector.seq(s) == 0;
  };
  if (std::any_of(all.begin(), all.end(), unnamed)) out.vector = VersionVector();
  return out;
}

bool can_melt(const RowState& row, const TableInfo& table, const VersionVector& melted) {
  if (!table.baseline.melted() || row.context != 0 || row.held || row.kept || row.adjusted) {
    return false;
  }
  if (any_version(row, [&](const Version& v) { return !melted.knows(v); })) return false;
  // A decision that was taken back: that its conflict is open again stands in the note alone.
  const auto reopens = [](const VersionNote& note) {
    return note.column == kRowNote && may_reopen(note.bytes);
  };
  if (std::any_of(row.notes.begin(), row.notes.end(), reopens)) return false;
  if (!lives(row)) return true;
  // A live row: one version a cell, and nothing that the base table does not show.
  const auto dead = [](const Version& v) { return v.dead; };
  if (row.rest.size() != 1 || any_version(row, dead)) return false;
  const auto noted = [](const VersionNote& note) { return note.column != kRowNote; };
  if (!table.present || std::any_of(row.notes.begin(), row.notes.end(), noted)) return false;
  for (size_t i = 1; i < row.cells.size(); ++i) {
    if (row.cells[i].column == row.cells[i - 1].column) return false;
  }
  for (const CellVersion& c : row.cells) {
    if (!c.value.is(ValueKind::same)) return false;
  }
  for (ColumnNumber c = 0; c < row.column_count; ++c) {
    if (table.is_key(c)) continue;
    const Value& value = row.rest_values[c];
    const bool shown = value.is(ValueKind::same) || !row.exceptions(c).empty();
    const bool parked = !table.columns[c].present && !value.is(ValueKind::absent);
    if (parked || (!shown && table.columns[c].present)) return false;
    // Notes of later writes name what they replaced; it must have the same name everywhere.
    if (table.columns[c].policy && table.columns[c].policy->needs_notes()) return false;
  }
  return true;
}

Status melt(Port* port, uint64_t rows_max, MeltReport* report) {
  *report = MeltReport();
  return Melting(port, rows_max, report).run();
}

}  // namespace syncline
