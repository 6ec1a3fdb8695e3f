// Applying, exporting and inspecting, for the SQL functions in C. Nothing here throws into C.
//
// Results live in buffers of this file until the next call, for the C side copies them at once.
#include <string>

#include "peers/postgres_url.h"
#include "peers/sqlstate.h"
#include "pg_ext/pg_port.h"
#include "syncline/apply.h"
#include "syncline/chunk.h"
#include "syncline/conflicts.h"
#include "syncline/exporter.h"
#include "syncline/session.h"

namespace syncline::pg {

namespace {

// A buffer made on first use, so that no constructor runs when the module is loaded.
template <int kUse>
std::string& buffer() {
  static std::string text;
  return text;
}

bool apply_completed = false;  // by the last slb_apply

// Passes the versions of one row on, as lines of sync_inspect and sync_changes.
class Lines {
 public:
  Lines(void* target, const SiteTable& sites) : target_(target), sites_(sites) {}

  Status add_row(const TableInfo& table, RowKey key, const RowState& row) {
    pk_ = key_to_json(table, key);
    for (size_t i = 0; i < row.rest.size(); ++i) {
      SYNCLINE_TRY(add_rest(table, row, i));
    }
    for (const CellVersion& cell : row.cells) {
      const bool shown = !cell.version.dead && !cell.value.is(ValueKind::absent);
      SYNCLINE_TRY(add(table, cell.version, cell.column, shown ? &cell.value : nullptr));
    }
    return {};
  }

 private:
  // A version of the whole row: a line for each value that it came with, or one without a column.
  Status add_rest(const TableInfo& table, const RowState& row, size_t i) {
    bool any = false;
    for (ColumnNumber c = 0; c < row.column_count && !row.rest[i].dead; ++c) {
      const Value& value = row.rest_values[i * row.column_count + c];
      const bool shown = !value.is(ValueKind::absent) && !value.is(ValueKind::same);
      if (!shown || table.is_key(c)) continue;
      SYNCLINE_TRY(add(table, row.rest[i], c, &value));
      any = true;
    }
    return any ? Status() : add(table, row.rest[i], -1, nullptr);
  }

  Status add(const TableInfo& table, const Version& version, int64_t column, const Value* value) {
    value_ = value == nullptr ? std::string() : value_to_json(*value);
    site_ = to_hex(sites_.id(version.site));
    SlChange change = {};
    change.target = target_;
    change.table_name = bytes(table.name);
    change.pk_json = bytes(pk_);
    if (column >= 0) change.column_name = bytes(table.columns[static_cast<size_t>(column)].name);
    if (value != nullptr) change.value_json = bytes(value_);
    change.site = bytes(site_);
    change.seq = static_cast<int64_t>(version.seq);
    change.hlc = static_cast<int64_t>(version.hlc);
    change.ms = static_cast<int64_t>(hlc_to_ms(version.hlc));
    return guard(sl_leaf_put_change, &change);
  }

  void* target_;
  const SiteTable& sites_;
  std::string pk_, value_, site_;
};

TableInfo describe(const TableSchema& schema) {
  TableInfo table;
  table.name = schema.name;
  for (const ColumnSchema& column : schema.columns) {
    ColumnInfo info;
    info.name = column.name;
    info.type = column.type;
    info.kind = logical_kind(column.type);
    table.columns.push_back(std::move(info));
  }
  table.key.assign(schema.key.begin(), schema.key.end());
  return table;
}

Status inspect(std::string_view chunk, void* target) {
  SiteTable sites;
  std::unique_ptr<ChunkReader> reader;
  SYNCLINE_TRY(ChunkReader::open(chunk, &sites, &reader));
  Lines lines(target, sites);
  std::vector<ChunkRow> rows;
  for (;;) {
    const TableSchema* schema = nullptr;
    uint64_t count = 0;
    bool more = false;
    SYNCLINE_TRY(reader->next_table(&schema, &count, &more));
    if (!more) return {};
    const TableInfo table = describe(*schema);
    for (;;) {
      SYNCLINE_TRY(reader->next_rows(limits::rows_per_batch, &rows));
      if (rows.empty()) break;
      for (const ChunkRow& row : rows) {
        SYNCLINE_TRY(lines.add_row(table, row.key, row.change.state));
      }
    }
  }
}

Status list_changes(void* target) {
  PgPort port(false);
  SiteState site;
  std::vector<TableInfo> tables;
  SYNCLINE_TRY(port.load_site(&site));
  SYNCLINE_TRY(port.load_tables(&tables));
  SYNCLINE_TRY(port.open_scan(VersionVector(), ScanStart()));
  Lines lines(target, site.sites);
  RowBatch batch;
  for (;;) {
    SYNCLINE_TRY(port.check_interrupt());
    SYNCLINE_TRY(port.scan(limits::rows_per_batch, &batch));
    if (batch.rows.empty()) return port.finish();
    for (const LocalRow& local : batch.rows) {
      if (!local.has_state) continue;  // a baseline row: nobody has changed it
      RowState row;
      SYNCLINE_TRY(load_row(local, *batch.table, &row));
      SYNCLINE_TRY(lines.add_row(*batch.table, local.key, row));
    }
  }
}

}  // namespace

Status export_next(std::string_view vector, const ExportOptions& options,
                   std::string_view resume_hex, ExportedChunk* out) {
  PgPort port(false);
  port.resume_plan(resume_hex);
  SYNCLINE_TRY(export_chunk(&port, vector, options, resume_hex, out));
  port.keep_plan(out->resume_hex);
  return port.finish();
}

Status apply_now(std::string_view chunk, const ApplyOptions& options, ApplyReport* report) {
  PgPort port(true);
  SYNCLINE_TRY(apply_chunk(&port, chunk, options, report));
  port.keep_list();
  return port.finish();
}

}  // namespace syncline::pg

