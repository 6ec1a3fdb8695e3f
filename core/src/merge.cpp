// The join, cell by cell. `rest` is one cell that stands for many: it is joined once, and again for
// each column where either side has an exception.
#include "syncline/merge.h"

#include <algorithm>
#include <iterator>
#include <tuple>

namespace syncline {
namespace {

// One side's set of versions for one cell.
struct CellSet {
  const RowState& row;
  std::span<const CellVersion> exceptions;
  bool by_rest;

  static CellSet of(const RowState& row, ColumnNumber column) {
    const auto exceptions = row.exceptions(column);
    return {row, exceptions, exceptions.empty()};
  }
  static CellSet of_rest(const RowState& row) { return {row, {}, true}; }

  size_t size() const { return by_rest ? row.rest.size() : exceptions.size(); }
  const Version& version(size_t i) const {
    return by_rest ? row.rest[i] : exceptions[i].version;
  }
  const Value& value(size_t i, ColumnNumber column) const {
    return by_rest ? row.rest_values[i * row.column_count + column] : exceptions[i].value;
  }
  bool has(const Version& v) const {
    for (size_t i = 0; i < size(); ++i) {
      if (version(i).same_dot(v)) return true;
    }
    return false;
  }
};

// A version that survives the join, and where it stood.
struct Survivor {
  Version version;
  bool from_ours;
  size_t index;
};

class Joiner {
 public:
  Joiner(const Known& here, const Known& there, const SiteTable& sites)
      : here_(here), there_(there), sites_(sites) {}

  // (a and b) + (a not known here) + (b not known there), in version order.
  void join(const CellSet& ours, const CellSet& theirs, std::vector<Survivor>* out) const {
    out->clear();
    for (size_t i = 0; i < ours.size(); ++i) {
      const Version& v = ours.version(i);
      if (theirs.has(v) || !there_.has(v)) out->push_back({v, true, i});
    }
    for (size_t i = 0; i < theirs.size(); ++i) {
      const Version& v = theirs.version(i);
      if (!ours.has(v) && !here_.has(v)) out->push_back({v, false, i});
    }
    if (out->size() < 2) return;
    std::sort(out->begin(), out->end(), [this](const Survivor& a, const Survivor& b) {
      return compare_versions(a.version, b.version, sites_) < 0;
    });
  }

 private:
  const Known& here_;
  const Known& there_;
  const SiteTable& sites_;
};

bool same_set(const std::vector<Survivor>& a, const std::vector<Version>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Survivor& x, const Version& y) { return x.version.same_dot(y); });
}

// The columns that have an exception on either side, ascending.
std::vector<ColumnNumber> exception_columns(const RowState& a, const RowState& b) {
  std::vector<ColumnNumber> columns;
  for (const CellVersion& c : a.cells) columns.push_back(c.column);
  for (const CellVersion& c : b.cells) columns.push_back(c.column);
  std::sort(columns.begin(), columns.end());
  columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
  return columns;
}

// Joins the columns that have exceptions; `out` has its rest already.
void join_exceptions(const RowState& ours, const RowChange& theirs, const Joiner& joiner,
                     RowState* out) {
  std::vector<Survivor> cell;
  for (const ColumnNumber column : exception_columns(ours, theirs.state)) {
    const CellSet a = CellSet::of(ours, column);
    const CellSet b = CellSet::of(theirs.state, column);
    if (!theirs.whole && b.by_rest) {  // this cell did not travel: it stays
      for (const CellVersion& c : a.exceptions) out->cells.push_back(c);
      continue;
    }
    joiner.join(a, b, &cell);
    const bool as_rest = same_set(cell, out->rest);
    for (size_t i = 0; i < cell.size(); ++i) {
      const Survivor& s = cell[i];
      const Value& value = s.from_ours ? a.value(s.index, column) : b.value(s.index, column);
      if (as_rest) {
        out->rest_values[i * out->column_count + column] = value;
      } else {
        out->cells.push_back({column, s.version, value});
      }
    }
  }
}

// A note belongs to its version for good: both sides' are the same where both have one.
void join_notes(const RowState& ours, const RowState& theirs, RowState* out) {
  const auto before = [](const VersionNote& a, const VersionNote& b) {
    return std::tie(a.column, a.site, a.seq) < std::tie(b.column, b.site, b.seq);
  };
  std::vector<VersionNote> sent = theirs.notes;
  std::sort(sent.begin(), sent.end(), before);  // sites have other numbers here
  std::set_union(ours.notes.begin(), ours.notes.end(), sent.begin(), sent.end(),
                 std::back_inserter(out->notes), before);
  out->drop_stale_notes();
}

}  // namespace

void join_rows(const RowState& ours, const Known& here, const RowChange& theirs,
               const Known& there, const SiteTable& sites, RowState* out) {
  const Joiner joiner(here, there, sites);
  out->clear();
  out->column_count = ours.column_count;
  out->context = ours.context;
  out->held = ours.held;
  out->kept = ours.kept;
  out->adjusted = ours.adjusted;
  if (theirs.whole) {
    const CellSet a = CellSet::of_rest(ours), b = CellSet::of_rest(theirs.state);
    std::vector<Survivor> rest;
    joiner.join(a, b, &rest);
    out->rest.reserve(rest.size());
    out->rest_values.reserve(rest.size() * out->column_count);
    for (const Survivor& s : rest) {
      out->rest.push_back(s.version);
      const RowState& from = s.from_ours ? ours : theirs.state;
      const auto values = from.rest_values.begin() +
                          static_cast<std::ptrdiff_t>(s.index * from.column_count);
      out->rest_values.insert(out->rest_values.end(), values, values + from.column_count);
    }
  } else {
    out->rest = ours.rest;
    out->rest_values = ours.rest_values;
  }
  if (!ours.cells.empty() || !theirs.state.cells.empty()) {
    join_exceptions(ours, theirs, joiner, out);
  }
  if (!ours.notes.empty() || !theirs.state.notes.empty()) join_notes(ours, theirs.state, out);
}

bool same_versions(const RowState& a, const RowState& b) {
  const auto same = [](const Version& x, const Version& y) { return x.same_dot(y); };
  return std::equal(a.rest.begin(), a.rest.end(), b.rest.begin(), b.rest.end(), same) &&
         std::equal(a.cells.begin(), a.cells.end(), b.cells.begin(), b.cells.end(),
                    [](const CellVersion& x, const CellVersion& y) {
                      return x.column == y.column && x.version.same_dot(y.version);
                    });
}

bool has_news(const RowState& row, const VersionVector& vector) {
  const auto unknown = [&](const Version& v) { return !vector.knows(v); };
  return std::any_of(row.rest.begin(), row.rest.end(), unknown) ||
         std::any_of(row.cells.begin(), row.cells.end(),
                     [&](const CellVersion& c) { return unknown(c.version); });
}

}  // namespace syncline
