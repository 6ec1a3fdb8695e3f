// Applying where metadata has melted: a full exchange, and who may speak to whom.
// docs/merge_rules.md, "Melting", has the rules.
#include <algorithm>
#include <map>
#include <numeric>

#include "apply_run.h"
#include "syncline/horizon.h"
#include "syncline/membership.h"
#include "token.h"

namespace syncline {
namespace {

Status told_to_rejoin(const std::string& who, const std::string& hint) {
  return Status(StatusCode::refused, who + " was retired with sync_retire_site()", hint);
}

}  // namespace

// A retired site exchanges nothing: others have stopped waiting for it.
Status ApplyRun::check_membership(const ChunkHeader& header) const {
  const SiteId& self = site_.sites.id(site_.self);
  Settings all;  // of both sides, those that may concern the two
  for (const Setting& setting : header.settings) all.merge(setting);
  for (const SiteId& id : {header.sender, self}) {
    const Setting* known = find_retirement(site_.settings, id);
    if (known != nullptr) all.merge(*known);
  }
  if (find_retirement(all, header.sender) != nullptr) {
    return told_to_rejoin("site " + to_hex(header.sender) + ", the sender,",
                          "call sync_new_identity() there, then synchronise again: its changes "
                          "are kept");
  }
  if (find_retirement(all, self) != nullptr) {
    return told_to_rejoin("this database (site " + to_hex(self) + ")",
                          "call sync_new_identity() here, then synchronise again: changes made "
                          "here are kept");
  }
  return {};
}

// Sets *stale for a chunk of someone behind who says nothing new.
Status ApplyRun::check_melted(const ChunkHeader& header, bool* stale) {
  if (!header.melted.covered_by(header.knowledge)) {
    return Status(StatusCode::corrupt_input, "the chunk's sender melted what it does not know");
  }
  if (!header.full && !header.melted.covered_by(header.since)) {
    return Status(StatusCode::corrupt_input,
                  "the chunk was made for a database that does not know what its sender melted");
  }
  if (site_.melted.covered_by(header.knowledge)) return {};
  *stale = header.knowledge.covered_by(site_.knowledge);
  if (*stale) return {};
  if (header.full) {
    // Two groups of sites that never met have both melted: one goes over to the other.
    const bool whole = site_.melted.covered_by(site_.knowledge);
    const bool begun = !header.predecessor.empty();
    if (begun || !whole || !header.melted.covered_by(site_.knowledge)) return {};
  }
  return Status(StatusCode::refused,
                "the sender has not seen all that this database dropped the metadata of",
                "let it pull from here first (sync_now() does both), then push again");
}

// From the first chunk of a full exchange there are melted versions of the sender's among ours.
// Else what it says is a fact that holds for ever: all sites know that much.
Status ApplyRun::take_melted(const ChunkHeader& header) {
  update_.melted = site_.melted;
  if (header.full || (header.last && header.melted.covered_by(knowledge_after_))) {
    update_.melted.merge(header.melted);
  }
  bool others = false;
  if (header.full && header.last) SYNCLINE_TRY(has_other_full_exchange(&others));
  if (header.full && header.last && !others) {
    // All rows were joined whole: nothing that is left stands for more than one of both knows. An
    // exchange that broke off for good may have promised more.
    VersionVector both = knowledge_after_;
    both.merge(header.knowledge);
    for (SiteIndex s = 0; s < update_.melted.size(); ++s) {
      if (update_.melted.seq(s) > both.seq(s)) update_.melted.set(s, both.entry(s));
    }
  }
  update_.melted_changed = !(update_.melted == site_.melted);
  // What has melted is older than what is written from now on, and brings no clock along with it.
  for (SiteIndex s = 0; update_.melted_changed && s < update_.melted.size(); ++s)
    update_.hlc_max = std::max(update_.hlc_max, update_.melted.entry(s).hlc);
  return {};
}

Status ApplyRun::has_other_full_exchange(bool* out) {
  std::vector<std::pair<SiteId, std::string>> open;
  SYNCLINE_TRY(port_.list_incoming(&open));
  for (const auto& [sender, bytes] : open) {
    Token token;
    const bool readable = read_token(bytes, &site_.sites, &token).ok();
    *out = *out || (sender != header_->sender && readable && token.position.everything);
  }
  return {};
}

// Nobody counts as knowing more than we do: what is dropped has to be here.
Status ApplyRun::take_acknowledgements(const ChunkHeader& header) {
  std::vector<std::pair<SiteIndex, VersionVector>> heard = header.acknowledgements;
  heard.emplace_back(site_.sites.intern(header.sender), header.start);
  std::vector<SiteIndex> sites;
  for (const auto& entry : heard) sites.push_back(entry.first);
  std::vector<Acknowledgement> known;
  SYNCLINE_TRY(port_.load_acknowledgements(sites, &known));
  for (const auto& [site, vector] : heard) {
    if (site == site_.self) continue;
    note_acknowledgement(site_, knowledge_after_, site, vector, known, &update_.acknowledgements);
  }
  return {};
}

// A pass through row state left something behind that may melt: what stayed for the sake of rows
// that waited, or a row that got its state back from a late chunk. It begins again.
Status ApplyRun::melt_anew() {
  MeltingState melting;
  SYNCLINE_TRY(port_.load_melting(&melting));
  if (melting.done && melting.under == VersionVector()) return {};
  if (melting.done) melting.under = VersionVector();
  melting.table = 0;
  melting.key.clear();
  return port_.save_melting(site_, melting);
}

// Sweeps the ranges that end before the rows of `table`; all that are left if it is empty.
Status ApplyRun::sweep_before(const std::string& table) {
  const std::vector<KeyRange>& ranges = header_->ranges;
  while (ranges_done_ < ranges.size() && ranges[ranges_done_].table != table) {
    const KeyRange& range = ranges[ranges_done_++];
    if (!range_empty_) SYNCLINE_TRY(sweep(range));
    range_empty_ = false;
    keys_sent_.clear();
  }
  return {};
}

// Every row here that lies in the range and did not come: the sender has none.
Status ApplyRun::sweep(const KeyRange& range) {
  const int64_t found = find_table(tables_, range.table);
  if (found < 0) return {};
  const TableInfo& table = tables_[static_cast<size_t>(found)];
  if (range.key_types.size() != table.key.size()) {
    return Status(StatusCode::schema_mismatch,
                  "table " + table.name + " has another primary key at the sender",
                  "give both databases the same key columns in the same order");
  }
  // The range is meant in the order of the sender's keys; where that is another, all are looked at.
  std::vector<LogicalKind> kinds;
  bool same_types = true;
  for (size_t k = 0; k < table.key.size(); ++k) {
    kinds.push_back(logical_kind(range.key_types[k]));
    same_types = same_types && range.key_types[k] == table.columns[table.key[k]].type;
  }
  std::string after = same_types ? range.after : std::string();
  for (bool more = true; more;) {
    RowBatch batch;
    SYNCLINE_TRY(port_.check_interrupt());
    SYNCLINE_TRY(port_.list_keys(table, after, limits::rows_per_batch, &batch));
    std::vector<RowKey> missing;
    for (const LocalRow& row : batch.rows) {
      std::string there = encode_key(row.key);
      after = there;
      if (keys_sent_.count(there) > 0) continue;
      if (!same_types) {
        const std::span<Value> key = batch.arena.copy(row.key);
        for (size_t k = 0; k < key.size(); ++k)
          key[k] = canonical_value(kinds[k], key[k], &batch.arena);
        there = encode_key(key);
      }
      const bool beyond = !range.to_end && there > range.upto;
      if (there > range.after && !beyond) missing.push_back(row.key);
      more = more && !(beyond && same_types);
    }
    more = more && !batch.rows.empty();
    SYNCLINE_TRY(sweep_batch(table, missing));
  }
  return {};
}

Status ApplyRun::sweep_batch(const TableInfo& table, std::span<const RowKey> keys) {
  if (keys.empty()) return {};
  converted_.clear();
  RowBatch batch;
  SYNCLINE_TRY(port_.fetch(table, keys, &batch));
  if (works_.size() < batch.rows.size()) works_.resize(batch.rows.size());
  std::vector<Work*> touched_works;
  for (size_t i = 0; i < batch.rows.size(); ++i) {
    works_[i].local = &batch.rows[i];
    bool touched = false;
    SYNCLINE_TRY(join_missing(table, &works_[i], &touched));
    if (touched) touched_works.push_back(&works_[i]);
  }
  SYNCLINE_TRY(store(table, &touched_works));
  return table.referred ? remember_referred(table, touched_works) : Status();
}

// Rows that were deleted there so long ago that no tombstone is left, and that rows refer to of
// which the sender does not know, get a tombstone of ours: then every site, whether it remembers
// the delete or not, does what the foreign key says.
Status ApplyRun::remember_referred(const TableInfo& table, std::span<Work* const> works) {
  std::vector<RowRef> gone, dangling;
  for (const Work* work : works) {
    if (!work->after.empty()) continue;
    gone.push_back({table.number, encode_key(work->local->key), {}});
  }
  if (gone.empty()) return {};
  SYNCLINE_TRY(port_.find_dangling({}, gone, &dangling));
  std::set<std::string> wanted;
  for (const RowRef& ref : dangling) {
    const TableInfo* child_table = table_by_number(ref.table);
    if (child_table == nullptr) continue;
    RowBatch batch;
    Work child;
    SYNCLINE_TRY(fetch_one(*child_table, ref.key, &batch, &child));
    const auto news = [&](const Version& v) { return !header_->knowledge.knows(v); };
    if (!any_version(child.before, news)) continue;
    for (const ForeignKeyInfo& key : child_table->foreign_keys) {
      std::string parent;
      if (key.parent != table.number || key.on_delete == ForeignAction::cascade) continue;
      if (parent_key(table, *child_table, child, key, &parent)) wanted.insert(parent);
    }
  }
  for (const Work* work : works) {
    const std::string key = encode_key(work->local->key);
    if (wanted.count(key) == 0) continue;
    ShownRow image;
    show_row(work->before, table, site_.sites, &image);
    RowBatch batch;
    Work deleted;
    SYNCLINE_TRY(fetch_one(table, key, &batch, &deleted));
    Version dead;
    SYNCLINE_TRY(new_tombstone(table, deleted.local->key, 0, &dead));
    deleted.after.write_all(dead, image.values);
    std::vector<Work*> one = {&deleted};
    SYNCLINE_TRY(store(table, &one));
  }
  return {};
}

// Joins a row of ours with nothing, which is what the sender knows of it.
Status ApplyRun::join_missing(const TableInfo& table, Work* work, bool* touched) {
  SYNCLINE_TRY(load_row(*work->local, table, &work->before));
  work->news = false;
  const Known there{&header_->knowledge, nullptr, &header_->melted};
  bool same = false;
  SYNCLINE_TRY(name_melted(table, nullptr, work, &same));
  const Known here{&site_.knowledge, context(work->before.context), &site_.melted};
  RowChange nothing;
  nothing.state.column_count = table.column_count();
  join_rows(work->before, here, nothing, there, site_.sites, &work->after);
  // What they know and do not have they have deleted, and with it the row.
  const bool lives = any_version(work->after, [](const Version& v) { return !v.dead; });
  if (lives && !same_versions(work->before, work->after)) {
    SYNCLINE_TRY(entomb(table, work->before, work));
  }
  work->after.context = 0;
  if (!work->after.empty()) {
    work->after.context = context_for(work->before.context, nullptr);
  }
  *touched = work->news || !same_versions(work->before, work->after);
  return {};
}

// A new version of ours that is later than all that the sender may have forgotten, so that the same
// one wins where that still has its name.
Status ApplyRun::fresh_version(const TableInfo& table, RowKey key, Version* out) {
  SYNCLINE_TRY(port_.new_dot(table, key, out));
  for (SiteIndex s = 0; s < header_->melted.size(); ++s)
    out->hlc = std::max(out->hlc, header_->melted.entry(s).hlc + 1);
  update_.hlc_max = std::max(update_.hlc_max, out->hlc);
  return {};
}

// A tombstone of ours for a delete that others made, at `hlc`; 0: before all that is remembered.
Status ApplyRun::new_tombstone(const TableInfo& table, RowKey key, Hlc hlc, Version* out) {
  SYNCLINE_TRY(port_.new_dot(table, key, out));
  out->hlc = hlc;
  out->dead = true;
  return {};
}

// The row was deleted on one side so long ago that its tombstone is gone, and changed on the other,
// where it looked like `seen`, by someone who did not know. A tombstone is put beside the change:
// the table's policy decides, and all sites see the conflict.
Status ApplyRun::entomb(const TableInfo& table, const RowState& seen, Work* work) {
  RowState& row = work->after;
  ShownRow image;
  show_row(seen, table, site_.sites, &image);
  Version dead;
  SYNCLINE_TRY(new_tombstone(table, work->local->key, 0, &dead));
  const std::span<Value> values = converted_.copy(std::span<const Value>(image.values));
  row.rest.push_back(dead);
  row.rest_values.insert(row.rest_values.end(), values.begin(), values.end());
  std::vector<CellVersion> cells;
  for (size_t i = 0; i < row.cells.size(); ++i) {
    const ColumnNumber column = row.cells[i].column;
    if (i == 0 || row.cells[i - 1].column != column) {
      cells.push_back({column, dead, values[column]});
    }
    cells.push_back(row.cells[i]);
  }
  row.cells = std::move(cells);
  sort_versions(&row);
  work->news = true;
  return {};
}

// Brings the versions of each cell into their order.
void ApplyRun::sort_versions(RowState* row) const {
  std::vector<size_t> order(row->rest.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return compare_versions(row->rest[a], row->rest[b], site_.sites) < 0;
  });
  const std::vector<Version> rest = row->rest;
  const std::vector<Value> values = row->rest_values;
  for (size_t i = 0; i < order.size(); ++i) {
    row->rest[i] = rest[order[i]];
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(order[i] * row->column_count),
                row->column_count,
                row->rest_values.begin() + static_cast<std::ptrdiff_t>(i * row->column_count));
  }
  const auto before = [this](const CellVersion& a, const CellVersion& b) {
    if (a.column != b.column) return a.column < b.column;
    return compare_versions(a.version, b.version, site_.sites) < 0;
  };
  std::stable_sort(row->cells.begin(), row->cells.end(), before);
}