using namespace syncline;
using namespace syncline::pg;

SlBytes slb_apply(SlBytes chunk, SlBytes options, SlStatus* status) {
  std::string& out = buffer<0>();
  bounded(status, [&]() -> Status {
    ApplyOptions parsed;
    ApplyReport report;
    SYNCLINE_TRY(apply_options_from_json(view(options), &parsed));
    SYNCLINE_TRY(apply_now(view(chunk), parsed, &report));
    apply_completed = report.complete;
    out = report_to_json(report);
    return {};
  });
  return bytes(out);
}

bool slb_apply_completed() { return apply_completed; }

void slb_retry_held(SlStatus* status) {
  bounded(status, [&]() -> Status {
    PgPort port(true);
    ApplyReport report;
    SYNCLINE_TRY(retry_held(&port, {}, &report));
    return port.finish();
  });
}

void slb_export(SlBytes vector, SlBytes options, SlBytes position, SlChunk* chunk, SlBytes* next,
                SlStatus* status) {
  std::string& chunk_bytes = buffer<4>();
  bounded(status, [&]() -> Status {
    ExportOptions parsed;
    std::string resume_hex;
    ExportedChunk out;
    SYNCLINE_TRY(export_options_from_json(view(options), &parsed, &resume_hex));
    if (position.size > 0) resume_hex = view(position);
    SYNCLINE_TRY(export_next(view(vector), parsed, resume_hex, &out));
    chunk_bytes = std::move(out.bytes);
    buffer<1>() = std::move(out.resume_hex);
    chunk->bytes = bytes(chunk_bytes);
    chunk->number = static_cast<int64_t>(out.number);
    chunk->row_count = static_cast<int64_t>(out.row_count);
    chunk->last = out.last;
    *next = bytes(buffer<1>());
    return {};
  });
}

SlBytes slb_hello(SlBytes engine, SlStatus* status) {
  std::string& out = buffer<2>();
  bounded(status, [&]() -> Status {
    PgPort port(false);
    Hello hello;
    SYNCLINE_TRY(make_hello(&port, &hello));
    hello.engine = view(engine);
    hello.version = SYNCLINE_VERSION;
    out = hello_to_json(hello);
    return port.finish();
  });
  return bytes(out);
}

void slb_inspect(SlBytes chunk, void* target, SlStatus* status) {
  bounded(status, [&] { return inspect(view(chunk), target); });
}

void slb_changes(void* target, SlStatus* status) {
  bounded(status, [&] { return list_changes(target); });
}

SlBytes slb_mask_url(SlBytes url) {
  try {
    buffer<3>() = mask_password(view(url));
    return bytes(buffer<3>());
  } catch (...) {
    return {"***", 3};
  }
}

bool slb_is_postgres_url(SlBytes url) { return is_postgres_url(view(url)); }

void slb_check_session_options(SlBytes options, SlStatus* status) {
  bounded(status, [&] {
    SessionOptions parsed;
    return session_options_from_json(view(options), &parsed);
  });
}

const char* slb_sqlstate(int code) { return sqlstate_of(static_cast<StatusCode>(code)); }
