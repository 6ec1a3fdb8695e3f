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
    if (input_.events.empty()) return;
    remember_parked();
    for (const LogEvent& event : input_.events) {
      if (event.mask == kMaskAll) {
        write_all(event, false);
      } else {
        write_columns(event);
      }
    }
    // The base table has the last word on existence.
    const LogEvent& last = input_.events.back();
    if (input_.exists ? !alive() : !row_is_tombstone()) write_all(last, !input_.exists);
    row_.held = row_.held && !input_.exists && alive();
  }

 private:
  // Never sorts before what it replaces, whatever the clock did.
  static Hlc raised(Hlc hlc, const Version& replaced, SiteIndex self) {
    return std::max(hlc, replaced.hlc + (replaced.site == self ? 0 : 1));
  }

  Version version_over_row(const LogEvent& event, bool dead) const {
    Version v{event.seq, event.hlc, input_.self, dead};
    for (const Version& r : row_.rest)
      v.hlc = raised(v.hlc, r, v.site);
    for (const CellVersion& c : row_.cells)
      v.hlc = raised(v.hlc, c.version, v.site);
    return v;
  }

  void write_all(const LogEvent& event, bool dead) {
    const Version v = version_over_row(event, dead);
    std::vector<Value> values(row_.column_count, dead ? Value() : Value::same());
    if (dead) {
      std::copy_n(input_.image.begin(), std::min(input_.image.size(), values.size()),
                  values.begin());
    }
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      if (table_.columns[c].present || table_.is_key(c)) continue;
      values[c] = dead && !parked_.empty() ? parked_[c] : Value();
    }
    if (!row_.held) {
      row_.write_all(v, values);
    } else {
      stand_beside(v, values);
    }
  }

  // What the row shows in columns that the base table lacks is part of a tombstone's image. An
  // insert gives them no value, whatever stood there before.
  void remember_parked() {
    const auto structural =
        std::count_if(input_.events.begin(), input_.events.end(),
                      [](const LogEvent& event) { return event.mask == kMaskAll; });
    const bool any = std::any_of(table_.columns.begin(), table_.columns.end(),
                                 [](const ColumnInfo& column) { return !column.present; });
    if (!any || row_.held || structural > 1 || row_.empty()) return;
    ShownRow shown;
    show_row(row_, sites_, table_.on_delete, &shown);
    parked_ = shown.values;
    for (Value& value : parked_) {  // of a column parked after the row was written
      if (value.is(ValueKind::same)) value = Value();
    }
  }

  // Over a held row: its writer did not see what is held, so nothing held is superseded. What an
  // earlier event of this fold put beside it is.
  void stand_beside(const Version& v, const std::vector<Value>& values) {
    for (size_t i = row_.rest.size(); i-- > 0;) {
      if (!made_here(row_.rest[i])) continue;
      const auto at = row_.rest_values.begin() + static_cast<std::ptrdiff_t>(i * row_.column_count);
      row_.rest_values.erase(at, at + row_.column_count);
      row_.rest.erase(row_.rest.begin() + static_cast<std::ptrdiff_t>(i));
    }
    row_.rest.push_back(v);  // its hlc is above all others: version order holds
    row_.rest_values.insert(row_.rest_values.end(), values.begin(), values.end());
    for (ColumnNumber c = 0; c < row_.column_count; ++c) {
      if (!row_.exceptions(c).empty()) put_beside(c, v, values[c]);
    }
  }

  // The same for one column, which keeps its exceptions unless they come to equal `rest`.
  void put_beside(ColumnNumber column, const Version& v, const Value& value) {
    std::vector<CellVersion> cell(row_.exceptions(column).begin(), row_.exceptions(column).end());
    const bool by_rest = cell.empty();
    for (size_t i = 0; by_rest && i < row_.rest.size(); ++i) {
      cell.push_back({column, row_.rest[i], row_.rest_values[i * row_.column_count + column]});
    }
    std::erase_if(cell, [this](const CellVersion& c) { return made_here(c.version); });
    cell.push_back({column, v, value});
    std::erase_if(row_.cells, [column](const CellVersion& c) { return c.column == column; });
    const bool as_rest =
        std::equal(cell.begin(), cell.end(), row_.rest.begin(), row_.rest.end(),
                   [](const CellVersion& c, const Version& r) { return c.version.same_dot(r); });
    if (as_rest) {
      for (size_t i = 0; i < cell.size(); ++i) {
        row_.rest_values[i * row_.column_count + column] = cell[i].value;
      }
      return;
    }
    const auto at = std::find_if(row_.cells.begin(), row_.cells.end(),
                                 [column](const CellVersion& c) { return c.column > column; });
    row_.cells.insert(at, cell.begin(), cell.end());
  }

  // By an event of this fold.
  bool made_here(const Version& v) const { return v.site == input_.self && v.seq >= first_seq(); }

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
      for (const CellVersion& e : exceptions)
        v.hlc = raised(v.hlc, e.version, v.site);
      if (exceptions.empty()) {
        for (const Version& r : row_.rest)
          v.hlc = raised(v.hlc, r, v.site);
      }
      if (row_.held) {
        put_beside(c, v, Value::same());
      } else {
        row_.write_cell(c, v, Value::same());
      }
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
  std::vector<Value> parked_;  // by column; empty: nothing of them is kept
};

}  // namespace

void fold_row(const FoldInput& input, const TableInfo& table, const SiteTable& sites,
              RowState* row) {
  Folder(input, table, sites, row).run();
}

}  // namespace syncline
