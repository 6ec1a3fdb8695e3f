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
    return any([&](const Version& mine) { return mine.same_dot(v); });
  }
  bool has_melted() const {
    return any([](const Version& v) { return v.melted(); });
  }
  template <typename Test>
  bool any(Test test) const {
    for (size_t i = 0; i < size(); ++i) {
      if (test(version(i))) return true;
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
  Joiner(const Known& here, const Known& there, const SiteTable& sites, bool trace)
      : here_(here),
        there_(there),
        sites_(sites),
        trace_(trace),
        we_know_(here.covers(there.melted)),
        they_know_(there.covers_of(here)) {}

  // (a and b) + (a not known here) + (b not known there), in version order.
  void join(const CellSet& ours, const CellSet& theirs, std::vector<Survivor>* out) const {
    out->clear();
    if (!trace_ || ours.has_melted() || theirs.has_melted()) {
      join_melted(ours, theirs, out);
    } else {
      for (size_t i = 0; i < ours.size(); ++i) {
        const Version& v = ours.version(i);
        if (theirs.has(v) || !there_.has(v)) out->push_back({v, true, i});
      }
      for (size_t i = 0; i < theirs.size(); ++i) {
        const Version& v = theirs.version(i);
        if (!ours.has(v) && !here_.has(v)) out->push_back({v, false, i});
      }
    }
    if (out->size() < 2) return;
    std::sort(out->begin(), out->end(), [this](const Survivor& a, const Survivor& b) {
      return compare_versions(a.version, b.version, sites_) < 0;
    });
  }

 private:
  // The same where one side has forgotten which version stands there, or what stood there.
  void join_melted(const CellSet& ours, const CellSet& theirs, std::vector<Survivor>* out) const {
    const bool melted_there = theirs.has_melted();
    // Theirs may be later than ours: then it takes the place of all that it may stand for.
    const bool replaced = melted_there && !we_know_;
    for (size_t i = 0; i < ours.size(); ++i) {
      const Version& v = ours.version(i);
      if (v.melted()) {
        join_ours(ours, theirs, i, replaced, out);
      } else if (theirs.has(v) || !there_.has(v) ||
                 (melted_there && we_know_ && !ours.has_melted() && there_.melted->knows(v))) {
        out->push_back({v, true, i});
      }
    }
    for (size_t i = 0; i < theirs.size(); ++i) {
      const Version& v = theirs.version(i);
      // What our melted version stood for has to be here by its name when that goes; and so has
      // what stood in a row of which nothing is left here, unless they may not know its delete.
      const bool gives_way = ours.has_melted() && here_.melted == nullptr;
      const bool stood = trace_ ? ours.has_melted() && replaced : v.dead || they_know_;
      const bool unnamed = gives_way || (stood && names(ours, v));
      const bool take = v.melted() ? replaced : !ours.has(v) && (!here_.has(v) || unnamed);
      if (take) out->push_back({v, false, i});
    }
  }

  // Our melted version, the i-th. Where theirs says what it stood for it gets its name back, with
  // the value that is shown here.
  void join_ours(const CellSet& ours, const CellSet& theirs, size_t i, bool replaced,
                 std::vector<Survivor>* out) const {
    if (replaced) return;
    bool named = false;
    for (size_t k = 0; k < theirs.size() && !theirs.has_melted(); ++k) {
      const Version& v = theirs.version(k);
      if (!names(ours, v)) continue;
      out->push_back({v, true, i});
      named = true;
    }
    if (!named && (theirs.has_melted() || !they_know_)) out->push_back({ours.version(i), true, i});
  }

  // May our melted version stand for `v`, a version of theirs?
  bool names(const CellSet& ours, const Version& v) const {
    return here_.melted != nullptr && !v.melted() && here_.melted->knows(v) && here_.has(v) &&
           !ours.has(v);
  }

  const Known& here_;
  const Known& there_;
  const SiteTable& sites_;
  const bool trace_;                // something is known of the row here
  const bool we_know_, they_know_;  // what is melted on the other side
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

uint64_t Known::seq(SiteIndex site) const {
  return std::max(knowledge->seq(site), context == nullptr ? 0 : context->seq(site));
}

bool Known::covers(const VersionVector* vector) const {
  for (SiteIndex site = 0; vector != nullptr && site < vector->size(); ++site) {
    if (vector->seq(site) > seq(site)) return false;
  }
  return true;
}

bool Known::covers_of(const Known& other) const {
  const VersionVector* vector = other.melted;
  for (SiteIndex site = 0; vector != nullptr && site < vector->size(); ++site) {
    if (std::min(vector->seq(site), other.seq(site)) > seq(site)) return false;
  }
  return true;
}

void join_rows(const RowState& ours, const Known& here, const RowChange& theirs,
               const Known& there, const SiteTable& sites, RowState* out) {
  const Joiner joiner(here, there, sites, !ours.empty());
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
