// Folding one row's log entries into its state. See fold.h for the rules.
#include "syncline/fold.h"

#include <algorithm>

namespace syncline {
namespace {

class Folder {
 public:
  Folder(const FoldInput& input, const TableInfo& table, const SiteTable& sites, RowState* row)
      : input_(input), table_(table), sites_(sites), row_(*row) {}

  void run() {
    for (const LogEvent& event : input_.events) {
      if (event.mask == kMaskAll) {
        write_all(event, false);
      } else {
        write_columns(event);
      }
    }
    if (input_.events.empty()) return;
    // The base table has the last word on existence.
    const LogEvent& last = input_.events.back();
    if (input_.exists ? !alive() : !row_is_tombstone()) write_all(last, !input_.exists);
    if (input_.exists) row_.held = false;
  }

 private:
  // Never sorts before what it replaces, whatever the clock did.
  static Hlc raised(Hlc hlc, const Version& replaced, SiteIndex self) {
    return std::max(hlc, replaced.hlc + (replaced.site == self ? 0 : 1));
  }

  Version version_over_row(const LogEvent& event, bool dead) const {
    Version v{event.seq, event.hlc, input_.self, dead};
    for (const Version& r : row_.rest) v.hlc = raised(v.hlc, r, v.site);
    for (const CellVersion& c : row_.cells) v.hlc = raised(v.hlc, c.version, v.site);
    return v;
  }

  void write_all(const LogEvent& event, bool dead) {
    const Version v = version_over_row(event, dead);
    std::vector<Value> values(row_.column_count, Value::same());
    if (dead) {
      values.assign(row_.column_count, Value());
      std::copy_n(input_.image.begin(), std::min(input_.image.size(), values.size()),
                  values.begin());
    }
    if (!row_.held) {
      keep_parked(&values);
      row_.write_all(v, values);
    } else {
      stand_beside(v, values);
    }
  }

  // A value of a column that the base table lacks stays what it was: the writer could not see it.
  void keep_parked(std::vector<Value>* values) const {
    ShownRow shown;
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      if (table_.columns[c].present || table_.is_key(c)) continue;
      if (shown.values.empty()) show_row(row_, sites_, table_.on_delete, &shown);
      if (!shown.values.empty()) (*values)[c] = shown.values[c];
    }
  }

  // Over a held row: its writer did not see what is held, so nothing held is superseded. What an
  // earlier event of this fold put beside it is.
  void stand_beside(const Version& v, const std::vector<Value>& values) {
    const auto mine = [&](const Version& x) { return x.site == v.site && x.seq >= first_seq(); };
    for (size_t i = row_.rest.size(); i-- > 0;) {
      if (!mine(row_.rest[i])) continue;
      const auto at = row_.rest_values.begin() + static_cast<std::ptrdiff_t>(i * row_.column_count);
      row_.rest_values.erase(at, at + row_.column_count);
      row_.rest.erase(row_.rest.begin() + static_cast<std::ptrdiff_t>(i));
    }
    std::erase_if(row_.cells, [&](const CellVersion& c) { return mine(c.version); });
    row_.rest.push_back(v);  // its hlc is above all others: version order holds
    row_.rest_values.insert(row_.rest_values.end(), values.begin(), values.end());
    for (size_t i = 0; i < row_.cells.size(); ++i) {
      const ColumnNumber column = row_.cells[i].column;
      if (i + 1 < row_.cells.size() && row_.cells[i + 1].column == column) continue;
      row_.cells.insert(row_.cells.begin() + static_cast<std::ptrdiff_t>(++i),
                        CellVersion{column, v, values[column]});
    }
  }

  uint64_t first_seq() const { return input_.events.front().seq; }

  bool changes(const LogEvent& event, ColumnNumber column) const {
    if (column >= event.columns_known) return true;
    if (column >= kMaskColumns) return (event.mask & kMaskMany) != 0;
    return ((event.mask >> column) & 1) != 0;
  }

  void write_columns(const LogEvent& event) {
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      if (!table_.columns[c].present || table_.is_key(c) || !changes(event, c)) continue;
      Version v{event.seq, event.hlc, input_.self, false};
      const auto exceptions = row_.exceptions(c);
      for (const CellVersion& e : exceptions) v.hlc = raised(v.hlc, e.version, v.site);
      if (exceptions.empty()) {
        for (const Version& r : row_.rest) v.hlc = raised(v.hlc, r, v.site);
      }
      row_.write_cell(c, v, Value::same());
    }
  }

  bool alive() const {
    ShownRow shown;
    show_row(row_, sites_, table_.on_delete, &shown);
    return shown.alive;
  }

  bool row_is_tombstone() const {
    const auto dead = [](const Version& v) { return v.dead; };
    if (row_.held) return false;
    return !row_.rest.empty() && std::all_of(row_.rest.begin(), row_.rest.end(), dead) &&
           std::all_of(row_.cells.begin(), row_.cells.end(),
                       [&](const CellVersion& c) { return dead(c.version); });
  }

  const FoldInput& input_;
  const TableInfo& table_;
  const SiteTable& sites_;
  RowState& row_;
};

}  // namespace

void fold_row(const FoldInput& input, const TableInfo& table, const SiteTable& sites,
              RowState* row) {
  Folder(input, table, sites, row).run();
}

}  // namespace syncline
