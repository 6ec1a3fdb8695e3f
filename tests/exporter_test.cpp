// Exporting (exporter.cpp, token.cpp, json_options.cpp): what travels and what does not, in which
// pieces, when a token still counts, and what options may say.
#include <algorithm>

#include "support/two_sites.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

// The keys of all rows in a chunk, as text.
std::vector<std::string> rows_of(const std::string& chunk) {
  SiteTable sites;
  std::unique_ptr<ChunkReader> reader;
  REQUIRE(ChunkReader::open(chunk, &sites, &reader).ok());
  std::vector<std::string> out;
  for (;;) {
    const TableSchema* schema = nullptr;
    uint64_t count = 0;
    bool more = false;
    REQUIRE(reader->next_table(&schema, &count, &more).ok());
    if (!more) return out;
    std::vector<ChunkRow> rows;
    do {
      REQUIRE(reader->next_rows(10, &rows).ok());
      for (const ChunkRow& row : rows) {
        out.push_back(schema->name + describe(row.key) + (row.change.whole ? "" : " in part"));
      }
    } while (!rows.empty());
  }
}

using Rows = std::vector<std::string>;

}  // namespace

TEST_CASE("exporter: an exchange without news is one empty, last chunk", "[exporter][unit]") {
  Database a(1), b(2);
  const ExportedChunk chunk = a.export_for("{}");
  CHECK(chunk.last);
  CHECK(chunk.row_count == 0);
  CHECK(chunk.resume_hex.empty());
  CHECK(b.apply(chunk.bytes).ok());
}

TEST_CASE("exporter: parents travel before children, rows in key order", "[exporter][unit]") {
  Database a(1);
  for (const int64_t id : {3, 1, 2})
    a.add_item(id, "item", id);
  a.add_part(2, "b");
  a.add_part(2, "a");
  CHECK(rows_of(a.export_for("{}").bytes) ==
        Rows{"item(1)", "item(2)", "item(3)", "part(2, 'a')", "part(2, 'b')"});
}

TEST_CASE("exporter: only what the vector lacks travels, a cell at a time", "[exporter][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  a.add_item(2, "two", 20);
  b.pull(&a);
  a.set(2, "name", text("zwei"));
  CHECK(rows_of(a.export_for(b.vector()).bytes) == Rows{"item(2) in part"});
  CHECK(rows_of(b.export_for(a.vector()).bytes).empty());
}

TEST_CASE("exporter: rows that nobody tracked travel once, by their baseline", "[exporter][unit]") {
  Database a(1, false), b(2);
  std::vector<OwnedRow> rows;
  rows.push_back({integer(1), text("old"), integer(10), integer(0)});
  a.port.enable(item_rules(), rows);
  CHECK(rows_of(a.export_for(b.vector()).bytes) == Rows{"item(1)"});
  b.pull(&a);
  CHECK(b.shown(1, "name") == OwnedValue(text("old")));
  CHECK(rows_of(a.export_for(b.vector()).bytes).empty());
  b.set(1, "name", text("new"));
  a.pull(&b);
  CHECK(a.shown(1, "name") == OwnedValue(text("new")));
  CHECK(a.conflicts().empty());
}

TEST_CASE("exporter: a relay passes on what it got, and echoes nothing", "[exporter][unit]") {
  Database a(1), b(2), c(3);
  a.add_item(1, "one", 10);
  b.pull(&a);
  CHECK(rows_of(b.export_for(a.vector()).bytes).empty());
  CHECK(rows_of(b.export_for(c.vector()).bytes) == Rows{"item(1)"});
  c.pull(&b);
  CHECK(rows_of(a.export_for(c.vector()).bytes).empty());
}

TEST_CASE("exporter: small chunks cover the same rows, each once", "[exporter][unit]") {
  Database a(1), b(2);
  for (int64_t id = 0; id < 20; ++id)
    a.add_item(id, "item", id);
  Rows seen;
  std::string resume;
  for (uint64_t number = 0;; ++number) {
    const ExportedChunk chunk = a.export_for("{}", resume, 64);
    CHECK(chunk.number == number);
    for (const std::string& row : rows_of(chunk.bytes))
      seen.push_back(row);
    if (chunk.last) break;
    resume = chunk.resume_hex;
  }
  CHECK(seen.size() == 20);
  CHECK(std::set<std::string>(seen.begin(), seen.end()).size() == 20);
}

