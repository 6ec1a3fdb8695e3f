// Goal: a chunk gives back exactly what was written, and nothing else is taken for a chunk
// (chunk_writer.cpp, chunk_reader.cpp, chunk_reader_header.cpp).
// Method: random chunks there and back; every truncation and bit flip; every byte changed under a
// checksum made right again; golden files of each format version. Hostile chunks built by hand are
// in chunk_hostile_test.cpp.
#include <fstream>
#include <set>
#include <sstream>

#include "support/catch.hpp"
#include "support/read_chunk.hpp"
#include "support/prng.hpp"
#include "syncline/chunk.h"
#include "syncline/codec.h"
#include "syncline/limits.h"

namespace syncline::test {
namespace {

struct TestRow {
  std::vector<Value> key;
  RowChange change;
  VersionVector context;
};

struct TestTable {
  TableSchema schema;
  std::vector<TestRow> rows;
};

struct TestChunk {
  ChunkHeader header;
  std::vector<TestTable> tables;
};

SiteId site_id(uint8_t n) {
  SiteId id;
  id.bytes.fill(n == 0 ? 255 : n);  // zeros are nobody's
  return id;
}

// Makes chunks of random shape. Texts live in the generator.
class Generator {
 public:
  explicit Generator(uint64_t seed) : prng_(seed) {
    for (uint64_t i = 0; i < 5; ++i)
      sites.intern(site_id(static_cast<uint8_t>(prng_.next())));
  }

  TestChunk chunk(uint64_t rows_max) {
    TestChunk chunk;
    chunk.header.sender = sites.id(site());
    chunk.header.exchange = bytes(8, 8);
    chunk.header.number = prng_.below(1000);
    chunk.header.last = prng_.chance(0.5);
    chunk.header.since = vector();
    chunk.header.start = prng_.chance(0.3) ? chunk.header.since : vector();
    chunk.header.knowledge = prng_.chance(0.5) ? chunk.header.start : vector();
    if (prng_.chance(0.5)) chunk.header.predecessor = bytes(16, 16);
    if (!chunk.header.last) chunk.header.token = bytes(1, 100);
    const uint64_t tables = prng_.below(4);
    for (uint64_t i = 0; i < tables; ++i) {
      chunk.tables.push_back(table("table " + std::to_string(i), 1 + prng_.below(rows_max)));
      chunk.header.row_count += chunk.tables.back().rows.size();
    }
    return chunk;
  }

  // What format 2 has beyond format 1: settings and notes.
  void add_notes(TestChunk* chunk) {
    for (const char* key : {"policy/table 0", "policy/table 0/column \"1", "site/x"}) {
      if (prng_.chance(0.5)) continue;
      chunk->header.settings.push_back(
          {key, bytes(0, 40), prng_.below(1 << 30), sites.id(site())});
    }
    for (TestTable& table : chunk->tables) {
      for (TestRow& row : table.rows) add_notes(&row.change.state);
    }
  }

  // What format 3 has beyond format 2: melted versions, ranges, acknowledgements.
  void add_melting(TestChunk* chunk) {
    ChunkHeader& header = chunk->header;
    header.melted = vector();
    header.full = prng_.chance(0.5);
    for (const TestTable& table : chunk->tables) {
      if (!header.full) break;
      KeyRange range{table.schema.name, "", "", prng_.chance(0.5), {"integer"}};
      if (prng_.chance(0.5)) range.after = "b" + bytes(0, 10);
      if (!range.to_end) range.upto = "c" + bytes(0, 10);
      if (prng_.chance(0.3)) range.key_types.push_back("text");
      header.ranges.push_back(range);
    }
    for (int i = 0; i < 2 && prng_.chance(0.5); ++i) {
      std::set<SiteId> ids = {sites.id(site()), sites.id(site())};
      header.acknowledgements.clear();
      for (const SiteId& id : ids) {
        header.acknowledgements.emplace_back(static_cast<SiteIndex>(sites.find(id)), vector());
      }
    }
    const Version melted{0, 0, sites.intern(kNobody), false};
    for (TestTable& table : chunk->tables) {
      for (TestRow& row : table.rows) {
        RowState& state = row.change.state;
        if (!row.change.whole || !state.cells.empty() || prng_.chance(0.7)) continue;
        if (std::any_of(state.rest.begin(), state.rest.end(),
                        [](const Version& v) { return v.hlc == 0; })) {
          continue;
        }
        const size_t columns = state.column_count;
        state.rest.insert(state.rest.begin(), melted);
        const std::vector<Value> none(columns);
        state.rest_values.insert(state.rest_values.begin(), none.begin(), none.end());
      }
    }
  }

