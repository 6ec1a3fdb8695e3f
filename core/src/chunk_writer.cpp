// Builds a chunk. Rows are split into streams as they come; `finish` numbers the sites, which is
// possible only when all are known, and puts header and streams together.
#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

#include "chunk_columns.h"
#include "chunk_pack.h"
#include "syncline/chunk.h"
#include "syncline/codec.h"
#include "syncline/limits.h"

namespace syncline {
namespace {

using namespace chunk_format;

struct Note {
  uint64_t column;  // as it travels: 0 the row, else position + 1
  SiteIndex site;
  uint64_t seq;
  std::string bytes;
};

// One table's rows.
struct Section {
  TableSchema schema;
  std::vector<uint8_t> is_key;  // by position
  uint64_t row_count = 0;
  std::vector<ColumnWriter> keys;    // in key order
  std::vector<ColumnWriter> values;  // by position; unused at key columns
  std::string shapes;
  std::unordered_map<std::string, uint64_t> shape_ids;
  uint64_t last_shape_id = 0;
  RunWriter shape_runs;
  RunWriter version_runs;  // SiteIndex * 2 + dead
  std::string seqs;
  std::vector<Hlc> clocks;
  std::string context_ids;
  // Notes by row: sites stand as SiteIndex until they are numbered.
  std::vector<std::vector<Note>> notes;
};

void write_schema(std::string* out, const TableSchema& schema) {
  append_bytes(out, schema.name);
  append_varint(out, schema.columns.size());
  for (const ColumnSchema& column : schema.columns) {
    append_bytes(out, column.name);
    append_bytes(out, column.type);
  }
  append_varint(out, schema.key.size());
  for (uint32_t position : schema.key)
    append_varint(out, position);
}

// Clocks repeat: all rows of a statement often share one. So: the distinct ones, then which.
void write_clocks(std::string* out, const std::vector<Hlc>& clocks) {
  std::vector<Hlc> distinct = clocks;
  std::sort(distinct.begin(), distinct.end());
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::string stream;
  Hlc before = 0;
  for (Hlc hlc : distinct) {
    append_varint(&stream, hlc - before);
    before = hlc;
  }
  append_bytes(out, stream);
  stream.clear();
  size_t at = 0;
  for (Hlc hlc : clocks) {
    if (distinct[at] != hlc) {
      at = static_cast<size_t>(std::lower_bound(distinct.begin(), distinct.end(), hlc) -
                               distinct.begin());
    }
    append_varint(&stream, at);
  }
  append_bytes(out, stream);
}

}  // namespace

struct ChunkWriter::Impl {
  explicit Impl(const SiteTable* site_table) : sites(site_table) {}

  const SiteTable* sites;
  std::vector<Section> sections;
  std::vector<VersionVector> contexts;
  std::map<std::string, uint64_t> context_ids;  // by binary form
  std::vector<uint64_t> seq_before;             // by SiteIndex: last seq written
  std::vector<uint8_t> site_used;               // by SiteIndex
  uint64_t bytes = 0, rows = 0;
  Status broken;  // the first thing a caller did wrong

  std::vector<SiteIndex> site_order;    // by position in the chunk
  std::vector<uint64_t> site_position;  // by SiteIndex
  std::string scratch;
  std::vector<Value> key_before;
  std::string key_before_bytes;

  void use_site(SiteIndex site) {
    if (site >= site_used.size()) {
      site_used.resize(site + 1);
      seq_before.resize(site + 1);
    }
    site_used[site] = 1;
  }
  void use_sites(const VersionVector& vector) {
    for (SiteIndex site = 0; site < vector.size(); ++site) {
      if (vector.seq(site) != 0) use_site(site);
    }
  }
  void fail(std::string message) {
    if (broken.ok()) broken = Status(StatusCode::internal, "chunk: " + std::move(message));
  }

