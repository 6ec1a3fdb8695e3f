// Exporting one chunk: scan rows that may have news, keep those that do, stop at the size wanted.
#include "syncline/exporter.h"

#include <algorithm>
#include <tuple>

#include "json_options.h"
#include "syncline/codec.h"
#include "syncline/horizon.h"
#include "token.h"

namespace syncline {
namespace {

class ChunkExport {
 public:
  ChunkExport(Port* port, const ExportOptions& options) : port_(*port), options_(options) {}

  Status run(std::string_view vector_json, std::string_view resume_hex, ExportedChunk* out) {
    SYNCLINE_TRY(port_.load_site(&site_));
    SYNCLINE_TRY(port_.load_tables(&tables_));
    SYNCLINE_TRY(vector_from_json(vector_json, &site_.sites, &since_));
    SYNCLINE_TRY(check_own_entry());
    SYNCLINE_TRY(check_whole());
    SYNCLINE_TRY(begin(resume_hex));

    ChunkWriter writer(&site_.sites);
    SYNCLINE_TRY(fill(&writer));
    if (last_) SYNCLINE_TRY(load_heard());
    ChunkHeader header = make_header();
    header.row_count = writer.row_count();
    const Compression compression = options_.compression.value_or(Compression::zstd);
    Result<std::string> bytes = writer.finish(header, compression);
    if (!bytes.ok()) return bytes.status();
    out->bytes = std::move(bytes.value());
    out->number = header.number;
    out->row_count = header.row_count;
    out->last = header.last;
    out->resume_hex = bytes_to_hex(header.token);
    return {};
  }

 private:
  Status check_own_entry() {
    const VectorEntry own = since_.entry(site_.self);
    if (own.seq == 0) return {};
    bool yes = false;
    SYNCLINE_TRY(port_.recognises(own, &yes));
    if (yes) return {};
    return Status(StatusCode::identity,
                  "the vector claims change " + std::to_string(own.seq) +
                      " of this database's site id, but this database has not made it: it is a "
                      "copy, or was restored from a backup",
                  "call sync_new_identity(), then synchronise again");
  }

  // A site that has taken over a part of what another melted says too little about the rest.
  Status check_whole() const {
    if (site_.melted.covered_by(site_.knowledge)) return {};
    return Status(StatusCode::refused,
                  "this database is in the middle of its first exchange with a site that has "
                  "dropped old metadata",
                  "synchronise with that site until it is complete, then with others");
  }

  // A hash over the order in which tables are sent.
  std::string table_order() const {
    std::vector<std::pair<uint32_t, std::string>> order;
    for (const TableInfo& table : tables_) order.emplace_back(table.rank, table.name);
    std::sort(order.begin(), order.end());
    std::string text;
    for (const auto& entry : order) append_bytes(&text, entry.second);
    return hash128(text).substr(0, 8);
  }

  // Goes on from the token if it is ours and its positions still mean what they did.
  Status begin(std::string_view resume_hex) {
    std::string bytes;
    SYNCLINE_TRY(hex_to_bytes(resume_hex, &bytes));
    const std::string order = table_order();
    const bool full = !site_.melted.covered_by(since_);
    if (!bytes.empty() && read_token(bytes, &site_.sites, &from_).ok() &&
        from_.sender == site_.sites.id(site_.self) && from_.order == order &&
        from_.since.covered_by(since_) && from_.start.covered_by(site_.knowledge) &&
        (from_.position.everything || !full)) {
      predecessor_ = hash128(bytes);
    } else {
      from_ = Token();
      from_.sender = site_.sites.id(site_.self);
      append_fixed64(&from_.exchange, site_.random);
      from_.order = order;
      from_.start = site_.knowledge;
      from_.position.everything = full;
    }
    from_.since = since_;
    return {};
  }

  Status fill(ChunkWriter* writer) {
    SYNCLINE_TRY(port_.open_scan(since_, from_.position));
    to_ = from_.position;
    RowBatch batch;
    for (;;) {
      batch.clear();
      SYNCLINE_TRY(port_.check_interrupt());
      SYNCLINE_TRY(port_.scan(limits::rows_per_batch, &batch));
      if (batch.rows.empty()) {
        last_ = true;
        return {};
      }
      for (const LocalRow& local : batch.rows) {
        SYNCLINE_TRY(add_row(*batch.table, local, writer));
        if (writer->body_bytes() < options_.body_bytes_max) continue;
        to_ = {batch.table->rank, batch.table->name, encode_key(local.key),
               from_.position.everything};
        return {};
      }
    }
  }