  SiteTable sites;

 private:
  void add_notes(RowState* state) {
    for (const Version& v : state->rest) {
      if (prng_.chance(0.2)) state->set_note(kRowNote, v, arena_.copy(bytes(1, 30)));
    }
    for (const CellVersion& c : state->cells) {
      if (prng_.chance(0.3)) state->set_note(c.column, c.version, arena_.copy(bytes(1, 30)));
    }
  }
  SiteIndex site() { return static_cast<SiteIndex>(prng_.below(sites.size())); }
  Version version() {
    const uint64_t seq = prng_.chance(0.1) ? limits::seq_max - prng_.below(3) : 1 + prng_.below(99);
    const Hlc hlc = prng_.chance(0.1) ? prng_.below(2) * limits::hlc_max : 1000 + prng_.below(50);
    return {seq, hlc, site(), prng_.chance(0.2)};
  }
  VersionVector vector() {
    VersionVector vector;
    while (prng_.chance(0.6))
      vector.set(site(), {1 + prng_.below(1 << 20), prng_.below(1 << 30)});
    return vector;
  }
  std::string bytes(uint64_t size_min, uint64_t size_max) {
    std::string bytes(size_min + prng_.below(size_max - size_min + 1), '\0');
    for (char& c : bytes)
      c = static_cast<char>(prng_.next());
    return bytes;
  }
  std::string uuid() {
    std::string text;
    for (int i = 0; i < 36; ++i) {
      const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
      text += hyphen ? '-' : "0123456789abcdef"[prng_.below(16)];
    }
    return text;
  }
  // `like`: 0 anything, 1 integers, 2 reals, 3 texts, 4 uuids.
  Value value(uint64_t like, bool key) {
    const uint64_t kind = like == 0 ? (key ? 2 : 0) + prng_.below(key ? 4 : 6) : 0;
    if (like == 1 || kind == 2) {
      return Value::integer(
          static_cast<int64_t>(prng_.chance(0.1) ? prng_.next() : prng_.below(3000)));
    }
    if (like == 2 || kind == 3) return Value::real(static_cast<double>(prng_.below(9999)) / 8 - 99);
    if (like == 4) return Value::text(arena_.copy(uuid()));
    if (like == 3 || kind == 4) return Value::text(arena_.copy(bytes(0, 20)));
    if (kind == 5) return Value::blob(arena_.copy(bytes(0, 20)));
    return kind == 0 ? Value() : Value::null();
  }
  std::vector<Version> cell() {
    std::vector<Version> versions;
    do {
      const Version candidate = version();
      const bool known = std::any_of(versions.begin(), versions.end(), [&](const Version& other) {
        return other.same_dot(candidate);
      });
      if (!known) versions.push_back(candidate);
    } while (prng_.chance(0.2));
    std::sort(versions.begin(), versions.end(), [&](const Version& a, const Version& b) {
      return compare_versions(a, b, sites) < 0;
    });
    return versions;
  }
  TestRow row(const TableSchema& schema, const std::vector<uint64_t>& likes) {
    const auto is_key = [&](uint32_t column) {
      return std::find(schema.key.begin(), schema.key.end(), column) != schema.key.end();
    };
    TestRow row;
    for (uint32_t position : schema.key)
      row.key.push_back(value(likes[position], true));
    const uint32_t columns = static_cast<uint32_t>(schema.columns.size());
    RowState& state = row.change.state;
    state.column_count = columns;
    row.change.whole = prng_.chance(0.6);
    if (row.change.whole && prng_.chance(0.95)) state.rest = cell();
    state.rest_values.resize(state.rest.size() * columns);
    for (uint32_t column = 0; column < columns; ++column) {
      if (is_key(column)) continue;
      if (prng_.chance(0.3)) {
        const std::vector<Version> versions = cell();
        const bool repeats =
            std::equal(versions.begin(), versions.end(), state.rest.begin(), state.rest.end(),
                       [](const Version& a, const Version& b) { return a.same_dot(b); });
        if (repeats) continue;
        for (const Version& v : versions)
          state.cells.push_back({column, v, value(0, false)});
      } else {
        for (size_t i = 0; i < state.rest.size(); ++i) {
          state.rest_values[i * columns + column] = value(likes[column], false);
        }
      }
    }
    if (prng_.chance(0.2)) row.context = vector();
    return row;
  }
  TestTable table(const std::string& name, uint64_t row_count) {
    TestTable table;
    table.schema.name = name;
    const uint32_t columns = 1 + static_cast<uint32_t>(prng_.below(6));
    std::vector<uint64_t> likes;
    for (uint32_t i = 0; i < columns; ++i) {
      table.schema.columns.push_back({"column \"" + std::to_string(i), "any"});
      likes.push_back(prng_.below(5));
    }
    table.schema.key.push_back(static_cast<uint32_t>(prng_.below(columns)));
    if (columns > 1 && prng_.chance(0.4)) {
      table.schema.key.push_back((table.schema.key[0] + 1) % columns);
    }
    for (uint64_t i = 0; i < row_count; ++i)
      table.rows.push_back(row(table.schema, likes));
    const auto less = [](const TestRow& a, const TestRow& b) {
      return compare_keys(a.key, b.key) < 0;
    };
    std::sort(table.rows.begin(), table.rows.end(), less);
    const auto same = [](const TestRow& a, const TestRow& b) {
      return compare_keys(a.key, b.key) == 0;
    };
    table.rows.erase(std::unique(table.rows.begin(), table.rows.end(), same), table.rows.end());
    return table;
  }