  void check_key(const Section& section, RowKey key);
  void add_shape(Section* section, const ChunkRow& row, bool with_context);
  void add_version(Section* section, const Version& version);
  void add_value(Section* section, uint32_t column, const Value& value);
  void add_rest_values(Section* section, const RowState& state);
  void add_context(Section* section, const VersionVector& context);
  void add_notes(Section* section, const RowState& state);

  Status check_limits(const ChunkHeader& header) const;
  void number_sites();
  void write_vector(std::string* out, const VersionVector& vector,
                    const VersionVector& reference) const;
  void write_header(std::string* out, const ChunkHeader& header, SiteIndex sender) const;
  void write_melting(std::string* out, const ChunkHeader& header) const;
  void write_notes(std::string* out, const Section& section) const;
  void write_section(std::string* out, const Section& section) const;
};

// A reader refuses keys that do not ascend; better to say it where the mistake is.
void ChunkWriter::Impl::check_key(const Section& section, RowKey key) {
  const bool known = std::all_of(key.begin(), key.end(), [](const Value& value) {
    return value.kind() >= ValueKind::integer && value.kind() <= ValueKind::blob;
  });
  if (!known || key.size() != section.keys.size()) {
    fail("table '" + section.schema.name + "': a key column has no value");
  } else if (section.row_count > 0 && compare_keys(key_before, key) >= 0) {
    fail("table '" + section.schema.name + "': rows are not in key order");
  }
  key_before.assign(key.begin(), key.end());
  size_t size = 0;
  for (const Value& value : key)
    size += value.is_bytes() ? value.bytes().size() : 0;
  key_before_bytes.clear();
  key_before_bytes.reserve(size);  // views below stay valid: no growth
  for (Value& value : key_before) {
    if (!value.is_bytes()) continue;
    const size_t start = key_before_bytes.size();
    key_before_bytes.append(value.bytes());
    const std::string_view copy = std::string_view(key_before_bytes).substr(start);
    value = value.is(ValueKind::text) ? Value::text(copy) : Value::blob(copy);
  }
}

void ChunkWriter::Impl::add_shape(Section* section, const ChunkRow& row, bool with_context) {
  const RowState& state = row.change.state;
  scratch.clear();
  append_varint(&scratch,
                (row.change.whole ? kShapeWhole : 0) | (with_context ? kShapeContext : 0) |
                    (state.notes.empty() ? 0 : kShapeNotes));
  append_varint(&scratch, state.rest.size());
  uint64_t columns = 0;
  for (size_t i = 0; i < state.cells.size(); ++i) {
    columns += i == 0 || state.cells[i].column != state.cells[i - 1].column;
  }
  append_varint(&scratch, columns);
  uint64_t next = 0;
  for (size_t i = 0; i < state.cells.size();) {
    const ColumnNumber column = state.cells[i].column;
    const size_t first = i;
    while (i < state.cells.size() && state.cells[i].column == column)
      ++i;
    append_varint(&scratch, column - next);
    append_varint(&scratch, i - first);
    next = column + 1;
  }
  const auto [at, added] = section->shape_ids.try_emplace(scratch, section->shape_ids.size());
  if (added) {
    section->shapes += scratch;
    bytes += scratch.size();
  }
  if (added || at->second != section->last_shape_id) bytes += 2;
  section->last_shape_id = at->second;
  section->shape_runs.add(at->second);
}

void ChunkWriter::Impl::add_version(Section* section, const Version& version) {
  use_site(version.site);
  section->version_runs.add(uint64_t{version.site} * 2 + version.dead);
  const size_t before = section->seqs.size();
  append_zigzag(&section->seqs, static_cast<int64_t>(version.seq - seq_before[version.site]));
  seq_before[version.site] = version.seq;
  section->clocks.push_back(version.hlc);
  bytes += section->seqs.size() - before + 2;
}

void ChunkWriter::Impl::add_value(Section* section, uint32_t column, const Value& value) {
  if (column >= section->values.size() || section->is_key[column] || value.is(ValueKind::same)) {
    return fail("table '" + section->schema.name + "': a value is unresolved or out of place");
  }
  bytes += section->values[column].add(value);
}

void ChunkWriter::Impl::add_rest_values(Section* section, const RowState& state) {
  const size_t columns = section->schema.columns.size();
  if (state.rest.empty()) return;
  if (state.rest_values.size() != state.rest.size() * columns) {
    return fail("table '" + section->schema.name + "': a row has not one value a column");
  }
  size_t cell = 0;
  for (uint32_t column = 0; column < columns; ++column) {
    if (section->is_key[column]) continue;
    while (cell < state.cells.size() && state.cells[cell].column < column)
      ++cell;
    if (cell < state.cells.size() && state.cells[cell].column == column) continue;
    for (size_t i = 0; i < state.rest.size(); ++i) {
      add_value(section, column, state.rest_values[i * columns + column]);
    }
  }
}

void ChunkWriter::Impl::add_context(Section* section, const VersionVector& context) {
  scratch.clear();
  append_vector(&scratch, context, *sites);
  const auto [at, added] = context_ids.try_emplace(scratch, contexts.size());
  if (added) {
    contexts.push_back(context);
    use_sites(context);
    bytes += scratch.size();
  }
  append_varint(&section->context_ids, at->second);
  bytes += 1;
}

void ChunkWriter::Impl::add_notes(Section* section, const RowState& state) {
  std::vector<Note>& notes = section->notes.emplace_back();
  for (const VersionNote& note : state.notes) {
    use_site(note.site);
    const uint64_t column = note.column == kRowNote ? 0 : uint64_t{note.column} + 1;
    notes.push_back({column, note.site, note.seq, std::string(note.bytes)});
    bytes += note.bytes.size() + 4;
  }
}

Status ChunkWriter::Impl::check_limits(const ChunkHeader& header) const {
  if (rows > limits::rows_per_chunk_max) return over_limit("too many rows");
  if (sections.size() > limits::tables_per_chunk_max) return over_limit("too many tables");
  if (header.exchange.size() != kExchangeBytes) {
    return Status(StatusCode::internal, "chunk: an exchange is named by 8 bytes");
  }
  if (!header.predecessor.empty() && header.predecessor.size() != kHashBytes) {
    return Status(StatusCode::internal, "chunk: a predecessor is named by 16 bytes");
  }
  if (header.token.size() > limits::token_bytes_max) return over_limit("the token is too long");
  for (const Section& section : sections) {
    const TableSchema& schema = section.schema;
    const std::string where = "table '" + schema.name.substr(0, 80) + "': ";
    if (schema.columns.size() > limits::columns_max) return over_limit(where + "too many columns");
    if (schema.key.size() > limits::key_columns_max) {
      return over_limit(where + "too many key columns");
    }
    bool long_name = schema.name.size() > limits::name_bytes_max;
    for (const ColumnSchema& column : schema.columns) {
      long_name |= std::max(column.name.size(), column.type.size()) > limits::name_bytes_max;
    }
    if (long_name) return over_limit(where + "a name is too long");
  }
  return Status();
}

void ChunkWriter::Impl::number_sites() {
  site_order.clear();
  for (SiteIndex site = 0; site < site_used.size(); ++site) {
    if (site_used[site]) site_order.push_back(site);
  }
  std::sort(site_order.begin(), site_order.end(),
            [&](SiteIndex a, SiteIndex b) { return sites->id(a) < sites->id(b); });
  site_position.assign(site_used.size(), 0);
  for (size_t i = 0; i < site_order.size(); ++i)
    site_position[site_order[i]] = i;
}

void ChunkWriter::Impl::write_vector(std::string* out, const VersionVector& vector,
                                     const VersionVector& reference) const {
  std::string entries;
  uint64_t count = 0, next = 0;
  for (uint64_t position = 0; position < site_order.size(); ++position) {
    const VectorEntry entry = vector.entry(site_order[position]);
    const VectorEntry known = reference.entry(site_order[position]);
    if (entry.seq == known.seq && entry.hlc == known.hlc) continue;
    append_varint(&entries, position - next);
    append_varint(&entries, entry.seq);
    if (entry.seq != 0) append_varint(&entries, entry.hlc);
    next = position + 1;
    ++count;
  }
  append_varint(out, count);
  out->append(entries);
}

void ChunkWriter::Impl::write_header(std::string* out, const ChunkHeader& header,
                                     SiteIndex sender) const {
  append_varint(out, site_order.size());
  for (SiteIndex site : site_order) {
    const SiteId& id = sites->id(site);
    out->append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
  }
  append_varint(out, site_position[sender]);
  out->append(header.exchange);
  append_varint(out, header.number);
  out->push_back(header.last ? 1 : 0);
  write_vector(out, header.since, VersionVector());
  write_vector(out, header.start, header.since);
  write_vector(out, header.knowledge, header.start);
  append_bytes(out, header.predecessor);
  append_bytes(out, header.token);
  append_varint(out, rows);
  append_varint(out, contexts.size());
  for (const VersionVector& context : contexts)
    write_vector(out, context, VersionVector());
  append_varint(out, header.settings.size());
  for (const Setting& setting : header.settings) {
    append_bytes(out, setting.key);
    append_bytes(out, setting.value);
    append_varint(out, setting.hlc);
    out->append(reinterpret_cast<const char*>(setting.site.bytes.data()),
                setting.site.bytes.size());
  }
  write_melting(out, header);
}

void ChunkWriter::Impl::write_melting(std::string* out, const ChunkHeader& header) const {
  const bool melted = !header.melted.empty(), heard = !header.acknowledgements.empty();
  out->push_back(static_cast<char>((melted ? kHasMelted : 0) | (header.full ? kHasRanges : 0) |
                                   (heard ? kHasHeard : 0)));
  if (melted) write_vector(out, header.melted, header.since);
  if (header.full) {
    append_varint(out, header.ranges.size());
    for (const KeyRange& range : header.ranges) {
      append_bytes(out, range.table);
      append_bytes(out, range.after);
      out->push_back(range.to_end ? 1 : 0);
      append_bytes(out, range.upto);
      append_varint(out, range.key_types.size());
      for (const std::string& type : range.key_types) append_bytes(out, type);
    }
  }
  if (!heard) return;
  append_varint(out, header.acknowledgements.size());
  for (const auto& [site, vector] : header.acknowledgements) {
    append_varint(out, site_position[site]);
    write_vector(out, vector, header.start);
  }
}

// By site id, so that both engines, which number sites in another order, write the same.
void ChunkWriter::Impl::write_notes(std::string* out, const Section& section) const {
  std::string stream;
  for (std::vector<Note> notes : section.notes) {
    std::sort(notes.begin(), notes.end(), [this](const Note& a, const Note& b) {
      return std::tuple(a.column, site_position[a.site], a.seq) <
             std::tuple(b.column, site_position[b.site], b.seq);
    });
    append_varint(&stream, notes.size());
    for (const Note& note : notes) {
      append_varint(&stream, note.column);
      append_varint(&stream, site_position[note.site]);
      append_varint(&stream, note.seq);
      append_bytes(&stream, note.bytes);
    }
  }
  append_bytes(out, stream);
}

void ChunkWriter::Impl::write_section(std::string* out, const Section& section) const {
  write_schema(out, section.schema);
  append_varint(out, section.row_count);
  for (const ColumnWriter& key : section.keys)
    key.write(out);
  append_varint(out, section.shape_ids.size());
  out->append(section.shapes);
  section.shape_runs.write(out);
  if (!section.version_runs.empty()) {
    section.version_runs.write(
        out, [this](uint64_t value) { return site_position[value / 2] * 2 + (value & 1); });
    append_bytes(out, section.seqs);
    write_clocks(out, section.clocks);
  }
  if (!section.context_ids.empty()) append_bytes(out, section.context_ids);
  if (!section.notes.empty()) write_notes(out, section);
  for (const ColumnWriter& values : section.values)
    values.write(out);
}

ChunkWriter::ChunkWriter(const SiteTable* sites) : impl_(std::make_unique<Impl>(sites)) {}
ChunkWriter::~ChunkWriter() = default;

void ChunkWriter::begin_table(const TableSchema& schema) {
  Impl& impl = *impl_;
  // A table without rows does not travel.
  if (!impl.sections.empty() && impl.sections.back().row_count == 0) impl.sections.pop_back();
  Section& section = impl.sections.emplace_back();
  section.schema = schema;
  section.is_key.resize(schema.columns.size());
  for (uint32_t position : schema.key)
    section.is_key[position] = 1;
  section.keys.resize(schema.key.size());
  section.values.resize(schema.columns.size());
  impl.bytes += schema.name.size() + 16;
  for (const ColumnSchema& column : schema.columns) {
    impl.bytes += column.name.size() + column.type.size() + 8;
  }
}

void ChunkWriter::add_row(const ChunkRow& row) {
  Impl& impl = *impl_;
  Section& section = impl.sections.back();
  impl.check_key(section, row.key);
  if (!impl.broken.ok()) return;
  for (size_t i = 0; i < row.key.size(); ++i)
    impl.bytes += section.keys[i].add(row.key[i]);
  const RowState& state = row.change.state;
  const bool with_context = row.context != nullptr && !row.context->empty();
  impl.add_shape(&section, row, with_context);
  for (const Version& version : state.rest)
    impl.add_version(&section, version);
  for (const CellVersion& cell : state.cells) {
    impl.add_version(&section, cell.version);
    impl.add_value(&section, cell.column, cell.value);
  }
  impl.add_rest_values(&section, state);
  if (with_context) impl.add_context(&section, *row.context);
  if (!state.notes.empty()) impl.add_notes(&section, state);
  ++section.row_count;
  ++impl.rows;
}

uint64_t ChunkWriter::body_bytes() const {
  return impl_->bytes;
}
uint64_t ChunkWriter::row_count() const {
  return impl_->rows;
}

Result<std::string> ChunkWriter::finish(const ChunkHeader& header, Compression compression) {
  // Whatever happens, the writer is empty afterwards.
  const std::unique_ptr<Impl> impl = std::exchange(impl_, std::make_unique<Impl>(impl_->sites));
  if (!impl->sections.empty() && impl->sections.back().row_count == 0) impl->sections.pop_back();
  if (!impl->broken.ok()) return impl->broken;
  Status status = impl->check_limits(header);
  if (!status.ok()) return status;
  const int64_t sender = impl->sites->find(header.sender);
  if (sender < 0) return Status(StatusCode::internal, "chunk: the sender is not a known site");
  impl->use_site(static_cast<SiteIndex>(sender));
  impl->use_sites(header.since);
  impl->use_sites(header.start);
  impl->use_sites(header.knowledge);
  impl->use_sites(header.melted);
  for (const auto& [site, vector] : header.acknowledgements) {
    impl->use_site(site);
    impl->use_sites(vector);
  }
  impl->number_sites();
  if (impl->site_order.size() > limits::sites_max) return over_limit("too many sites");

  std::string body;
  body.reserve(impl->bytes + impl->bytes / 8 + 4096);
  impl->write_header(&body, header, static_cast<SiteIndex>(sender));
  append_varint(&body, impl->sections.size());
  for (const Section& section : impl->sections)
    impl->write_section(&body, section);
  if (body.size() > limits::chunk_body_bytes_max) return over_limit("it is too large");

  std::string bytes(kMagic);
  bytes.push_back(static_cast<char>(kVersion));
  bytes.push_back(0);
  append_varint(&bytes, body.size());
  compression = append_packed(body, compression, &bytes);
  bytes[kMagic.size() + 1] = static_cast<char>(compression);
  if (bytes.size() + kHashBytes > limits::chunk_bytes_max) return over_limit("it is too large");
  bytes += hash128(bytes);
  return bytes;
}

}  // namespace syncline
