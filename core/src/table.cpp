#include "syncline/table.h"

#include <algorithm>
#include <numeric>

namespace syncline {
namespace {

char fold_case(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return fold_case(x) == fold_case(y); });
}

bool is_gone(const TableInfo&) { return false; }
bool is_gone(const ColumnInfo& column) { return column.dropped; }

template <typename Named>
int64_t find_named(const std::vector<Named>& items, std::string_view name) {
  int64_t alike = -1;
  bool unique = true;
  for (size_t i = 0; i < items.size(); ++i) {
    if (is_gone(items[i])) continue;
    if (items[i].name == name) return static_cast<int64_t>(i);
    if (!equal_ignoring_case(items[i].name, name)) continue;
    unique = alike < 0;
    alike = static_cast<int64_t>(i);
  }
  return unique ? alike : -1;
}

// Edits between two names without regard to ASCII case; two neighbours swapped are one edit
// (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b) {
  const auto same = [&](size_t i, size_t j) { return fold_case(a[i]) == fold_case(b[j]); };
  std::vector<size_t> before(b.size() + 1), row(b.size() + 1), next(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    next[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      next[j + 1] = std::min({row[j] + (same(i, j) ? 0 : 1), row[j + 1] + 1, next[j] + 1});
      if (i > 0 && j > 0 && same(i, j - 1) && same(i - 1, j)) {
        next[j + 1] = std::min(next[j + 1], before[j - 1] + 1);
      }
    }
    before.swap(row);
    row.swap(next);
  }
  return row[b.size()];
}

}  // namespace

void ColumnInfo::set_missing(const Value& value) {
  missing = value;
  missing_bytes = nullptr;
  if (!value.is_bytes()) return;
  missing_bytes = std::make_shared<const std::string>(value.bytes());
  missing = value.is(ValueKind::text) ? Value::text(*missing_bytes) : Value::blob(*missing_bytes);
}

bool TableInfo::is_key(ColumnNumber column) const {
  return std::find(key.begin(), key.end(), column) != key.end();
}

namespace {

template <typename Test>
TableSchema schema_of(const TableInfo& table, Test left_out) {
  TableSchema schema;
  schema.name = table.name;
  std::vector<uint32_t> position(table.columns.size());
  for (size_t i = 0; i < table.columns.size(); ++i) {
    const ColumnInfo& column = table.columns[i];
    if (left_out(column)) continue;
    position[i] = static_cast<uint32_t>(schema.columns.size());
    schema.columns.push_back({column.name, column.type});
  }
  for (ColumnNumber column : table.key)
    schema.key.push_back(position[column]);
  return schema;
}

}  // namespace

TableSchema TableInfo::schema() const {
  return schema_of(*this, [](const ColumnInfo& column) { return column.dropped; });
}

TableSchema TableInfo::schema_here() const {
  return schema_of(*this, [](const ColumnInfo& column) { return !column.present; });
}

int64_t find_table(const std::vector<TableInfo>& tables, std::string_view name) {
  return find_named(tables, name);
}

int64_t find_column(const std::vector<ColumnInfo>& columns, std::string_view name) {
  return find_named(columns, name);
}

std::string lower_name(std::string_view name) {
  std::string out(name);
  std::transform(out.begin(), out.end(), out.begin(), fold_case);
  return out;
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& names) {
  // A third of the letters wrong is a slip of the fingers; more is another word.
  size_t best = std::max<size_t>(name.size() / 3, 1) + 1;
  std::string nearest;
  for (const std::string& candidate : names) {
    const size_t longer = std::max(candidate.size(), name.size());
    if (longer - std::min(candidate.size(), name.size()) >= best) continue;
    const size_t distance = edit_distance(name, candidate);
    // A name of one or two letters resembles anything.
    if (distance >= best || distance >= longer) continue;
    best = distance;
    nearest = candidate;
  }
  return nearest;
}

}  // namespace syncline
