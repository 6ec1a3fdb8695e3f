// Reads a chunk. `open` verifies and unpacks the whole and reads the header; sections are then cut
// into streams, and rows are put together from cursors over them. Nothing from outside is believed:
// counts are compared with limits and with the bytes that would have to back them before memory is
// taken. A run length backs nothing, so runs are summed up before anything is made of them.
#include <algorithm>
#include <tuple>

#include "chunk_reader_impl.h"

namespace syncline {

using namespace chunk_format;

Status ChunkReader::Impl::read_schema() {
  schema = &schemas.emplace_back();
  std::string_view name, type;
  uint64_t count;
  if (!reader.bytes(limits::name_bytes_max, &name) || name.empty() || !reader.varint(&count)) {
    return corrupt("a table's name is malformed");
  }
  schema->name = name;
  if (!tables.insert(schema->name).second) return fault("it comes twice");
  if (count > limits::columns_max)
    return over_limit("table '" + schema->name + "': too many columns");
  // Two lengths at least for each column.
  const uint64_t count_max = reader.rest().size() / 2;
  if (count == 0 || count > count_max) return fault("its column count cannot be true");
  std::unordered_set<std::string_view> names;
  for (uint64_t i = 0; i < count; ++i) {
    if (!reader.bytes(limits::name_bytes_max, &name) || name.empty() ||
        !reader.bytes(limits::name_bytes_max, &type) || !names.insert(name).second) {
      return fault("its columns are malformed");
    }
    schema->columns.push_back({std::string(name), std::string(type)});
  }
  return read_key_positions();
}

Status ChunkReader::Impl::read_key_positions() {
  uint64_t count;
  if (!reader.varint(&count) || count == 0 || count > schema->columns.size() ||
      count > limits::key_columns_max) {
    return fault("its key is malformed");
  }
  is_key.assign(schema->columns.size(), 0);
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t position;
    if (!reader.varint(&position) || position >= schema->columns.size() || is_key[position]) {
      return fault("its key is malformed");
    }
    is_key[position] = 1;
    schema->key.push_back(static_cast<uint32_t>(position));
  }
  value_columns.clear();
  for (uint32_t column = 0; column < schema->columns.size(); ++column) {
    if (!is_key[column]) value_columns.push_back(column);
  }
  return Status();
}

Status ChunkReader::Impl::read_shape(Shape* shape) {
  uint64_t flags, rest, count, column = 0;
  const uint64_t known = kShapeWhole | kShapeContext | (version > 1 ? kShapeNotes : 0);
  if (!reader.varint(&flags) || flags > known || !reader.varint(&rest) || !reader.varint(&count)) {
    return fault("a row shape is malformed");
  }
  shape->whole = (flags & kShapeWhole) != 0;
  shape->context = (flags & kShapeContext) != 0;
  shape->notes = (flags & kShapeNotes) != 0;
  if (rest > limits::versions_per_cell_max) return fault("a row shape has too many versions");
  if (!shape->whole && rest > 0) return fault("a row in part has versions for the whole");
  if (count > value_columns.size()) return fault("a row shape has too many columns");
  shape->rest = static_cast<uint32_t>(rest);
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t gap, versions;
    if (!reader.varint(&gap) || gap >= schema->columns.size() - column ||
        !reader.varint(&versions) || is_key[column + gap]) {
      return fault("a row shape names a column out of range");
    }
    column += gap;
    if (versions == 0 || versions > limits::versions_per_cell_max) {
      return fault("a row shape has too many or no versions");
    }
    shape->exceptions.push_back({static_cast<uint32_t>(column), static_cast<uint32_t>(versions)});
    shape->exception_versions += versions;
    ++column;
  }
  shape->values = rest * schema->columns.size() + shape->exception_versions;
  if (shape->values > limits::values_per_row_max) {
    return over_limit("table '" + schema->name + "': a row has too many values");
  }
  return Status();
}

Status ChunkReader::Impl::read_shapes() {
  uint64_t count;
  if (!reader.varint(&count) || count == 0 || count > row_count ||
      count > reader.rest().size() / 3) {
    return fault("the count of row shapes cannot be true");
  }
  shapes.clear();
  for (uint64_t i = 0; i < count; ++i)
    SYNCLINE_TRY(read_shape(&shapes.emplace_back()));
  const auto each = [this](uint64_t shape, uint64_t length) {
    shapes[shape].rows += length;
    return true;
  };
  if (!shape_runs.open(&reader, count, row_count, each)) return fault("row shapes are malformed");
  return Status();
}

