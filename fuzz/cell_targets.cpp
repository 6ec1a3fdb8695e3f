// Targets around the versions of one row: packed states, notes, merging.
#include <algorithm>

#include "fuzz/feed.hpp"
#include "fuzz/require_that.hpp"
#include "fuzz/targets.hpp"
#include "syncline/cell_merge.h"
#include "syncline/conflicts.h"
#include "syncline/policy.h"
#include "syncline/row_state.h"

namespace syncline::fuzz {

namespace {

constexpr ColumnNumber kColumns = 4;

SiteTable make_sites() {
  SiteTable sites;
  for (uint8_t number = 0; number < 4; ++number) {
    SiteId id;
    id.bytes.fill(static_cast<uint8_t>(7 * number + 1));
    sites.intern(id);
  }
  return sites;
}

TableInfo make_table() {
  TableInfo table;
  table.number = 1;
  table.name = "t";
  const char* const kTypes[] = {"integer", "integer", "json", "text"};
  for (ColumnNumber column = 0; column < kColumns; ++column) {
    ColumnInfo info;
    info.name = "c" + std::to_string(column);
    info.type = kTypes[column];
    info.kind = logical_kind(info.type);
    table.columns.push_back(std::move(info));
  }
  table.key = {0};
  return table;
}

bool same_row(const RowState& a, const RowState& b) {
  const auto same_versions = [](const Version& x, const Version& y) {
    return x.same_dot(y) && x.hlc == y.hlc && x.dead == y.dead;
  };
  const auto same_cells = [&](const CellVersion& x, const CellVersion& y) {
    return x.column == y.column && same_versions(x.version, y.version) &&
           x.value.kind() == y.value.kind();
  };
  return std::equal(a.rest.begin(), a.rest.end(), b.rest.begin(), b.rest.end(), same_versions) &&
         std::equal(a.cells.begin(), a.cells.end(), b.cells.begin(), b.cells.end(), same_cells) &&
         a.notes.size() == b.notes.size() && a.held == b.held && a.context == b.context;
}

}  // namespace

void row_state(std::string_view input) {
  static const SiteTable sites = make_sites();
  static const TableInfo table = make_table();
  Feed feed(input);
  PackedRow packed;
  packed.site = static_cast<SiteIndex>(feed.below(5));
  packed.seq = feed.number();
  packed.hlc = feed.number();
  packed.flags = feed.byte() % 32;
  packed.context = feed.below(3);
  packed.cells = feed.rest();
  RowState row;
  if (!unpack_row(packed, kColumns, &row).ok()) return;
  std::string buffer;
  const PackedRow repacked = pack_row(row, table, nullptr, false, &buffer);
  RowState again;
  REQUIRE_THAT(unpack_row(repacked, kColumns, &again).ok());
  REQUIRE_THAT(same_row(row, again));
  // Rows with sites that are not known are refused by whoever knows the sites.
  const auto known = [&](const Version& v) { return v.site < sites.size(); };
  if (!std::all_of(row.rest.begin(), row.rest.end(), known)) return;
  for (const CellVersion& cell : row.cells) {
    if (!known(cell.version)) return;
  }
  const std::vector<Value> base(kColumns, Value::integer(3));
  resolve_same(base, &row);
  ShownRow shown;
  show_row(row, table, sites, &shown);
  const Value key[] = {Value::integer(1)};
  std::vector<Conflict> conflicts;
  find_conflicts(table, key, row, sites, &conflicts);
  relabel_versions({1, 2, 3}, sites, &row);
}

namespace {

Policy make_policy(uint64_t kind) {
  Policy policy;
  constexpr PolicyKind kKinds[] = {PolicyKind::counter, PolicyKind::union_set, PolicyKind::json,
                                   PolicyKind::text,    PolicyKind::concat,    PolicyKind::max,
                                   PolicyKind::json};
  policy.kind = kKinds[kind % std::size(kKinds)];
  if (kind % std::size(kKinds) == 6) policy.array_key = "id";
  return policy;
}

Value wild_value(Feed* feed) {
  if (feed->byte() < 100) return feed->value();
  return Value::text(feed->bytes(80));
}

}  // namespace

void cell(std::string_view input) {
  static const SiteTable sites = make_sites();
  Feed feed(input);
  const Policy policy = make_policy(feed.byte());
  MergeInput merge;
  merge.kind = static_cast<LogicalKind>(feed.below(4));
  merge.sites = &sites;
  merge.array_key = policy.array_key;
  std::vector<NotedVersion> versions(2 + feed.below(3));
  for (size_t i = 0; i < versions.size(); ++i) {
    versions[i].version.site = static_cast<SiteIndex>(feed.below(4));
    versions[i].version.seq = 1 + feed.below(6);
    versions[i].version.hlc = 10 * i + feed.below(10);
    versions[i].value = wild_value(&feed);
    versions[i].note = feed.bytes(120);
  }
  const auto before = [](const NotedVersion& a, const NotedVersion& b) {
    return compare_versions(a.version, b.version, sites) < 0;
  };
  std::sort(versions.begin(), versions.end(), before);
  merge.versions = versions;
  Arena one, two;
  MergeResult first, second;
  resolve_cell(policy, merge, &one, &first);
  resolve_cell(policy, merge, &two, &second);
  REQUIRE_THAT(first.value.kind() == second.value.kind() && first.lost == second.lost);
  REQUIRE_THAT(!first.value.is_bytes() || first.value.bytes() == second.value.bytes());
  REQUIRE_THAT(first.lost.empty() || first.lost.size() == versions.size());
  // Writing over them all.
  NoteInput write;
  write.kind = merge.kind;
  write.replaced = versions;
  write.write = static_cast<WriteKind>(feed.below(3));
  if (write.write == WriteKind::change) write.before = first.value;
  if (write.write != WriteKind::erase) write.after = wild_value(&feed);
  write.version.site = static_cast<SiteIndex>(feed.below(4));
  write.version.seq = 50;
  write.version.hlc = 1000;
  write.sites = &sites;
  std::string note;
  make_note(policy, write, &note);
  const NotedVersion written[] = {versions.back(), {write.version, write.after, note}};
  if (write.after.is(ValueKind::absent)) return;
  merge.versions = written;
  Arena three;
  MergeResult third;
  resolve_cell(policy, merge, &three, &third);
  (void)note_base(policy, note);
}

}  // namespace syncline::fuzz