  Status add_row(const TableInfo& table, const LocalRow& local, ChunkWriter* writer) {
    SYNCLINE_TRY(load_row(local, table, &row_.state));
    const bool full = from_.position.everything;
    if (row_.state.empty()) return {};  // noted once, and gone without trace
    if (!full && !has_news(row_.state, since_)) return {};
    if (&table != table_) {
      table_ = &table;
      table_has_rows_ = false;
      map_columns(table);
    }
    row_.whole = true;
    // Who has dropped the tombstone of a row would not know the rest of it.
    if (!full && !has_mixed(row_.state)) select_news();
    if (!columns_same_) remap();
    if (!table_has_rows_) {
      writer->begin_table(schema_);
      table_has_rows_ = true;
    }
    ChunkRow out;
    out.key = local.key;
    out.context = nullptr;
    const auto context = site_.contexts.find(row_.state.context);
    if (context != site_.contexts.end() && !context->second.covered_by(site_.knowledge)) {
      out.context = &context->second;
    }
    std::swap(out.change, row_);
    writer->add_row(out);
    std::swap(out.change, row_);
    return {};
  }

  static bool has_mixed(const RowState& row) {
    return (row.rest.size() > 1 || !row.cells.empty()) &&
           any_version(row, [](const Version& v) { return v.dead; }) &&
           any_version(row, [](const Version& v) { return !v.dead; });
  }

  void map_columns(const TableInfo& table) {
    schema_ = table.schema();
    columns_.assign(table.column_count(), 0);
    uint32_t position = 0;
    for (ColumnNumber c = 0; c < table.column_count(); ++c) {
      columns_[c] = position;
      if (!table.columns[c].dropped) ++position;
    }
    columns_same_ = position == table.column_count();
  }

  // Keeps the cells with news for the receiver, each with all its versions; if `rest` has news it
  // speaks for every column, so the exceptions all go along. Values that the receiver has do not.
  void select_news() {
    RowState& row = row_.state;
    row_.whole = false;
    for (const Version& v : row.rest) row_.whole = row_.whole || !since_.knows(v);
    if (row_.whole) {
      for (size_t i = 0; i < row.rest.size(); ++i) {
        if (!since_.knows(row.rest[i])) continue;
        for (ColumnNumber c = 0; c < row.column_count; ++c) {
          row.rest_values[i * row.column_count + c] = Value();
        }
      }
    } else {
      row.rest.clear();
      row.rest_values.clear();
      keep_fresh_cells();
    }
    for (CellVersion& c : row.cells) {
      if (since_.knows(c.version)) c.value = Value();
    }
    if (row.notes.empty()) return;
    std::erase_if(row.notes, [this](const VersionNote& n) { return since_.seq(n.site) >= n.seq; });
    row.drop_stale_notes();
  }

  void keep_fresh_cells() {
    std::vector<CellVersion>& cells = row_.state.cells;
    size_t kept = 0;
    for (size_t i = 0; i < cells.size();) {
      size_t end = i;
      bool fresh = false;
      for (; end < cells.size() && cells[end].column == cells[i].column; ++end) {
        fresh = fresh || !since_.knows(cells[end].version);
      }
      for (; i < end; ++i) {
        if (fresh) cells[kept++] = cells[i];
      }
    }
    cells.resize(kept);
  }

  // From column numbers to positions in the schema that travels: dropped columns do not.
  void remap() {
    RowState& row = row_.state;
    const ColumnNumber from = row.column_count;
    const auto to = static_cast<ColumnNumber>(schema_.columns.size());
    std::vector<Value> values(row.rest.size() * to);
    for (size_t i = 0; i < row.rest.size(); ++i) {
      for (ColumnNumber c = 0; c < from; ++c) {
        if (table_->columns[c].dropped) continue;
        values[i * to + columns_[c]] = row.rest_values[i * from + c];
      }
    }
    row.rest_values = std::move(values);
    row.column_count = to;
    std::erase_if(row.cells,
                  [this](const CellVersion& c) { return table_->columns[c.column].dropped; });
    for (CellVersion& c : row.cells) c.column = columns_[c.column];
    std::erase_if(row.notes, [this](const VersionNote& n) {
      return n.column != kRowNote && table_->columns[n.column].dropped;
    });
    for (VersionNote& n : row.notes) {
      if (n.column != kRowNote) n.column = columns_[n.column];
    }
    row.drop_stale_notes();
  }