bool ApplyRun::same_values(const TableInfo& table, std::span<const Value> a,
                           std::span<const Value> b) {
  for (ColumnNumber c = 0; c < table.column_count(); ++c) {
    if (!table.is_key(c) && !a[c].identical(b[c])) return false;
  }
  return true;
}

// A melted version of theirs came to stand beside versions of ours that they do not know. Which of
// both is later nobody can tell any more, so ours are written anew: as a change of now.
Status ApplyRun::face_melted(const TableInfo& table, const RowState& theirs, Work* work) {
  const auto melted = [](const Version& v) { return v.melted(); };
  const RowState &before = work->before, &row = work->after;
  if (before.empty() || !any_version(theirs, melted)) return {};
  // What melted there may be later than what melted here: the same name, another version.
  const bool later = !header_->melted.covered_by(site_.melted);
  // Without an exception a column reads as `rest`; so does the row's existence, as kRowNote.
  const auto faced = [&](ColumnNumber c) {
    const auto in = [&](const RowState& r, const Version& v) {
      const auto own = r.exceptions(c);
      const auto same = [&](const Version& x) { return x.same_dot(v); };
      return own.empty() ? std::any_of(r.rest.begin(), r.rest.end(), same)
                         : std::any_of(own.begin(), own.end(),
                                       [&](const CellVersion& x) { return same(x.version); });
    };
    bool came = false, beside = false;
    const auto look = [&](const Version& v) {
      came = came || (v.melted() && (later || !in(before, v)));
      beside = beside || !in(theirs, v);
    };
    const auto own = row.exceptions(c);
    for (const CellVersion& v : own) look(v.version);
    for (size_t i = 0; own.empty() && i < row.rest.size(); ++i) look(row.rest[i]);
    return came && beside;
  };
  std::vector<ColumnNumber> columns;
  for (const CellVersion& c : row.cells) {
    const bool first = columns.empty() || columns.back() != c.column;
    if (first && faced(c.column)) columns.push_back(c.column);
  }
  if (faced(kRowNote)) columns.push_back(kRowNote);
  if (columns.empty()) return {};
  ShownRow was;
  show_row(before, table, site_.sites, &was);
  return was.alive ? write_beside(table, theirs, was, columns, work)
                   : delete_again(table, theirs, was, work);
}