  Prng prng_;
  Arena arena_;
};

std::string write(const TestChunk& chunk, const SiteTable& sites, Compression compression) {
  ChunkWriter writer(&sites);
  for (const TestTable& table : chunk.tables) {
    writer.begin_table(table.schema);
    for (const TestRow& row : table.rows)
      writer.add_row({row.key, row.change, &row.context});
  }
  Result<std::string> bytes = writer.finish(chunk.header, compression);
  INFO(bytes.status().message());
  REQUIRE(bytes.ok());
  return bytes.value();
}

void check_version(const Version& got, const SiteTable& sites, const Version& want,
                   const SiteTable& want_sites) {
  CHECK(got.seq == want.seq);
  CHECK(got.hlc == want.hlc);
  CHECK(got.dead == want.dead);
  CHECK(sites.id(got.site) == want_sites.id(want.site));
}

void check_row(const ChunkRow& got, const SiteTable& sites, const TestRow& want,
               const SiteTable& want_sites) {
  CHECK(identical_keys(got.key, want.key));
  CHECK(got.change.whole == want.change.whole);
  const RowState &state = got.change.state, &wanted = want.change.state;
  CHECK(state.column_count == wanted.column_count);
  REQUIRE(state.rest.size() == wanted.rest.size());
  for (size_t i = 0; i < state.rest.size(); ++i) {
    check_version(state.rest[i], sites, wanted.rest[i], want_sites);
  }
  CHECK(identical_keys(state.rest_values, wanted.rest_values));
  REQUIRE(state.cells.size() == wanted.cells.size());
  for (size_t i = 0; i < state.cells.size(); ++i) {
    CHECK(state.cells[i].column == wanted.cells[i].column);
    CHECK(state.cells[i].value.identical(wanted.cells[i].value));
    check_version(state.cells[i].version, sites, wanted.cells[i].version, want_sites);
  }
  REQUIRE(state.notes.size() == wanted.notes.size());
  for (const VersionNote& note : wanted.notes) {
    const int64_t site = sites.find(want_sites.id(note.site));
    REQUIRE(site >= 0);
    const Version version{note.seq, 0, static_cast<SiteIndex>(site), false};
    const auto same = [&](const VersionNote& n) {
      return n.column == note.column && n.seq == note.seq && n.site == version.site;
    };
    const auto at = std::find_if(state.notes.begin(), state.notes.end(), same);
    REQUIRE(at != state.notes.end());
    CHECK(at->bytes == note.bytes);
  }
  REQUIRE((got.context == nullptr) == want.context.empty());
  if (got.context == nullptr) return;
  CHECK(vector_to_json(*got.context, sites) == vector_to_json(want.context, want_sites));
}

void check_header(const ChunkHeader& got, const SiteTable& sites, const ChunkHeader& want,
                  const SiteTable& want_sites) {
  CHECK(got.sender == want.sender);
  CHECK(got.exchange == want.exchange);
  CHECK(got.number == want.number);
  CHECK(got.last == want.last);
  CHECK(vector_to_json(got.since, sites) == vector_to_json(want.since, want_sites));
  CHECK(vector_to_json(got.start, sites) == vector_to_json(want.start, want_sites));
  CHECK(vector_to_json(got.knowledge, sites) == vector_to_json(want.knowledge, want_sites));
  CHECK(got.predecessor == want.predecessor);
  CHECK(got.token == want.token);
  CHECK(vector_to_json(got.melted, sites) == vector_to_json(want.melted, want_sites));
  CHECK(got.full == want.full);
  REQUIRE(got.ranges.size() == want.ranges.size());
  for (size_t i = 0; i < got.ranges.size(); ++i) {
    const KeyRange &a = got.ranges[i], &b = want.ranges[i];
    CHECK(std::tie(a.table, a.after, a.upto, a.to_end, a.key_types) ==
          std::tie(b.table, b.after, b.upto, b.to_end, b.key_types));
  }
  REQUIRE(got.acknowledgements.size() == want.acknowledgements.size());
  for (size_t i = 0; i < got.acknowledgements.size(); ++i) {
    const auto &[site, vector] = got.acknowledgements[i];
    const auto &[want_site, want_vector] = want.acknowledgements[i];
    CHECK(sites.id(site) == want_sites.id(want_site));
    CHECK(vector_to_json(vector, sites) == vector_to_json(want_vector, want_sites));
  }
  REQUIRE(got.settings.size() == want.settings.size());
  for (size_t i = 0; i < got.settings.size(); ++i) {
    CHECK(got.settings[i].key == want.settings[i].key);
    CHECK(got.settings[i].value == want.settings[i].value);
    CHECK(got.settings[i].hlc == want.settings[i].hlc);
    CHECK(got.settings[i].site == want.settings[i].site);
  }
}

void check_chunk(std::string_view bytes, const TestChunk& want, const SiteTable& want_sites) {
  SiteTable sites;
  sites.intern(site_id(99));  // numbers are not those of the writer
  std::unique_ptr<ChunkReader> reader;
  const Status opened = ChunkReader::open(bytes, &sites, &reader);
  INFO(opened.message());
  REQUIRE(opened.ok());
  check_header(reader->header(), sites, want.header, want_sites);
  CHECK(reader->header().row_count == want.header.row_count);
  const TableSchema* schema;
  uint64_t row_count;
  bool more;
  for (const TestTable& table : want.tables) {
    REQUIRE(reader->next_table(&schema, &row_count, &more).ok());
    REQUIRE(more);
    CHECK(schema->name == table.schema.name);
    CHECK(schema->key == table.schema.key);
    REQUIRE(schema->columns.size() == table.schema.columns.size());
    CHECK(schema->columns.back().name == table.schema.columns.back().name);
    CHECK(row_count == table.rows.size());
    std::vector<ChunkRow> rows;
    size_t at = 0;
    do {
      const Status status = reader->next_rows(3, &rows);
      INFO(status.message());
      REQUIRE(status.ok());
      for (const ChunkRow& row : rows)
        check_row(row, sites, table.rows[at++], want_sites);
    } while (!rows.empty());
    CHECK(at == table.rows.size());
  }
  REQUIRE(reader->next_table(&schema, &row_count, &more).ok());
  CHECK(!more);
}

TEST_CASE("chunk: random chunks come back as they were", "[chunk][unit]") {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Generator generator(seed);
    TestChunk chunk = generator.chunk(seed % 10 == 0 ? 200 : 8);
    if (seed % 3 > 0) generator.add_notes(&chunk);
    if (seed % 3 > 1) generator.add_melting(&chunk);
    chunk.header.row_count = 0;
    for (const TestTable& table : chunk.tables)
      chunk.header.row_count += table.rows.size();
    for (Compression compression : {Compression::none, Compression::zstd, Compression::lz4}) {
      check_chunk(write(chunk, generator.sites, compression), chunk, generator.sites);
    }
  }
}

TEST_CASE("chunk: bytes do not depend on the numbering of sites", "[chunk][unit]") {
  SiteTable one, two;
  for (uint8_t n : {1, 2, 3})
    one.intern(site_id(n));
  for (uint8_t n : {9, 3, 2, 1})
    two.intern(site_id(n));
  const auto make = [](const SiteTable& sites) {
    const auto index = [&](uint8_t n) { return static_cast<SiteIndex>(sites.find(site_id(n))); };
    TestChunk chunk;
    chunk.header.sender = site_id(2);
    chunk.header.exchange = "exchange";
    chunk.header.since.set(index(3), {5, 50});
    chunk.header.knowledge.set(index(1), {7, 70});
    TestTable table{{"t", {{"id", "integer"}, {"v", "text"}}, {0}}, {}};
    TestRow row;
    row.key = {Value::integer(1)};
    row.change.state.column_count = 2;
    row.change.state.rest = {{3, 9, index(3), false}, {4, 9, index(1), true}};
    std::sort(
        row.change.state.rest.begin(), row.change.state.rest.end(),
        [&](const Version& a, const Version& b) { return compare_versions(a, b, sites) < 0; });
    row.change.state.rest_values = {Value(), Value::text("a"), Value(), Value::text("b")};
    row.context.set(index(1), {4, 9});
    table.rows.push_back(row);
    chunk.tables.push_back(table);
    return write(chunk, sites, Compression::none);
  };
  CHECK(make(one) == make(two));
}

// A chunk that uses everything, small enough to try every bit.
TestChunk sample(Generator* generator) {
  TestChunk chunk;
  do {
    chunk = generator->chunk(6);
  } while (chunk.tables.size() != 2);
  return chunk;
}

TEST_CASE("chunk: cut short anywhere it is refused", "[chunk][unit]") {
  for (uint64_t seed = 1; seed < 4; ++seed) {
    Generator generator(seed);
    const TestChunk chunk = sample(&generator);
    for (Compression compression : {Compression::none, Compression::zstd, Compression::lz4}) {
      const std::string bytes = write(chunk, generator.sites, compression);
      for (size_t size = 0; size < bytes.size(); ++size) {
        CAPTURE(seed, size);
        REQUIRE(read_all(bytes.substr(0, size)).code() == StatusCode::corrupt_input);
      }
    }
  }
}

TEST_CASE("chunk: with any bit flipped it is refused", "[chunk][unit]") {
  Generator generator(7);
  const TestChunk chunk = sample(&generator);
  for (Compression compression : {Compression::none, Compression::zstd}) {
    std::string bytes = write(chunk, generator.sites, compression);
    for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      CAPTURE(bit);
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
      REQUIRE(!read_all(bytes).ok());
      bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    }
  }
}