// Every version takes a byte in `seqs` and one in `clock_ids`: that bounds their number.
Status ChunkReader::Impl::read_versions(uint64_t version_count) {
  clocks.clear();
  seqs = clock_ids = ByteReader(std::string_view());
  if (version_count == 0) return Status();
  const auto each = [](uint64_t, uint64_t) { return true; };
  std::string_view seq_stream, clock_stream, id_stream;
  if (!version_runs.open(&reader, sites.size() * 2, version_count, each) ||
      !reader.bytes(limits::chunk_body_bytes_max, &seq_stream) ||
      seq_stream.size() < version_count ||
      !reader.bytes(limits::chunk_body_bytes_max, &clock_stream) ||
      !reader.bytes(limits::chunk_body_bytes_max, &id_stream) || id_stream.size() < version_count) {
    return fault("versions are malformed");
  }
  Hlc hlc = 0;
  for (ByteReader gaps(clock_stream); !gaps.at_end();) {
    uint64_t gap;
    if (!gaps.varint(&gap) || (gap == 0 && !clocks.empty()) || gap > limits::hlc_max - hlc ||
        clocks.size() == version_count) {
      return fault("clocks are malformed");
    }
    clocks.push_back(hlc += gap);
  }
  seqs = ByteReader(seq_stream);
  clock_ids = ByteReader(id_stream);
  return Status();
}

Status ChunkReader::Impl::read_value_columns() {
  // A column has one value for each version of `rest`, but where it has exceptions.
  uint64_t from_rest = 0;
  std::vector<uint64_t> counts(schema->columns.size(), 0);
  for (const Shape& shape : shapes) {
    from_rest += shape.rows * shape.rest;
    for (const Shape::Exception& exception : shape.exceptions) {
      counts[exception.column] += shape.rows * exception.versions;
      counts[exception.column] -= shape.rows * shape.rest;
    }
  }
  values.assign(schema->columns.size(), ColumnReader());
  for (uint32_t column : value_columns) {
    const uint64_t count = from_rest + counts[column];
    if (count > 0 && !values[column].open(&reader, count, false)) {
      return column_fault(column, "its values are malformed");
    }
  }
  return Status();
}

Status ChunkReader::Impl::read_section() {
  SYNCLINE_TRY(read_schema());
  if (!reader.varint(&row_count) || row_count == 0 || row_count > rows_left ||
      row_count > reader.rest().size()) {
    return fault("its row count cannot be true");
  }
  rows_read = 0;
  key_before.clear();
  keys.assign(schema->key.size(), ColumnReader());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!keys[i].open(&reader, row_count, true)) {
      return column_fault(schema->key[i], "its key values are malformed");
    }
  }
  SYNCLINE_TRY(read_shapes());
  uint64_t version_count = 0, context_count = 0, note_count = 0;
  for (const Shape& shape : shapes) {
    // No overflow: rows are below 2^26, versions of a shape below 2^31, and the sum is kept small.
    version_count += shape.rows * (shape.rest + shape.exception_versions);
    if (version_count > reader.rest().size()) return fault("its version count cannot be true");
    context_count += shape.context ? shape.rows : 0;
    note_count += shape.notes ? shape.rows : 0;
  }
  SYNCLINE_TRY(read_versions(version_count));
  context_ids = ByteReader(std::string_view());
  if (context_count > 0) {
    std::string_view stream;
    if (!reader.bytes(limits::chunk_body_bytes_max, &stream) || stream.size() < context_count) {
      return fault("contexts are malformed");
    }
    context_ids = ByteReader(stream);
  }
  notes = ByteReader(std::string_view());
  if (note_count > 0) {
    std::string_view stream;
    if (!reader.bytes(limits::chunk_body_bytes_max, &stream) || stream.size() < note_count) {
      return fault("notes are malformed");
    }
    notes = ByteReader(stream);
  }
  return read_value_columns();
}