TEST_CASE("exporter: the same history gives the same bytes but for the exchange's name",
          "[exporter][unit]") {
  Database a(1);
  a.add_item(1, "one", 10);
  Database again = a;
  CHECK(a.export_for("{}").bytes == again.export_for("{}").bytes);
}

TEST_CASE("exporter: a token goes on where it stood, while rows change", "[exporter][unit]") {
  Database a(1), b(2);
  for (int64_t id = 0; id < 4; ++id)
    a.add_item(id, "item", id);
  const ExportedChunk first = a.export_for("{}", {}, 1);
  a.set(0, "n", integer(9));  // behind the token: for the next exchange
  const ExportedChunk second = a.export_for("{}", first.resume_hex, 1 << 20);
  CHECK(rows_of(second.bytes) == Rows{"item(1)", "item(2)", "item(3)"});
  REQUIRE(b.apply(first.bytes).ok());
  REQUIRE(b.apply(second.bytes).ok());
  CHECK(rows_of(a.export_for(b.vector()).bytes).size() == 1);
  b.pull(&a);
  CHECK(b.shown(0, "n") == OwnedValue(integer(9)));
}

TEST_CASE("exporter: a token of another incarnation or table order starts anew",
          "[exporter][unit]") {
  Database a(1);
  for (int64_t id = 0; id < 4; ++id)
    a.add_item(id, "item", id);
  const std::string resume = a.export_for("{}", {}, 1).resume_hex;
  Database restored = a, other_order = a, other(5);
  restored.port.take_identity(site_id(9));
  CHECK(restored.export_for("{}", resume).number == 0);
  other_order.port.enable({{"apple", {{"id", "integer"}}, {0}}, {}, {}, {}, 0, {}});
  CHECK(other_order.export_for("{}", resume).number == 0);
  CHECK(other.export_for("{}", resume).number == 0);
  CHECK(a.export_for("{}", resume).number == 1);
}

TEST_CASE("exporter: a damaged token starts anew, one that is not hex is an error",
          "[exporter][unit]") {
  Database a(1);
  a.add_item(1, "one", 10);
  CHECK(a.export_for("{}", "01ff").number == 0);
  ExportedChunk chunk;
  const Status status = export_chunk(&a.port, "{}", ExportOptions(), "xyz", &chunk);
  CHECK(status.code() == StatusCode::invalid_argument);
}

TEST_CASE("exporter: a vector that knows changes we never made says that we are a copy",
          "[exporter][unit]") {
  Database a(1), b(2);
  a.add_item(1, "one", 10);
  Database restored = a;
  a.add_item(2, "two", 20);
  b.pull(&a);
  ExportedChunk chunk;
  CHECK(export_chunk(&restored.port, b.vector(), ExportOptions(), {}, &chunk).code() ==
        StatusCode::identity);
}

TEST_CASE("exporter: options name what is wrong", "[exporter][unit]") {
  ExportOptions options;
  std::string resume;
  CHECK(export_options_from_json("", &options, &resume).ok());
  CHECK(export_options_from_json(R"({"max_bytes": 1000, "compress": "lz4", "resume": "00"})",
                                 &options, &resume)
            .ok());
  CHECK(options.body_bytes_max == 1000);
  CHECK(options.compression == Compression::lz4);
  CHECK(resume == "00");
  const Status unknown = export_options_from_json(R"({"max_byte": 1})", &options, &resume);
  CHECK(unknown.code() == StatusCode::invalid_argument);
  CHECK(unknown.message().find("max_byte") != std::string::npos);
  CHECK(unknown.hint().find("max_bytes") != std::string::npos);
  CHECK_FALSE(export_options_from_json(R"({"compress": "gzip"})", &options, &resume).ok());
  CHECK_FALSE(export_options_from_json(R"({"max_bytes": -1})", &options, &resume).ok());
  CHECK_FALSE(export_options_from_json("[1]", &options, &resume).ok());
}