std::string with_hash(std::string bytes) {
  return bytes + hash128(bytes);
}

TEST_CASE("chunk: altered under a right checksum it does no harm", "[chunk][unit]") {
  // Most are refused, some say something else: only that nothing breaks is asked. Run with the
  // sanitizers this is worth more.
  Prng prng(11);
  for (uint64_t seed = 20; seed < 30; ++seed) {
    Generator generator(seed);
    std::string bytes = write(sample(&generator), generator.sites, Compression::none);
    bytes.resize(bytes.size() - 16);
    for (size_t at = 4; at < bytes.size(); ++at) {
      for (uint64_t change : {uint64_t{1}, uint64_t{0x80}, uint64_t{0xff}, prng.next()}) {
        std::string altered = bytes;
        altered[at] = static_cast<char>(altered[at] ^ static_cast<char>(change));
        (void)read_all(with_hash(altered));
      }
      (void)read_all(with_hash(bytes.substr(0, at)));
      (void)read_all(with_hash(bytes.substr(0, at) + bytes.substr(at + 1)));
      (void)read_all(with_hash(bytes.substr(0, at) + "\xff\xff\xff\xff\x7f" + bytes.substr(at)));
    }
  }
}

TEST_CASE("chunk: a writer says what was wrong with its rows", "[chunk][unit]") {
  SiteTable sites;
  sites.intern(site_id(1));
  ChunkHeader header;
  header.sender = site_id(1);
  header.exchange = "exchange";
  const TableSchema schema{"t", {{"id", "integer"}, {"v", "text"}}, {0}};
  const auto write_keys = [&](const std::vector<Value>& keys) {
    ChunkWriter writer(&sites);
    writer.begin_table(schema);
    for (const Value& key : keys) {
      ChunkRow row;
      row.key = {&key, 1};
      row.change.state.column_count = 2;
      row.change.state.write_all({1, 1, 0, false}, std::vector<Value>(2));
      writer.add_row(row);
    }
    const Status status = writer.finish(header, Compression::none).status();
    UNSCOPED_INFO(status.message());
    return status;
  };
  CHECK(write_keys({Value::integer(1), Value::integer(2)}).ok());
  CHECK(write_keys({Value::integer(2), Value::integer(1)}).code() == StatusCode::internal);
  CHECK(write_keys({Value::integer(1), Value::integer(1)}).code() == StatusCode::internal);
  CHECK(write_keys({Value::null()}).code() == StatusCode::internal);
  header.exchange = "short";
  CHECK(write_keys({Value::integer(1)}).code() == StatusCode::internal);
}