// One melted version looks like another, but the sender's may be of a later time.
bool ApplyRun::melted_otherwise(const TableInfo& table, const Work& work) const {
  const RowState &before = work.before, &after = work.after;
  if (!any_version(after, [](const Version& v) { return v.melted(); })) return false;
  if (!same_versions(before, after)) return true;
  for (size_t i = 0; i < after.rest_values.size(); ++i) {
    const auto column = static_cast<ColumnNumber>(i % after.column_count);
    const Value &was = before.rest_values[i], &is = after.rest_values[i];
    if (!table.is_key(column) && !is.identical(was)) return true;
  }
  for (size_t i = 0; i < after.cells.size(); ++i) {
    if (!after.cells[i].value.identical(before.cells[i].value)) return true;
  }
  return false;
}

// A delete that was not sent before its row melted is done anew: alone if it saw what stands there,
// else beside it, so that every site finds the same of both the later.
Status ApplyRun::delete_again(const TableInfo& table, const RowState& theirs, const ShownRow& was,
                              Work* work) {
  ShownRow shown;
  show_row(theirs, table, site_.sites, &shown);
  if (!shown.alive) return {};
  const bool seen = same_values(table, was.values, shown.values);
  std::vector<ColumnNumber> all = {kRowNote};
  for (const CellVersion& c : work->after.cells) {
    if (all.back() != c.column) all.push_back(c.column);
  }
  if (!seen) return write_beside(table, theirs, was, all, work);
  Version dead;
  SYNCLINE_TRY(fresh_version(table, work->local->key, &dead));
  dead.dead = true;
  work->after.write_all(dead, converted_.copy(std::span<const Value>(was.values)));
  work->news = true;
  return {};
}

