// Row state: what is shown, and how it is stored. Format of PackedRow::cells:
//
//   cells     := format:u8 flags:u8 [rest] exceptions rest_values [notes]
//   format    := 1
//   flags     := bit 0: a value that is not listed is what the base row shows (else it is absent)
//                bit 1: notes follow
//   rest      := count:varint version*            present iff kPackedMany
//   version   := site:varint seq_dead:varint hlc:zigzag     seq_dead = seq * 2 + dead,
//                                                           hlc as difference to PackedRow::hlc
//   exceptions:= count:varint (column:varint version value)*
//   rest_values := (count:varint (column:varint value)*)*   one list for each version of rest
//   value     := as append_value
//   notes     := count:varint (column:varint site:varint seq:varint note:bytes)*
//                                                  column = 0 for the row, else number + 1
//
// Empty cells stand for: one version for the whole row, every value in the base row.
#include "syncline/row_state.h"

#include <algorithm>
#include <tuple>

#include "syncline/codec.h"
#include "syncline/limits.h"

namespace syncline {
namespace {

constexpr uint8_t kFormat = 1;
constexpr uint8_t kUnlistedIsSame = 1;
constexpr uint8_t kHasNotes = 2;

void append_version(std::string* out, const Version& v, Hlc hlc_base) {
  append_varint(out, v.site);
  append_varint(out, v.seq * 2 + (v.dead ? 1 : 0));
  append_zigzag(out, static_cast<int64_t>(v.hlc - hlc_base));
}

bool read_version(ByteReader* in, Hlc hlc_base, Version* out) {
  uint64_t site = 0, seq_dead = 0;
  int64_t hlc = 0;
  if (!in->varint(&site) || !in->varint(&seq_dead) || !in->zigzag(&hlc)) return false;
  if (site > limits::sites_max) return false;
  out->site = static_cast<SiteIndex>(site);
  out->seq = seq_dead / 2;
  out->dead = (seq_dead & 1) != 0;
  out->hlc = hlc_base + static_cast<uint64_t>(hlc);
  return true;
}

bool read_one_value(ByteReader* in, Value* out) {
  std::string_view rest = in->rest();
  const size_t before = rest.size();
  if (!read_value(&rest, out).ok()) return false;
  std::string_view skipped;
  return in->view(before - rest.size(), &skipped);
}

Status damaged() {
  return Status(StatusCode::corrupt_input, "the stored state of a row is damaged",
                "run sync_check()");
}

// What pack_row leaves out, and what stands for it.
class ValuePacker {
 public:
  ValuePacker(const TableInfo& table, const ShownRow* shown, bool stored)
      : table_(table), shown_(shown), stored_(stored) {}

  // The value as stored: Value::same() if the base row shows it.
  Value packed(ColumnNumber column, const Value& value) const {
    if (!stored_ || shown_ == nullptr || !table_.columns[column].present) return value;
    // Absent: a version that did not know the column, where the base row shows its default.
    return value.identical(shown_->values[column]) ? Value::same() : value;
  }
  bool unlisted(const Value& value) const {
    return value.is(stored_ ? ValueKind::same : ValueKind::absent);
  }

 private:
  const TableInfo& table_;
  const ShownRow* shown_;
  bool stored_;
};

// The versions of one cell and their values, whether they stand in `rest` or as exceptions.
struct CellView {
  const RowState& row;
  ColumnNumber column;
  std::span<const CellVersion> exceptions;

  size_t size() const { return exceptions.empty() ? row.rest.size() : exceptions.size(); }
  const Version& version(size_t i) const {
    return exceptions.empty() ? row.rest[i] : exceptions[i].version;
  }
  const Value& value(size_t i) const {
    return exceptions.empty() ? row.rest_values[i * row.column_count + column]
                              : exceptions[i].value;
  }
};

struct Extremes {
  const Version* live = nullptr;
  const Version* dead = nullptr;

