// Previews, explanations and differences, for the SQL functions in C. Nothing here throws into C.
#include <string>
#include <vector>

#include "pg_ext/pg_decide.h"
#include "syncline/explain.h"

namespace syncline::pg {

namespace {

Status explain(uint32_t number, const Value& given, void* target) {
  PgPort port(false);
  SiteState site;
  std::vector<TableInfo> tables;
  SYNCLINE_TRY(port.load_site(&site));
  SYNCLINE_TRY(port.load_tables(&tables));
  for (const TableInfo& table : tables) {
    if (table.number != number) continue;
    Arena arena;
    std::vector<Value> key;
    SYNCLINE_TRY(key_from_argument(table, given, &arena, &key));
    const RowKey row_key(key);
    RowBatch batch;
    SYNCLINE_TRY(port.fetch(table, std::span<const RowKey>(&row_key, 1), &batch));
    RowState row;
    SYNCLINE_TRY(load_row(batch.rows.at(0), table, &row));
    std::vector<ExplainedCell> cells;
    explain_row(table, row, site.sites, &cells);
    for (const ExplainedCell& cell : cells) {
      SYNCLINE_TRY(put_row(target, {cell.column, cell.value, cell.site,
                                cell.seq == 0 ? "" : std::to_string(cell.seq),
                                time_text(hlc_to_ms(cell.hlc)), cell.actor, cell.rule,
                                cell.lost}));
    }
  }
  return port.finish();
}

}  // namespace

}  // namespace syncline::pg

using namespace syncline;
using namespace syncline::pg;

void slb_preview(SlBytes id, void* target, SlStatus* status) {
  bounded(status, [&]() -> Status {
    SlDecide call = {};
    call.id = id;
    Decider decider(call);
    std::vector<PreviewLine> lines;
    SYNCLINE_TRY(decider.load());
    SYNCLINE_TRY(decider.preview(&lines));
    for (const PreviewLine& line : lines) {
      SYNCLINE_TRY(put_row(target, {line.choice, line.value, line.note}));
    }
    return {};
  });
}

void slb_explain(uint32_t table, const SlValue* key, void* target, SlStatus* status) {
  bounded(status, [&] { return explain(table, *reinterpret_cast<const Value*>(key), target); });
}

SlBytes slb_conflict_diff(SlBytes id, SlBytes format_name, SlStatus* status) {
  static std::string out;
  bounded(status, [&]() -> Status {
    DiffFormat format;
    SYNCLINE_TRY(diff_format_from_name(view(format_name), &format));
    StoredConflict conflict;
    SYNCLINE_TRY(load_conflict(view(id), &conflict));
    out = conflict_diff(conflict.text, format);
    return {};
  });
  return bytes(out);
}
