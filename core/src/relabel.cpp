// Giving versions to another site id: what a database does whose own dots turn out to be used by
// another (docs/merge_rules.md, "Identity").
#include <algorithm>
#include <numeric>
#include <tuple>

#include "syncline/row_state.h"

namespace syncline {

namespace {

__extension__ using Number = unsigned __int128;  // a site id, most significant byte first

Number number_of(const SiteId& id) {
  Number out = 0;
  for (const uint8_t byte : id.bytes)
    out = out << 8 | byte;
  return out;
}

// Fewer random bits could come up twice: then the order is worth less than a new id.
constexpr unsigned kRandomBitsMin = 80;

}  // namespace

SiteId site_id_beside(const SiteId& old, const SiteTable& known, const SiteId& random) {
  Number low = 0, high = ~low;
  const Number at = number_of(old);
  for (SiteIndex s = 0; s < known.size(); ++s) {
    const Number other = number_of(known.id(s));
    if (other < at) low = std::max(low, other);
    if (other > at) high = std::min(high, other);
  }
  if ((high - low) >> kRandomBitsMin == 0) return random;
  Number chosen = low + 1 + number_of(random) % (high - low - 1);
  if (chosen == at) chosen = at + 1 < high ? at + 1 : at - 1;
  SiteId out;
  for (auto byte = out.bytes.rbegin(); byte != out.bytes.rend(); ++byte, chosen >>= 8)
    *byte = static_cast<uint8_t>(chosen);
  return out;
}

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
