// Applying the first rows of a table: many come without state and find nothing here. They are
// written into the base table and nowhere else, and read as their sender reads them: the table
// takes over its baseline version. docs/merge_rules.md has the rule, under "Rows that were there
// before tracking began".
//
// Until the exchange is complete such a row is known further than this site knows. That is said
// once for all of them, by the context of the baseline: what the sender knew when the exchange
// began, which is known of each of its rows, and covered by our knowledge from the last chunk on.
#include <algorithm>

#include "apply_run.h"
#include "syncline/horizon.h"

namespace syncline {

// Whether there is anything here where the current table's range of a full exchange lies.
Status ApplyRun::probe_range(const TableInfo& table) {
  range_empty_ = false;
  if (ranges_done_ >= header_->ranges.size()) return {};
  const KeyRange& range = header_->ranges[ranges_done_];
  if (range.table != table.name || !converted_columns_.empty()) return {};
  RowBatch first;
  SYNCLINE_TRY(port_.list_keys(table, range.after, 1, &first));
  range_empty_ =
      first.rows.empty() || (!range.to_end && encode_key(first.rows[0].key) > range.upto);
  return {};
}

// Is this the version of rows that nobody has changed since their table was tracked?
bool ApplyRun::is_bare(const RowState& row) {
  return row.rest.size() == 1 && row.cells.empty() && row.notes.empty() && !row.rest[0].dead &&
         (row.rest[0].melted() || row.rest[0].hlc == 0);
}

// A table that is empty here takes over the baseline of the sender's, of which `rows` come first.
Status ApplyRun::adopt_baseline(TableInfo* table, std::span<const ChunkRow> rows) {
  if (!table->present || table->baseline.melted()) return {};
  const auto bare = std::find_if(rows.begin(), rows.end(), [this](const ChunkRow& row) {
    if (row.context != nullptr || !is_bare(row.change.state)) return false;
    const Version& version = row.change.state.rest[0];
    if (version.melted()) return header_->full;
    // Who heard of them after the exchange had begun says nothing yet of all rows.
    return !site_.knowledge.knows(version) && header_->start.knows(version);
  });
  if (bare == rows.end() && !header_->full) return {};
  if (bare != rows.end() && bare->change.state.rest[0].same_dot(table->baseline)) return {};
  bool empty = false;
  SYNCLINE_TRY(port_.is_empty(*table, &empty));
  if (!empty) return {};
  table->baseline =
      bare == rows.end() ? melted_version(&site_.sites) : bare->change.state.rest[0];
  table->baseline_context = 0;
  if (!header_->start.covered_by(knowledge_after_)) {
    table->baseline_context = site_.next_context++;
    update_.contexts_new.emplace_back(table->baseline_context, header_->start);
  }
  wrote_ = true;
  return port_.set_baseline(*table, table->baseline);
}

// May rows of the baseline's version do without state in this chunk, where nothing is here that
// they could meet? Then what a join would give is the row as it came. What is known of it has to be
// what is said of all rows without state: no more than its sender knew, no less than we shall know.
bool ApplyRun::can_fill(const TableInfo& table) const {
  const Version& version = table.baseline;
  if (!table.present || (!version.melted() && site_.knowledge.knows(version))) return false;
  const VersionVector* known = context(table.baseline_context);
  if (known == nullptr ? !header_->knowledge.covered_by(knowledge_after_)
                       : !known->covered_by(header_->knowledge)) {
    return false;
  }
  if (!version.melted()) return true;
  // Theirs stands for something unknown here, and for nothing beyond what is said of it.
  VersionVector all = knowledge_after_;
  if (known != nullptr) all.merge(*known);
  return header_->full && !header_->melted.covered_by(site_.knowledge) &&
         header_->melted.covered_by(all);
}

bool ApplyRun::fills(const TableInfo& table, const ChunkRow& row, const RowChange& theirs,
                     const Work& work) const {
  return can_fill_ && !work.local->has_state && !work.local->stored && row.context == nullptr &&
         theirs.whole && is_bare(theirs.state) && theirs.state.rest[0].same_dot(table.baseline);
}

// A row that came without state comes again, in an exchange that began anew.
bool ApplyRun::repeats(const TableInfo& table, const ChunkRow& row, const RowChange& theirs,
                       const Work& work) const {
  return !header_->full && work.local->stored && !work.local->has_state &&
         row.context == nullptr && theirs.whole && is_bare(theirs.state) &&
         !theirs.state.rest[0].melted() && theirs.state.rest[0].same_dot(table.baseline) &&
         context(table.baseline_context) != nullptr;
}

}  // namespace syncline