  void see(const Version& v, const SiteTable& sites) {
    const Version*& best = v.dead ? dead : live;
    if (best == nullptr || compare_versions(*best, v, sites) < 0) best = &v;
  }
};

bool note_before(const VersionNote& a, const VersionNote& b) {
  return std::tie(a.column, a.site, a.seq) < std::tie(b.column, b.site, b.seq);
}

}  // namespace

bool row_lives(const RowState& row, const SiteTable& sites, OnDelete on_delete) {
  Extremes extremes;
  for (const Version& v : row.rest) extremes.see(v, sites);
  for (const CellVersion& c : row.cells) extremes.see(c.version, sites);
  if (extremes.live == nullptr) return false;
  if (extremes.dead == nullptr || on_delete == OnDelete::update_wins) return true;
  if (on_delete == OnDelete::delete_wins) return false;
  return compare_versions(*extremes.live, *extremes.dead, sites) > 0;
}

void RowState::clear() {
  rest.clear();
  rest_values.clear();
  cells.clear();
  notes.clear();
  context = 0;
  held = kept = adjusted = false;
}

void RowState::write_all(const Version& version, std::span<const Value> values) {
  rest.assign(1, version);
  rest_values.assign(values.begin(), values.end());
  rest_values.resize(column_count);
  cells.clear();
  notes.clear();
}

void RowState::write_cell(ColumnNumber column, const Version& version, const Value& value) {
  auto range = std::equal_range(
      cells.begin(), cells.end(), CellVersion{column, {}, {}},
      [](const CellVersion& a, const CellVersion& b) { return a.column < b.column; });
  auto at = cells.erase(range.first, range.second);
  if (rest.size() == 1 && rest[0].same_dot(version)) {
    rest_values[column] = value;
    return;
  }
  cells.insert(at, CellVersion{column, version, value});
}

std::span<const CellVersion> RowState::exceptions(ColumnNumber column) const {
  auto range = std::equal_range(
      cells.begin(), cells.end(), CellVersion{column, {}, {}},
      [](const CellVersion& a, const CellVersion& b) { return a.column < b.column; });
  return {range.first, range.second};
}

bool RowState::holds(ColumnNumber column, SiteIndex site, uint64_t seq) const {
  const auto same = [&](const Version& v) { return v.site == site && v.seq == seq; };
  const auto in_cell = [&](const CellVersion& c) { return same(c.version); };
  if (column == kRowNote) {
    return std::any_of(rest.begin(), rest.end(), same) ||
           std::any_of(cells.begin(), cells.end(), in_cell);
  }
  const auto own = exceptions(column);
  return own.empty() ? std::any_of(rest.begin(), rest.end(), same)
                     : std::any_of(own.begin(), own.end(), in_cell);
}

std::string_view RowState::note(ColumnNumber column, const Version& version) const {
  if (notes.empty()) return {};
  const VersionNote wanted{column, version.site, version.seq, {}};
  const auto at = std::lower_bound(notes.begin(), notes.end(), wanted, note_before);
  return at != notes.end() && !note_before(wanted, *at) ? at->bytes : std::string_view();
}

void RowState::set_note(ColumnNumber column, const Version& version, std::string_view bytes) {
  const VersionNote wanted{column, version.site, version.seq, bytes};
  auto at = std::lower_bound(notes.begin(), notes.end(), wanted, note_before);
  if (at != notes.end() && !note_before(wanted, *at)) at = notes.erase(at);
  if (!bytes.empty()) notes.insert(at, wanted);
}

void RowState::drop_stale_notes() {
  std::erase_if(notes, [this](const VersionNote& n) { return !holds(n.column, n.site, n.seq); });
}

void RowState::cell(ColumnNumber column, std::vector<NotedVersion>* out) const {
  out->clear();
  const CellView view{*this, column, exceptions(column)};
  for (size_t i = 0; i < view.size(); ++i) {
    out->push_back({view.version(i), view.value(i), note(column, view.version(i))});
  }
}

namespace {

// Makes one value of a cell's concurrent live versions, if its policy is another than last_writer.
void show_by_policy(const RowState& row, ColumnNumber column, const ColumnInfo& info,
                    const SiteTable& sites, ShownRow* out) {
  std::vector<NotedVersion> versions;
  row.cell(column, &versions);
  std::erase_if(versions, [](const NotedVersion& v) { return v.version.dead; });
  if (versions.size() < 2) return;
  MergeInput input;
  input.kind = info.kind;
  input.versions = versions;
  input.sites = &sites;
  input.array_key = info.policy->array_key;
  MergeResult result;
  resolve_cell(*info.policy, input, &out->arena, &result);
  out->values[column] = result.value;
}

}  // namespace

void show_row(const RowState& row, const TableInfo& table, const SiteTable& sites, ShownRow* out) {
  const ColumnNumber count = row.column_count;
  out->arena.clear();
  if (row.rest.size() == 1 && row.cells.empty()) {  // almost every row
    out->alive = !row.rest[0].dead;
    out->values.assign(row.rest_values.begin(), row.rest_values.end());
    out->versions.assign(count, row.rest[0]);
    return;
  }
  out->alive = row_lives(row, sites, table.on_delete);
  out->values.assign(count, Value());
  out->versions.assign(count, Version());
  for (ColumnNumber c = 0; c < count; ++c) {
    const CellView cell{row, c, row.exceptions(c)};
    size_t best = 0;
    for (size_t i = 1; i < cell.size(); ++i) {
      const Version &a = cell.version(best), &b = cell.version(i);
      const bool better = a.dead != b.dead ? a.dead : compare_versions(a, b, sites) < 0;
      if (better) best = i;
    }
    if (cell.size() == 0) continue;
    out->values[c] = cell.value(best);
    out->versions[c] = cell.version(best);
    if (cell.size() > 1 && table.columns[c].policy_kind() != PolicyKind::last_writer) {
      show_by_policy(row, c, table.columns[c], sites, out);
    }
  }
}

namespace {

void pack_notes(const RowState& row, std::string* out) {
  append_varint(out, row.notes.size());
  for (const VersionNote& note : row.notes) {
    append_varint(out, note.column == kRowNote ? 0 : uint64_t{note.column} + 1);
    append_varint(out, note.site);
    append_varint(out, note.seq);
    append_bytes(out, note.bytes);
  }
}

bool unpack_notes(ByteReader* in, RowState* out) {
  uint64_t count = 0;
  if (!in->varint(&count) || count > limits::notes_per_row_max || count > in->rest().size()) {
    return false;
  }
  out->notes.resize(count);
  for (VersionNote& note : out->notes) {
    uint64_t column = 0, site = 0;
    if (!in->varint(&column) || column > out->column_count || !in->varint(&site) ||
        site > limits::sites_max || !in->varint(&note.seq) ||
        !in->bytes(limits::note_bytes_max, &note.bytes)) {
      return false;
    }
    note.column = column == 0 ? kRowNote : static_cast<ColumnNumber>(column - 1);
    note.site = static_cast<SiteIndex>(site);
  }
  return std::is_sorted(out->notes.begin(), out->notes.end(), note_before);
}

}  // namespace

PackedRow pack_row(const RowState& row, const TableInfo& table, const ShownRow* shown, bool stored,
                   std::string* buffer) {
  const ValuePacker packer(table, shown, stored);
  buffer->clear();
  PackedRow packed;
  packed.context = row.context;
  if (row.held) packed.flags |= kPackedHeld;
  if (row.kept) packed.flags |= kPackedKept;
  if (row.adjusted) packed.flags |= kPackedAdjusted;
  const bool many = row.rest.size() != 1;
  if (many) {
    packed.flags |= kPackedMany;
  } else {
    packed.site = row.rest[0].site;
    packed.seq = row.rest[0].seq;
    packed.hlc = row.rest[0].hlc;
    if (row.rest[0].dead) packed.flags |= kPackedDead;
  }

  bool plain = stored && !many && row.cells.empty() && row.notes.empty();
  std::string lists;
  for (size_t i = 0; i < row.rest.size(); ++i) {
    std::string list;
    uint64_t listed = 0;
    for (ColumnNumber c = 0; c < row.column_count; ++c) {
      if (table.is_key(c)) continue;
      if (!row.cells.empty() && !row.exceptions(c).empty()) continue;
      const Value v = packer.packed(c, row.rest_values[i * row.column_count + c]);
      if (packer.unlisted(v)) continue;
      append_varint(&list, c);
      append_value(&list, v);
      ++listed;
    }
    append_varint(&lists, listed);
    lists += list;
    plain = plain && listed == 0;
  }
  if (plain) return packed;

  buffer->push_back(static_cast<char>(kFormat));
  buffer->push_back(static_cast<char>((stored ? kUnlistedIsSame : 0) |
                                      (row.notes.empty() ? 0 : kHasNotes)));
  if (many) {
    append_varint(buffer, row.rest.size());
    for (const Version& v : row.rest) append_version(buffer, v, packed.hlc);
  }
  append_varint(buffer, row.cells.size());
  for (const CellVersion& c : row.cells) {
    append_varint(buffer, c.column);
    append_version(buffer, c.version, packed.hlc);
    append_value(buffer, packer.packed(c.column, c.value));
  }
  *buffer += lists;
  if (!row.notes.empty()) pack_notes(row, buffer);
  packed.cells = *buffer;
  return packed;
}

Status unpack_row(const PackedRow& packed, ColumnNumber column_count, RowState* out) {
  out->clear();
  out->column_count = column_count;
  out->context = packed.context;
  out->held = (packed.flags & kPackedHeld) != 0;
  out->kept = (packed.flags & kPackedKept) != 0;
  out->adjusted = (packed.flags & kPackedAdjusted) != 0;
  const bool many = (packed.flags & kPackedMany) != 0;
  if (!many) {
    out->rest.push_back({packed.seq, packed.hlc, packed.site, (packed.flags & kPackedDead) != 0});
  }
  if (packed.cells.empty()) {
    if (many) return damaged();
    out->rest_values.assign(column_count, Value::same());
    return {};
  }
  ByteReader in(packed.cells);
  uint8_t format = 0, flags = 0;
  if (!in.byte(&format) || !in.byte(&flags)) return damaged();
  if (format != kFormat) {
    return Status(StatusCode::unsupported_version, "row state has an unknown format",
                  "this database was used by a newer release: install that one");
  }
  uint64_t count = 0;
  if (many) {
    if (!in.varint(&count) || count > limits::versions_per_cell_max) return damaged();
    out->rest.resize(count);
    for (Version& v : out->rest) {
      if (!read_version(&in, packed.hlc, &v)) return damaged();
    }
  }
  if (!in.varint(&count) || count > packed.cells.size()) return damaged();
  out->cells.resize(count);
  for (CellVersion& c : out->cells) {
    uint64_t column = 0;
    if (!in.varint(&column) || column >= column_count ||
        !read_version(&in, packed.hlc, &c.version) || !read_one_value(&in, &c.value)) {
      return damaged();
    }
    c.column = static_cast<ColumnNumber>(column);
  }
  const Value unlisted = (flags & kUnlistedIsSame) != 0 ? Value::same() : Value();
  out->rest_values.assign(out->rest.size() * column_count, unlisted);
  for (size_t i = 0; i < out->rest.size(); ++i) {
    if (!in.varint(&count) || count > column_count) return damaged();
    for (uint64_t n = 0; n < count; ++n) {
      uint64_t column = 0;
      Value value;
      if (!in.varint(&column) || column >= column_count || !read_one_value(&in, &value)) {
        return damaged();
      }
      out->rest_values[i * column_count + column] = value;
    }
  }
  if ((flags & kHasNotes) != 0 && !unpack_notes(&in, out)) return damaged();
  return in.at_end() ? Status() : damaged();
}

void make_baseline(const TableInfo& table, RowState* out) {
  out->clear();
  out->column_count = table.column_count();
  out->rest.push_back(table.baseline);
  out->rest_values.assign(out->column_count, Value::same());
  out->context = table.baseline_context;
}

void resolve_same(std::span<const Value> base, RowState* row) {
  const auto shown = [&](ColumnNumber c) { return c < base.size() ? base[c] : Value(); };
  for (CellVersion& c : row->cells) {
    if (c.value.is(ValueKind::same)) c.value = shown(c.column);
  }
  for (size_t i = 0; i < row->rest_values.size(); ++i) {
    Value& value = row->rest_values[i];
    if (value.is(ValueKind::same)) value = shown(static_cast<ColumnNumber>(i % row->column_count));
  }
}

namespace {

bool lacks_value(const TableInfo& table, ColumnNumber column, const Value& value) {
  return value.is(ValueKind::absent) && table.columns[column].present && !table.is_key(column);
}

}  // namespace

bool lacks_values(const TableInfo& table, const RowState& row) {
  for (size_t i = 0; i < row.rest_values.size(); i += row.column_count) {
    for (ColumnNumber c = 0; c < row.column_count; ++c) {
      if (lacks_value(table, c, row.rest_values[i + c]) && row.exceptions(c).empty()) return true;
    }
  }
  return std::any_of(row.cells.begin(), row.cells.end(), [&](const CellVersion& cell) {
    return lacks_value(table, cell.column, cell.value);
  });
}

void fill_missing(const TableInfo& table, RowState* row) {
  for (size_t i = 0; i < row->rest_values.size(); i += row->column_count) {
    for (ColumnNumber c = 0; c < row->column_count; ++c) {
      Value& value = row->rest_values[i + c];
      if (lacks_value(table, c, value) && row->exceptions(c).empty()) {
        value = table.columns[c].missing;
      }
    }
  }
  for (CellVersion& cell : row->cells) {
    if (lacks_value(table, cell.column, cell.value)) {
      cell.value = table.columns[cell.column].missing;
    }
  }
}

void resolve_values(const TableInfo& table, std::span<const Value> base, RowState* row) {
  if (!base.empty()) resolve_same(base, row);
  fill_missing(table, row);
}

}  // namespace syncline
