// A chunk: a bounded, self-contained, checksummed piece of an exchange in bytes.
//
// docs/wire_format.md has the grammar. A chunk says who made it, for which vector, what the sender
// knew, where in the exchange it stands, and then, table by table in key order, rows as columns of
// values. Both engines emit the same bytes for the same history.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/merge.h"
#include "syncline/settings.h"
#include "syncline/table.h"
#include "syncline/version_vector.h"

namespace syncline {

enum class Compression : uint8_t { none = 0, zstd = 1, lz4 = 2 };

// Rows of a table from one key to another, in the order of encode_key.
struct KeyRange {
  std::string table;
  std::string after;    // exclusive; empty: from the first
  std::string upto;     // inclusive
  bool to_end = false;  // `upto` is empty: to the last
  std::vector<std::string> key_types;  // logical types of the key columns there
};

// What a chunk says before its rows.
struct ChunkHeader {
  SiteId sender;
  std::string exchange;   // 8 random bytes: names the exchange
  uint64_t number = 0;    // of this chunk in it, from 0
  bool last = false;
  VersionVector since;      // the vector it was made for
  VersionVector start;      // what the sender knew when the exchange began
  VersionVector knowledge;  // what the sender knew when it read these rows
  // The exact place before and after this chunk: hash of the token it goes on from (16 bytes, empty
  // for the first), and the token from which the next one goes on (empty for the last).
  std::string predecessor;
  std::string token;
  uint64_t row_count = 0;
  std::vector<Setting> settings;  // all of the sender's, in key order
  VersionVector melted;           // what melted versions of the sender stand for
  // The receiver does not know what is melted: every row goes along, and what is not among the rows
  // of `ranges` is not there.
  bool full = false;
  std::vector<KeyRange> ranges;  // full: what this chunk covers, in the order of its rows
  // What the sender has heard of others; with the last chunk.
  std::vector<std::pair<SiteIndex, VersionVector>> acknowledgements;
};

struct ChunkRow {
  std::span<const Value> key;
  RowChange change;                       // columns are positions in the section's schema
  const VersionVector* context = nullptr;  // what the sender knew of this row beyond `knowledge`
};

// Builds one chunk. Rows are added in the order they will be applied.
//
//   ChunkWriter writer(&sites);
//   writer.begin_table(schema);  writer.add_row(row);  ...
//   Result<std::string> bytes = writer.finish(header, Compression::zstd);
class ChunkWriter {
 public:
  // `sites` translates the indexes used in versions and vectors; it must outlive the writer.
  explicit ChunkWriter(const SiteTable* sites);
  ~ChunkWriter();
  ChunkWriter(const ChunkWriter&) = delete;
  ChunkWriter& operator=(const ChunkWriter&) = delete;

  // Rows that follow are of this table. REQUIRES: not the same table twice in one chunk.
  void begin_table(const TableSchema& schema);
  // Copies what it needs. REQUIRES: begin_table was called; keys ascend and hold no null; columns
  // of `row` are schema positions; no value is Value::same().
  void add_row(const ChunkRow& row);
  // About how many bytes the unpacked body has by now; cheap.
  uint64_t body_bytes() const;
  uint64_t row_count() const;
  // `header.row_count` is not looked at. Errors: limit_exceeded; internal, if a row was not as
  // add_row requires. The writer is empty afterwards.
  Result<std::string> finish(const ChunkHeader& header, Compression compression);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Reads one chunk. Everything is checked as it is read and bounded before memory is taken.
class ChunkReader {
 public:
  // Verifies magic, version and checksum, unpacks, reads the header. Sites are interned in `sites`,
  // which must outlive the reader. Errors: corrupt_input, unsupported_version, limit_exceeded.
  static Status open(std::string_view bytes, SiteTable* sites, std::unique_ptr<ChunkReader>* out);
  ~ChunkReader();

  const ChunkHeader& header() const;
  // Goes to the next table; *more false at the end. Schema views live as long as the reader.
  Status next_table(const TableSchema** schema, uint64_t* row_count, bool* more);
  // Reads up to `count_max` further rows of the current table; none left: empty. The rows, their
  // values and contexts are valid until the next call.
  Status next_rows(size_t count_max, std::vector<ChunkRow>* rows);

 private:
  ChunkReader();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace syncline
