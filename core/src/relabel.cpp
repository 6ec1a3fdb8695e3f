// Giving versions to another site id: what a database does whose own dots turn out to be used by
// another (docs/merge_rules.md, "Identity").
#include <algorithm>
#include <numeric>
#include <tuple>

#include "syncline/row_state.h"

namespace syncline {

bool relabel_versions(const Relabel& relabel, const SiteTable& sites, RowState* row) {
  bool any = false;
  const auto change = [&](Version* v) {
    if (v->site != relabel.from || v->seq <= relabel.after) return;
    v->site = relabel.to;
    v->hlc = std::min(v->hlc, relabel.latest);
    any = true;
  };
  for (Version& v : row->rest)
    change(&v);
  for (CellVersion& c : row->cells)
    change(&c.version);
  if (!any) return false;
  // A policy's note names the old id inside: without it the version counts as an assignment.
  const auto goes = [&](const VersionNote& n) {
    return n.site == relabel.from && n.seq > relabel.after;
  };
  std::erase_if(row->notes,
                [&](const VersionNote& n) { return goes(n) && n.column != kRowNote; });
  for (VersionNote& n : row->notes) {
    if (goes(n)) n.site = relabel.to;
  }
  std::sort(row->notes.begin(), row->notes.end(), [](const VersionNote& a, const VersionNote& b) {
    return std::tie(a.column, a.site, a.seq) < std::tie(b.column, b.site, b.seq);
  });

  const size_t columns = row->column_count;
  std::vector<size_t> order(row->rest.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return compare_versions(row->rest[a], row->rest[b], sites) < 0;
  });
  std::vector<Version> rest;
  std::vector<Value> values;
  for (size_t i : order) {
    rest.push_back(row->rest[i]);
    const auto begin = row->rest_values.begin() + static_cast<std::ptrdiff_t>(i * columns);
    values.insert(values.end(), begin, begin + static_cast<std::ptrdiff_t>(columns));
  }
  row->rest = std::move(rest);
  row->rest_values = std::move(values);
  std::sort(row->cells.begin(), row->cells.end(), [&](const CellVersion& a, const CellVersion& b) {
    if (a.column != b.column) return a.column < b.column;
    return compare_versions(a.version, b.version, sites) < 0;
  });
  return true;
}

}  // namespace syncline