Status ChunkReader::Impl::check_section_end() const {
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!keys[i].at_end()) return column_fault(schema->key[i], "bytes are left over");
  }
  for (uint32_t column : value_columns) {
    if (!values[column].at_end()) return column_fault(column, "bytes are left over");
  }
  if (!seqs.at_end() || !clock_ids.at_end() || !context_ids.at_end() || !notes.at_end()) {
    return fault("bytes of versions, contexts or notes are left over");
  }
  return Status();
}

bool ChunkReader::Impl::next_version(Version* out) {
  const uint64_t run = version_runs.next();
  int64_t difference;
  uint64_t clock;
  if (!seqs.zigzag(&difference) || !clock_ids.varint(&clock) || clock >= clocks.size()) {
    return false;
  }
  uint64_t& seq = seq_before[run / 2];
  seq += static_cast<uint64_t>(difference);
  const bool melted = names_nobody && run / 2 == 0;
  if (melted != (seq == 0) || seq > limits::seq_max) return false;
  if (melted && (clocks[clock] != 0 || (run & 1) != 0)) return false;
  *out = Version{seq, clocks[clock], sites[run / 2], (run & 1) != 0};
  return true;
}

bool ChunkReader::Impl::dots_differ(std::span<const Version> versions) {
  dots.clear();
  for (const Version& version : versions)
    dots.emplace_back(version.site, version.seq);
  std::sort(dots.begin(), dots.end());
  return std::adjacent_find(dots.begin(), dots.end()) == dots.end();
}

bool ChunkReader::Impl::valid_cell(std::span<const Version> versions) {
  for (size_t i = 1; i < versions.size(); ++i) {
    if (compare_versions(versions[i - 1], versions[i], *site_table) >= 0) return false;
  }
  return versions.size() < 2 || dots_differ(versions);
}

Status ChunkReader::Impl::next_versions(const Shape& shape, RowState* state) {
  state->rest.resize(shape.rest);
  for (Version& version : state->rest) {
    if (!next_version(&version)) return row_fault("a version is malformed");
  }
  if (!valid_cell(state->rest)) return row_fault("its versions are not in order");
  state->cells.resize(shape.exception_versions);
  size_t next = 0;
  for (const Shape::Exception& exception : shape.exceptions) {
    cell.clear();
    for (uint32_t i = 0; i < exception.versions; ++i) {
      CellVersion& target = state->cells[next++];
      target.column = exception.column;
      if (!next_version(&target.version)) return row_fault("a version is malformed");
      if (!values[exception.column].next(&arena, &target.value)) {
        return column_fault(exception.column, "a value is malformed");
      }
      cell.push_back(target.version);
    }
    if (!valid_cell(cell)) return row_fault("its versions are not in order");
    if (shape.whole &&
        std::equal(cell.begin(), cell.end(), state->rest.begin(), state->rest.end(),
                   [](const Version& a, const Version& b) { return a.same_dot(b); })) {
      return column_fault(exception.column, "a cell repeats the versions of its row");
    }
  }
  return Status();
}

Status ChunkReader::Impl::next_rest_values(const Shape& shape, RowState* state) {
  const size_t columns = schema->columns.size();
  state->rest_values.assign(shape.rest * columns, Value());
  if (shape.rest == 0) return Status();
  auto exception = shape.exceptions.begin();
  for (uint32_t column : value_columns) {
    if (exception != shape.exceptions.end() && exception->column == column) {
      ++exception;
      continue;
    }
    for (uint32_t i = 0; i < shape.rest; ++i) {
      if (!values[column].next(&arena, &state->rest_values[i * columns + column])) {
        return column_fault(column, "a value is malformed");
      }
    }
  }
  return Status();
}

// The last key's bytes may be in the arena, which is about to be cleared.
void ChunkReader::Impl::keep_key() {
  std::string bytes;
  for (const Value& value : key_before) {
    if (value.is_bytes()) bytes.append(value.bytes());
  }
  kept.swap(bytes);
  std::string_view rest = kept;
  for (Value& value : key_before) {
    if (!value.is_bytes()) continue;
    const std::string_view copy = rest.substr(0, value.bytes().size());
    rest.remove_prefix(copy.size());
    value = value.is(ValueKind::text) ? Value::text(copy) : Value::blob(copy);
  }
}