  // The keys from where this chunk begins to where it ends, table by table.
  std::vector<KeyRange> ranges() const {
    std::vector<const TableInfo*> order;
    for (const TableInfo& table : tables_) order.push_back(&table);
    std::sort(order.begin(), order.end(), [](const TableInfo* a, const TableInfo* b) {
      return std::tie(a->rank, a->name) < std::tie(b->rank, b->name);
    });
    std::vector<KeyRange> out;
    const ScanStart& from = from_.position;
    bool begun = from.table.empty();
    for (const TableInfo* table : order) {
      const bool first = !from.table.empty() && table->name == from.table;
      const bool end = !last_ && table->name == to_.table;
      begun = begun || first;
      if (begun) {
        KeyRange range{table->name, first ? from.key : "", end ? to_.key : "", !end, {}};
        for (const ColumnNumber c : table->key) range.key_types.push_back(table->columns[c].type);
        if (range.to_end || range.after < range.upto) out.push_back(std::move(range));
      }
      if (end) break;
    }
    return out;
  }

  // What a few others are known to have: some speak to each other only through this site. Where
  // there are many, chance chooses, and all have their turn.
  Status load_heard() {
    std::vector<SiteIndex> sites = active_sites(&site_);
    if (sites.size() > limits::heard_sites_max) {
      std::rotate(sites.begin(), sites.begin() + site_.random % sites.size(), sites.end());
      sites.resize(limits::heard_sites_max);
    }
    if (sites.empty()) return {};
    std::vector<Acknowledgement> heard;
    SYNCLINE_TRY(port_.load_acknowledgements(sites, &heard));
    std::sort(heard.begin(), heard.end(), [this](const auto& a, const auto& b) {
      return site_.sites.id(a.site) < site_.sites.id(b.site);
    });
    for (Acknowledgement& ack : heard) heard_.emplace_back(ack.site, std::move(ack.vector));
    return {};
  }

  ChunkHeader make_header() {
    ChunkHeader header;
    header.sender = from_.sender;
    header.exchange = from_.exchange;
    header.number = from_.number;
    header.last = last_;
    header.since = since_;
    header.start = from_.start;
    header.knowledge = site_.knowledge;
    header.predecessor = predecessor_;
    for (const Setting* setting : site_.settings.all()) header.settings.push_back(*setting);
    header.melted = site_.melted;
    header.full = from_.position.everything;
    if (header.full) header.ranges = ranges();
    header.acknowledgements = std::move(heard_);
    if (!last_) {
      Token to = from_;
      to.number = from_.number + 1;
      to.position = to_;
      header.token = write_token(to, site_.sites);
    }
    return header;
  }

  Port& port_;
  const ExportOptions& options_;
  SiteState site_;
  std::vector<TableInfo> tables_;
  VersionVector since_;
  Token from_;
  std::string predecessor_;
  ScanStart to_;
  bool last_ = false;

  const TableInfo* table_ = nullptr;
  bool table_has_rows_ = false;
  TableSchema schema_;
  std::vector<uint32_t> columns_;
  bool columns_same_ = true;
  RowChange row_;
  std::vector<std::pair<SiteIndex, VersionVector>> heard_;
};

}  // namespace

Status export_options_from_json(std::string_view json, ExportOptions* options,
                                std::string* resume_hex) {
  JsonOptions in("sync_changes_since");
  SYNCLINE_TRY(in.parse(json));
  SYNCLINE_TRY(in.read_export(options));
  SYNCLINE_TRY(in.text("resume", resume_hex, true));
  return in.finish();
}

Status export_chunk(Port* port, std::string_view vector_json, const ExportOptions& options,
                    std::string_view resume_hex, ExportedChunk* out) {
  return ChunkExport(port, options).run(vector_json, resume_hex, out);
}

}  // namespace syncline
