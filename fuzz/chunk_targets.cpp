// Targets that read chunks.
#include "fuzz/chunk_maker.hpp"
#include "fuzz/require_that.hpp"
#include "fuzz/sqlite_database.hpp"
#include "fuzz/targets.hpp"
#include "support/read_chunk.hpp"
#include "syncline/chunk.h"

namespace syncline::fuzz {

namespace {

// What is read must be what a writer accepts, and read the same when it comes back.
void read_and_write(const std::string& bytes) {
  SiteTable sites;
  std::unique_ptr<ChunkReader> reader;
  if (!ChunkReader::open(bytes, &sites, &reader).ok()) return;
  ChunkWriter writer(&sites);
  uint64_t rows_read = 0;
  for (;;) {
    const TableSchema* schema = nullptr;
    uint64_t row_count = 0;
    bool more = false;
    if (!reader->next_table(&schema, &row_count, &more).ok()) return;
    if (!more) break;
    writer.begin_table(*schema);
    std::vector<ChunkRow> rows;
    do {
      if (!reader->next_rows(3, &rows).ok()) return;
      for (const ChunkRow& row : rows)
        writer.add_row(row);
      rows_read += rows.size();
    } while (!rows.empty());
  }
  REQUIRE_THAT(rows_read == reader->header().row_count);
  Result<std::string> again = writer.finish(reader->header(), Compression::none);
  if (!again.ok()) std::fprintf(stderr, "%s\n", again.status().message().c_str());
  REQUIRE_THAT(again.ok());
  const Status read = read_all(again.value());
  if (!read.ok()) std::fprintf(stderr, "%s\n", read.message().c_str());
  REQUIRE_THAT(read.ok());
}

Database& database() {
  static auto* only = new Database;  // kept: SQLite is not closed at exit
  return *only;
}

}  // namespace

void chunk(std::string_view input) {
  read_and_write(seal_body(input));
  (void)read_all(input);
}

void chunk_recipe(std::string_view input) {
  read_and_write(chunk_from(input));
}

void apply(std::string_view input) {
  database().apply(seal_body(input));
}

void apply_recipe(std::string_view input) {
  const std::string bytes = chunk_from(input);
  if (!bytes.empty()) database().apply(bytes);
}

void token(std::string_view input) {
  // A token comes back to its maker from a peer: as the option "resume", in hex.
  Database& db = database();
  static const std::string head = "SELECT chunk FROM sync_changes_since('{}','{\"resume\": \"";
  std::string hex;
  for (const char c : input) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[static_cast<uint8_t>(c) >> 4];
    hex += kDigits[static_cast<uint8_t>(c) & 15];
  }
  REQUIRE_THAT(db.sql().value(head + hex + "\"}') LIMIT 1").has_value() ||
               !db.sql().error().empty());
  REQUIRE_THAT(db.content() == db.before());
}

}  // namespace syncline::fuzz
