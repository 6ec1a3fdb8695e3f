// Private to chunk_reader.cpp (rows) and chunk_reader_header.cpp (what comes before them): what
// is known of a chunk while it is read.
#pragma once

#include <deque>
#include <unordered_set>

#include "chunk_columns.h"
#include "chunk_pack.h"
#include "syncline/chunk.h"
#include "syncline/codec.h"
#include "syncline/limits.h"

namespace syncline {
namespace chunk_format {

// What rows of one kind have: which cells, with how many versions each.
struct Shape {
  bool whole = false, context = false, notes = false;
  uint32_t rest = 0;
  struct Exception {
    uint32_t column, versions;
  };
  std::vector<Exception> exceptions;
  uint64_t exception_versions = 0;
  uint64_t values = 0;  // Value slots one row takes
  uint64_t rows = 0;
};

}  // namespace chunk_format

struct ChunkReader::Impl {
  using RunReader = chunk_format::RunReader;
  using ColumnReader = chunk_format::ColumnReader;
  using Shape = chunk_format::Shape;

  std::unique_ptr<char[]> body;
  ByteReader reader{std::string_view()};
  uint8_t version = chunk_format::kVersion;
  ChunkHeader header;
  const SiteTable* site_table = nullptr;  // the caller's
  std::vector<SiteIndex> sites;  // by position in the chunk: the index in the caller's table
  bool names_nobody = false;     // who stands first, then: ids ascend
  std::vector<VersionVector> contexts;
  uint64_t vector_bytes = 0;
  uint64_t sections_left = 0, rows_left = 0;  // of the chunk
  std::deque<TableSchema> schemas;            // of all sections so far
  std::unordered_set<std::string_view> tables;

  // The current section.
  TableSchema* schema = nullptr;
  std::vector<uint8_t> is_key;          // by position
  std::vector<uint32_t> value_columns;  // positions that are no key columns
  uint64_t row_count = 0, rows_read = 0;
  std::vector<ColumnReader> keys;    // in key order
  std::vector<ColumnReader> values;  // by position
  std::vector<Shape> shapes;
  RunReader shape_runs, version_runs;
  ByteReader seqs{std::string_view()}, clock_ids{std::string_view()};
  ByteReader context_ids{std::string_view()}, notes{std::string_view()};
  std::vector<Hlc> clocks;
  std::vector<uint64_t> seq_before;  // by position of the site; goes on from section to section

  // The current batch.
  Arena arena;
  std::vector<Value> key_before;  // its bytes are in the body, the arena, or here:
  std::string kept;
  std::vector<Version> cell;
  std::vector<std::pair<uint64_t, uint64_t>> dots;

  Status fault(const std::string& what) const {
    return chunk_format::corrupt("table '" + schema->name + "': " + what);
  }
  Status column_fault(uint32_t column, const char* what) const {
    return fault("column '" + schema->columns[column].name + "': " + what);
  }
  Status row_fault(const char* what) const {
    return fault("row " + std::to_string(rows_read + 1) + ": " + what);
  }

  Status read_sites(SiteTable* table);
  Status read_header();
  Status read_vector(const char* name, const VersionVector& reference, VersionVector* out);
  Status read_contexts();
  Status read_settings();
  Status read_melting();
  Status read_ranges();
  Status read_heard();
  Status read_schema();
  Status read_key_positions();
  Status read_section();
  Status read_shape(Shape* shape);
  Status read_shapes();
  Status read_versions(uint64_t version_count);
  Status read_value_columns();
  Status check_section_end() const;

  Status next_row(const Shape& shape, ChunkRow* row);
  void keep_key();
  Status next_key(ChunkRow* row);
  Status next_notes(RowState* state);
  bool next_version(Version* out);
  Status next_versions(const Shape& shape, RowState* state);
  Status next_rest_values(const Shape& shape, RowState* state);
  bool dots_differ(std::span<const Version> versions);
  bool valid_cell(std::span<const Version> versions);
};

}  // namespace syncline
