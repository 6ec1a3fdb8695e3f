// Reading a whole chunk, for tests of what the reader accepts and refuses.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "syncline/chunk.h"

namespace syncline {

// Reads everything; what was read is thrown away.
inline Status read_all(std::string_view bytes) {
  SiteTable sites;
  std::unique_ptr<ChunkReader> reader;
  SYNCLINE_TRY(ChunkReader::open(bytes, &sites, &reader));
  for (;;) {
    const TableSchema* schema;
    uint64_t row_count;
    bool more;
    SYNCLINE_TRY(reader->next_table(&schema, &row_count, &more));
    if (!more) return Status();
    std::vector<ChunkRow> rows;
    do {
      SYNCLINE_TRY(reader->next_rows(7, &rows));
    } while (!rows.empty());
  }
}

}  // namespace syncline
