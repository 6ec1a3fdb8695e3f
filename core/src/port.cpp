#include "syncline/port.h"

namespace syncline {

Status Port::is_empty(const TableInfo& table, bool* yes) {
  RowBatch any;
  SYNCLINE_TRY(list_keys(table, {}, 1, &any));
  *yes = any.rows.empty();
  return {};
}

Status load_row(const LocalRow& local, const TableInfo& table, RowState* out) {
  if (local.has_state) {
    SYNCLINE_TRY(unpack_row(local.state, table.column_count(), out));
  } else if (local.stored) {
    make_baseline(table, out);
  } else {
    out->clear();
    out->column_count = table.column_count();
  }
  if (local.stored) resolve_same(local.values, out);
  if (local.has_state && !local.state.cells.empty()) fill_missing(table, out);
  return {};
}

}  // namespace syncline