// What is shown here takes the place of our versions in these cells; theirs stay beside it, and get
// a dot of ours: a site that knows what it was, or took it for seen by one of ours that is written
// anew, would else not see it there. Of a stranger all that has melted gets one, or it would be
// taken for what melted here, whose versions may still have their names elsewhere.
Status ApplyRun::write_beside(const TableInfo& table, const RowState& theirs, const ShownRow& was,
                              std::span<const ColumnNumber> columns, Work* work) {
  const bool stranger = is_stranger(work->before);
  Version named, fresh;
  SYNCLINE_TRY(fresh_version(table, work->local->key, &named));
  SYNCLINE_TRY(fresh_version(table, work->local->key, &fresh));
  fresh.dead = !was.alive;
  const std::span<Value> values = converted_.copy(std::span<const Value>(was.values));
  RowState& row = work->after;
  const RowState joined = row;
  const auto anew = [&](ColumnNumber c) {
    return std::find(columns.begin(), columns.end(), c) != columns.end();
  };
  if (anew(kRowNote)) {
    row.rest.clear(), row.rest_values.clear();
    for (size_t i = 0; i < joined.rest.size(); ++i) {
      const Version& v = joined.rest[i];
      const auto same = [&](const Version& x) { return x.same_dot(v); };
      if (std::none_of(theirs.rest.begin(), theirs.rest.end(), same)) continue;
      const auto at = joined.rest_values.begin() +
                      static_cast<std::ptrdiff_t>(i * joined.column_count);
      row.rest.push_back(v);
      row.rest_values.insert(row.rest_values.end(), at, at + joined.column_count);
    }
    row.rest.push_back(fresh);
    row.rest_values.insert(row.rest_values.end(), values.begin(), values.end());
  }
  std::erase_if(row.cells, [&](const CellVersion& c) {
    return anew(c.column) && !theirs.holds(c.column, c.version.site, c.version.seq);
  });
  for (const ColumnNumber c : columns) {
    if (c != kRowNote) row.cells.push_back({c, fresh, values[c]});
  }
  give_name(named, [&](ColumnNumber c) { return stranger || anew(c); }, &row);
  sort_versions(&row);
  join_equal_cells(&row);
  row.drop_stale_notes();
  work->news = true;
  return {};
}

// An exception with the versions of `rest` is none.
void ApplyRun::join_equal_cells(RowState* row) {
  std::vector<CellVersion> kept;
  for (size_t i = 0; i < row->cells.size();) {
    size_t end = i;
    bool same = true;
    for (; end < row->cells.size() && row->cells[end].column == row->cells[i].column; ++end) {
      const size_t at = end - i;
      same = same && at < row->rest.size() && row->rest[at].same_dot(row->cells[end].version);
    }
    same = same && end - i == row->rest.size();
    for (size_t at = 0; i < end; ++i, ++at) {
      const CellVersion& c = row->cells[i];
      if (same) row->rest_values[at * row->column_count + c.column] = c.value;
      else kept.push_back(c);
    }
  }
  row->cells = std::move(kept);
}

}  // namespace syncline