Status ChunkReader::Impl::next_key(ChunkRow* row) {
  const std::span<Value> key = arena.values(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!keys[i].next(&arena, &key[i]))
      return column_fault(schema->key[i], "a key value is malformed");
  }
  if (rows_read > 0 && compare_keys(key_before, key) >= 0) return row_fault("keys do not ascend");
  key_before.assign(key.begin(), key.end());
  row->key = key;
  return Status();
}

Status ChunkReader::Impl::next_row(const Shape& shape, ChunkRow* row) {
  SYNCLINE_TRY(next_key(row));
  RowState& state = row->change.state;
  state.column_count = static_cast<ColumnNumber>(schema->columns.size());
  state.context = 0;
  state.held = state.kept = state.adjusted = false;
  state.notes.clear();
  row->change.whole = shape.whole;
  SYNCLINE_TRY(next_versions(shape, &state));
  SYNCLINE_TRY(next_rest_values(shape, &state));
  if (shape.notes) SYNCLINE_TRY(next_notes(&state));
  row->context = nullptr;
  if (shape.context) {
    uint64_t id;
    if (!context_ids.varint(&id) || id >= contexts.size()) {
      return row_fault("its context is malformed");
    }
    row->context = &contexts[id];
  }
  ++rows_read;
  return Status();
}

// Notes are of versions that the row has, each once.
Status ChunkReader::Impl::next_notes(RowState* state) {
  uint64_t count;
  if (!notes.varint(&count) || count == 0 || count > limits::notes_per_row_max ||
      count > notes.rest().size()) {
    return row_fault("its notes are malformed");
  }
  uint64_t column_before = 0, site_before = 0, seq_before_it = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t column, site;
    VersionNote note;
    if (!notes.varint(&column) || column > schema->columns.size() || !notes.varint(&site) ||
        site >= sites.size() || !notes.varint(&note.seq) ||
        !notes.bytes(limits::note_bytes_max, &note.bytes)) {
      return row_fault("a note is malformed");
    }
    const auto place = std::tuple(column, site, note.seq);
    if (i > 0 && place <= std::tuple(column_before, site_before, seq_before_it)) {
      return row_fault("its notes are not in order");
    }
    std::tie(column_before, site_before, seq_before_it) = place;
    note.column = column == 0 ? kRowNote : static_cast<ColumnNumber>(column - 1);
    note.site = sites[site];
    if (!state->holds(note.column, note.site, note.seq)) {
      return row_fault("a note is of no version");
    }
    state->notes.push_back(note);
  }
  return Status();
}

ChunkReader::ChunkReader() : impl_(std::make_unique<Impl>()) {}
ChunkReader::~ChunkReader() = default;

const ChunkHeader& ChunkReader::header() const {
  return impl_->header;
}

Status ChunkReader::next_table(const TableSchema** schema, uint64_t* row_count, bool* more) {
  Impl& impl = *impl_;
  // Rows of a table nobody wanted are still read: what is malformed is found.
  for (std::vector<ChunkRow> skipped; impl.rows_read < impl.row_count;) {
    SYNCLINE_TRY(next_rows(limits::rows_per_batch, &skipped));
  }
  *more = impl.sections_left > 0;
  if (!*more) return Status();
  SYNCLINE_TRY(impl.read_section());
  --impl.sections_left;
  impl.rows_left -= impl.row_count;
  if (impl.sections_left == 0 && (impl.rows_left != 0 || !impl.reader.at_end())) {
    return corrupt("rows or bytes follow the last table");
  }
  *schema = impl.schema;
  *row_count = impl.row_count;
  return Status();
}

Status ChunkReader::next_rows(size_t count_max, std::vector<ChunkRow>* rows) {
  // A batch of rows of many versions is cut early: 2^20 values take 16 MiB.
  constexpr uint64_t kValuesMax = 1 << 20;
  Impl& impl = *impl_;
  impl.keep_key();
  impl.arena.clear();
  size_t count = 0;
  uint64_t value_count = 0;
  while (count < count_max && impl.rows_read < impl.row_count && value_count < kValuesMax) {
    const Shape& shape = impl.shapes[impl.shape_runs.next()];
    if (rows->size() == count) rows->emplace_back();
    SYNCLINE_TRY(impl.next_row(shape, &(*rows)[count]));
    value_count += shape.values + impl.keys.size();
    ++count;
  }
  rows->resize(count);
  if (count > 0 && impl.rows_read == impl.row_count) return impl.check_section_end();
  return Status();
}

}  // namespace syncline
