// Versions under a new site id, in row state.
#include <algorithm>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "pg_ext/pg_site.h"
#include "syncline/limits.h"

namespace syncline::pg {

namespace {

Status relabel_batch(const TableInfo& table, const SiteTable& sites, const Relabel& relabel,
                     std::span<const SlBytes> keys) {
  std::vector<SlStateRow> rows(keys.size()), changed;
  SlStateRead read = {table.number, static_cast<uint32_t>(keys.size()), keys.data(), rows.data(),
                      false};
  SYNCLINE_TRY(guard(sl_leaf_state_read, &read));
  std::deque<std::string> cells;
  for (SlStateRow& row : rows) {
    RowState state;
    SYNCLINE_TRY(unpack_row(packed_row(row), table.column_count(), &state));
    if (!relabel_versions(relabel, sites, &state)) continue;
    // Without a shown row every value stays as it is; `stored` only chooses what need not be
    // listed.
    cells.emplace_back();
    const bool stored = (row.flags & (kPackedDead | kPackedHeld)) == 0;
    const PackedRow packed = pack_row(state, table, nullptr, stored, &cells.back());
    row.site = static_cast<int32_t>(packed.site);
    row.hlc = static_cast<int64_t>(packed.hlc);
    row.flags = static_cast<int32_t>(packed.flags);
    row.cells = bytes(packed.cells);
    changed.push_back(row);
  }
  if (changed.empty()) return {};
  SlStateWrite write = {table.number, static_cast<uint32_t>(changed.size()), changed.data()};
  return guard(sl_leaf_state_write, &write);
}

Status relabel_all(const Relabel& relabel, int64_t begin) {
  SiteState site;
  std::vector<TableInfo> tables;
  SYNCLINE_TRY(load_site(&site));
  SYNCLINE_TRY(load_tables(site.settings, &tables));
  for (const TableInfo& table : tables) {
    SlKeysBeyond beyond = {};
    beyond.table = table.number;
    beyond.begin = begin;
    SYNCLINE_TRY(guard(sl_leaf_keys_beyond, &beyond));
    std::span<const SlBytes> keys(beyond.keys, beyond.count);
    while (!keys.empty()) {
      const size_t count = std::min(keys.size(), limits::rows_per_batch);
      SYNCLINE_TRY(relabel_batch(table, site.sites, relabel, keys.first(count)));
      SYNCLINE_TRY(guard(sl_leaf_check_interrupt, nullptr));
      keys = keys.subspan(count);
    }
  }
  return {};
}

Status move_beside(uint8_t* bytes) {
  SiteState site;
  SiteId id;
  SYNCLINE_TRY(load_site(&site));
  std::copy_n(bytes, id.bytes.size(), id.bytes.begin());
  id = site_id_beside(site.sites.id(site.self), site.sites, id);
  std::copy(id.bytes.begin(), id.bytes.end(), bytes);
  return {};
}

}  // namespace

}  // namespace syncline::pg

void slb_id_beside(uint8_t id[16], SlStatus* status) {
  using namespace syncline::pg;
  bounded(status, [&] { return move_beside(id); });
}

void slb_relabel(int32_t from, int64_t after, int32_t to, int64_t latest, int64_t begin,
                 SlStatus* status) {
  using namespace syncline::pg;
  bounded(status, [&] {
    const syncline::Relabel relabel = {
        static_cast<syncline::SiteIndex>(from), static_cast<uint64_t>(after),
        static_cast<syncline::SiteIndex>(to), static_cast<syncline::Hlc>(latest)};
    return relabel_all(relabel, begin);
  });
}
