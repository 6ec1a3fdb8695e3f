#include "syncline/port.h"

namespace syncline {

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
  return {};
}

// Until each host has them.
namespace {
Status lacking() { return Status(StatusCode::internal, "this host cannot melt"); }
}  // namespace
Status Port::list_keys(const TableInfo&, std::string_view, size_t, RowBatch*) { return lacking(); }
Status Port::list_states(const TableInfo&, std::string_view, size_t, RowBatch*) {
  return lacking();
}
Status Port::forget(const TableInfo&, std::span<const RowKey>) { return lacking(); }
Status Port::new_dot(const TableInfo&, RowKey, Version*) { return lacking(); }
Status Port::set_baseline(const TableInfo&, const Version&) { return lacking(); }
Status Port::load_acknowledgements(std::span<const SiteIndex>, std::vector<Acknowledgement>*) {
  return {};
}
Status Port::load_melting(MeltingState*) { return lacking(); }
Status Port::save_melting(const SiteState&, const MeltingState&) { return lacking(); }
Status Port::prune(const SiteState&) { return lacking(); }

}  // namespace syncline