// Golden files: tests/golden/chunk_v<format>_<seed>.bin is what write() made of Generator(seed)'s
// first chunk when that format version was current. To add one for a new version: run this test
// with SYNCLINE_WRITE_GOLDEN=1 and commit the new files; files of old versions never change.
TEST_CASE("chunk: golden files are read forever and still written alike", "[chunk][golden]") {
  constexpr int kFormat = 3;  // the current one
  for (int i = 0; i < 9; ++i) {
    const int format = 1 + i / 3, seed = 101 + i % 3;
    Generator generator(static_cast<uint64_t>(seed));
    TestChunk chunk = sample(&generator);
    if (format > 1) generator.add_notes(&chunk);
    if (format > 2) generator.add_melting(&chunk);
    chunk.header.row_count = 0;
    for (const TestTable& table : chunk.tables)
      chunk.header.row_count += table.rows.size();
    const std::string path = std::string(SYNCLINE_SOURCE_DIR) + "/tests/golden/chunk_v" +
                             std::to_string(format) + "_" + std::to_string(seed) + ".bin";
    const std::string bytes = write(chunk, generator.sites, Compression::none);
    if (format == kFormat && std::getenv("SYNCLINE_WRITE_GOLDEN") != nullptr) {
      std::ofstream(path, std::ios::binary) << bytes;
    }
    std::ifstream file(path, std::ios::binary);
    CAPTURE(path);
    REQUIRE(file.good());
    std::stringstream golden;
    golden << file.rdbuf();
    check_chunk(golden.str(), chunk, generator.sites);
    if (format == kFormat) CHECK(golden.str() == bytes);
  }
}

}  // namespace
}  // namespace syncline::test
