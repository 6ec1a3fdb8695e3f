// Goal: a chunk whose checksum is right and whose content is malformed is refused, with a message
// that says where, before memory is taken for what it claims. Method: a chunk built by hand, part
// by part, with one part replaced.
#include "support/catch.hpp"
#include "support/read_chunk.hpp"
#include "syncline/chunk.h"
#include "syncline/codec.h"
#include "syncline/limits.h"

namespace syncline::test {
namespace {

std::string with_hash(const std::string& bytes) {
  return bytes + hash128(bytes);
}

// A chunk built by hand: one table "t" (id integer key, v integer), one row, one version. Each part
// can be replaced.
struct Raw {
  static std::string varints(std::initializer_list<uint64_t> numbers) {
    std::string out;
    for (uint64_t number : numbers)
      append_varint(&out, number);
    return out;
  }
  static std::string stream(std::initializer_list<uint64_t> numbers) {
    std::string out;
    append_bytes(&out, varints(numbers));
    return out;
  }

  std::string sites = std::string("\1") + std::string(16, 'a');
  std::string sender = varints({0});
  std::string exchange = "exchange";
  std::string place = varints({0, 1});  // number, last
  std::string vectors = varints({0, 0, 0});
  std::string tokens = varints({0, 0});
  std::string row_count = varints({1});
  std::string contexts = varints({0});
  std::string settings = varints({0});
  std::string melting = std::string(1, '\0');
  std::string sections = varints({1});
  std::string schema = std::string("\1t\2\2id\7integer\1v\7integer", 24) + varints({1, 0});
  std::string section_rows = varints({1});
  std::string key = stream({2, 1}) + std::string(1, '\0') + stream({2});
  std::string shapes = varints({1, 1, 1, 0});
  std::string shape_runs = stream({0, 1});
  std::string versions = stream({0, 1}) + stream({2}) + stream({5}) + stream({0});
  std::string context_ids, notes;
  std::string values = stream({2, 1}) + std::string(1, '\0') + stream({8});
  std::string rest;

  std::string body() const {
    return sites + sender + exchange + place + vectors + tokens + row_count + contexts + settings +
           melting + sections + schema + section_rows + key + shapes + shape_runs + versions +
           context_ids + notes + values + rest;
  }
  std::string bytes() const {
    std::string out = std::string("SYNC\3\0", 6);
    append_varint(&out, body().size());
    return with_hash(out + body());
  }
};

std::string refusal(const Raw& raw, StatusCode code = StatusCode::corrupt_input) {
  const Status status = read_all(raw.bytes());
  INFO(status.message());
  CHECK(status.code() == code);
  return status.message();
}

TEST_CASE("chunk: what is built by hand is read", "[chunk][unit]") {
  const Status status = read_all(Raw().bytes());
  INFO(status.message());
  CHECK(status.ok());
}

TEST_CASE("chunk: malformed versions are refused", "[chunk][unit]") {
  using Catch::Matchers::Contains;
  Raw raw;
  raw.versions = Raw::stream({0, 1}) + Raw::stream({0}) + Raw::stream({5}) + Raw::stream({0});
  CHECK_THAT(refusal(raw), Contains("table 't': row 1: a version is malformed"));  // seq 0
  raw.versions = Raw::stream({0, 1}) + Raw::stream({(limits::seq_max + 1) * 2}) + Raw::stream({5}) +
                 Raw::stream({0});
  CHECK_THAT(refusal(raw), Contains("a version is malformed"));
  raw.versions = Raw::stream({2, 1}) + Raw::stream({2}) + Raw::stream({5}) + Raw::stream({0});
  CHECK_THAT(refusal(raw), Contains("versions are malformed"));  // there is no second site
  raw.versions = Raw::stream({0, 1}) + Raw::stream({2}) + Raw::stream({5}) + Raw::stream({1});
  CHECK_THAT(refusal(raw), Contains("a version is malformed"));  // there is no second clock
  raw.versions = Raw::stream({0, 1}) + Raw::stream({2}) + Raw::stream({limits::hlc_max + 1}) +
                 Raw::stream({0});
  CHECK_THAT(refusal(raw), Contains("clocks are malformed"));
  raw = Raw();
  raw.shapes = Raw::varints({1, 1, 2, 0});  // the same dot twice in `rest`
  raw.versions =
      Raw::stream({0, 2}) + Raw::stream({2, 0}) + Raw::stream({5, 1}) + Raw::stream({0, 1});
  raw.values = Raw::stream({1, 2});
  CHECK_THAT(refusal(raw), Contains("its versions are not in order"));
  raw = Raw();
  raw.shapes = Raw::varints({1, 1, 1, 1, 1, 1});  // an exception that repeats `rest`
  raw.versions = Raw::stream({0, 2}) + Raw::stream({2, 0}) + Raw::stream({5}) + Raw::stream({0, 0});
  CHECK_THAT(refusal(raw), Contains("column 'v': a cell repeats the versions of its row"));
}

TEST_CASE("chunk: malformed shapes are refused", "[chunk][unit]") {
  using Catch::Matchers::Contains;
  Raw raw;
  raw.shapes = Raw::varints({1, 8, 1, 0});
  CHECK_THAT(refusal(raw), Contains("a row shape is malformed"));
  raw.shapes = Raw::varints({1, 0, 1, 0});
  CHECK_THAT(refusal(raw), Contains("a row in part has versions for the whole"));
  raw.shapes = Raw::varints({1, 0, 0, 1, 0, 1});  // the key is no cell
  CHECK_THAT(refusal(raw), Contains("names a column out of range"));
  raw.shapes = Raw::varints({1, 0, 0, 1, 2, 1});
  CHECK_THAT(refusal(raw), Contains("names a column out of range"));
  raw.shapes = Raw::varints({1, 0, 0, 1, 1, 0});
  CHECK_THAT(refusal(raw), Contains("too many or no versions"));
  raw.shapes = Raw::varints({1, 1, limits::versions_per_cell_max + 1, 0});
  CHECK_THAT(refusal(raw), Contains("too many versions"));
  raw.shapes = Raw::varints({uint64_t{1} << 40});
  CHECK_THAT(refusal(raw), Contains("the count of row shapes cannot be true"));
  raw = Raw();
  raw.shapes = Raw::varints({1, 1, 60'000, 0});  // versions that no bytes back
  CHECK_THAT(refusal(raw), Contains("its version count cannot be true"));
}

TEST_CASE("chunk: runs and counts that claim too much are refused", "[chunk][unit]") {
  using Catch::Matchers::Contains;
  Raw raw;
  raw.shape_runs = Raw::stream({0, uint64_t{1} << 60});
  CHECK_THAT(refusal(raw), Contains("row shapes are malformed"));
  raw = Raw();
  raw.key = Raw::stream({2, uint64_t{1} << 60}) + std::string(1, '\0') + Raw::stream({2});
  CHECK_THAT(refusal(raw), Contains("column 'id': its key values are malformed"));
  raw = Raw();
  raw.row_count = Raw::varints({uint64_t{1} << 60});
  CHECK_THAT(refusal(raw), Contains("the row count cannot be true"));
  raw = Raw();
  raw.section_rows = Raw::varints({2});
  CHECK_THAT(refusal(raw), Contains("table 't': its row count cannot be true"));
  raw = Raw();
  raw.sites = Raw::varints({limits::sites_max + 1});
  refusal(raw, StatusCode::limit_exceeded);
  raw = Raw();
  raw.schema = std::string("\1t") + Raw::varints({uint64_t{1} << 50});
  refusal(raw, StatusCode::limit_exceeded);
  raw = Raw();
  raw.values = Raw::stream({1, uint64_t{1} << 60});
  CHECK_THAT(refusal(raw), Contains("column 'v': its values are malformed"));
  raw = Raw();
  raw.values =
      Raw::stream({4, 1}) + std::string(1, '\0') + Raw::stream({uint64_t{1} << 35}) + "\1a";
  CHECK_THAT(refusal(raw), Contains("column 'v': a value is malformed"));
}

TEST_CASE("chunk: keys that are null or do not ascend are refused", "[chunk][unit]") {
  using Catch::Matchers::Contains;
  Raw raw;
  raw.key = Raw::stream({1, 1});
  CHECK_THAT(refusal(raw), Contains("column 'id': its key values are malformed"));
  for (uint64_t second : {uint64_t{2}, uint64_t{1}}) {  // equal, smaller: zigzag 2 is 1, 1 is -1
    raw = Raw();
    raw.row_count = raw.section_rows = Raw::varints({2});
    raw.key = Raw::stream({2, 2}) + std::string(1, '\0') + Raw::stream({2, second});
    raw.shape_runs = Raw::stream({0, 2});
    raw.versions =
        Raw::stream({0, 2}) + Raw::stream({2, 2}) + Raw::stream({5}) + Raw::stream({0, 0});
    raw.values = Raw::stream({1, 2});
    CHECK_THAT(refusal(raw), Contains("table 't': row 2: keys do not ascend"));
  }
}

TEST_CASE("chunk: malformed schemas, vectors and ends are refused", "[chunk][unit]") {
  using Catch::Matchers::Contains;
  Raw raw;
  raw.schema = std::string("\1t\2\2id\7integer\2id\7integer", 25) + Raw::varints({1, 0});
  CHECK_THAT(refusal(raw), Contains("its columns are malformed"));
  raw = Raw();
  raw.schema = std::string("\1t\2\2id\7integer\1v\7integer", 24) + Raw::varints({1, 2});
  CHECK_THAT(refusal(raw), Contains("its key is malformed"));
  raw = Raw();
  raw.vectors = Raw::varints({1, 0, limits::seq_max + 1, 1, 0, 0});
  CHECK_THAT(refusal(raw), Contains("the vector 'since' has an entry out of range"));
  raw = Raw();
  raw.vectors = Raw::varints({1, 1, 1, 1, 0, 0});
  CHECK_THAT(refusal(raw), Contains("the vector 'since' is malformed"));
  raw = Raw();
  raw.rest = "x";
  CHECK_THAT(refusal(raw), Contains("rows or bytes follow the last table"));
  raw = Raw();
  raw.values = Raw::stream({2, 1}) + std::string(1, '\0') + Raw::stream({8, 8});
  CHECK_THAT(refusal(raw), Contains("column 'v': bytes are left over"));
  raw = Raw();
  raw.values = Raw::stream({3, 1}) + std::string(8, '\xff');  // not a number
  CHECK_THAT(refusal(raw), Contains("column 'v': a value is malformed"));
}

TEST_CASE("chunk: an unpacked size that compression cannot reach is refused", "[chunk][unit]") {
  using Catch::Matchers::Contains;
  const auto packed = [](char flags, uint64_t size) {
    std::string bytes = std::string("SYNC\1", 5) + flags;
    append_varint(&bytes, size);
    return read_all(with_hash(bytes + "12345678"));
  };
  CHECK(packed(1, limits::chunk_body_bytes_max + 1).code() == StatusCode::limit_exceeded);
  CHECK_THAT(packed(1, limits::chunk_body_bytes_max).message(), Contains("cannot be true"));
  CHECK_THAT(packed(2, 1 << 20).message(), Contains("cannot be true"));
  CHECK_THAT(packed(0, 9).message(), Contains("cannot be true"));
  CHECK_THAT(packed(1, 100).message(), Contains("does not unpack"));
  CHECK_THAT(packed(3, 8).message(), Contains("flags"));
}

TEST_CASE("chunk: malformed settings are refused", "[chunk][unit]") {
  using Catch::Matchers::Contains;
  const std::string site(16, 's');
  const auto setting = [&](const std::string& key, uint64_t hlc) {
    std::string out;
    append_bytes(&out, key);
    append_bytes(&out, "{}");
    append_varint(&out, hlc);
    return out + site;
  };
  Raw raw;
  raw.settings = Raw::varints({2}) + setting("a", 1) + setting("b", 2);
  CHECK(read_all(raw.bytes()).ok());
  raw.settings = Raw::varints({2}) + setting("b", 1) + setting("a", 2);
  CHECK_THAT(refusal(raw), Contains("settings are not in ascending order"));
  raw.settings = Raw::varints({2}) + setting("a", 1) + setting("a", 2);
  CHECK_THAT(refusal(raw), Contains("settings are not in ascending order"));
  raw.settings = Raw::varints({1}) + setting("a", limits::hlc_max + 1);
  CHECK_THAT(refusal(raw), Contains("a setting is malformed"));
  raw.settings = Raw::varints({1}) + setting("", 1);
  CHECK_THAT(refusal(raw), Contains("a setting is malformed"));
  raw.settings = Raw::varints({uint64_t{1} << 60});
  CHECK_THAT(refusal(raw), Contains("the count of settings cannot be true"));
}

TEST_CASE("chunk: malformed notes are refused", "[chunk][unit]") {
  using Catch::Matchers::Contains;
  Raw raw;
  raw.shapes = Raw::varints({1, 5, 1, 0});
  const auto notes = [](const std::string& list) {
    std::string out;
    append_bytes(&out, list);
    return out;
  };
  const std::string note = Raw::varints({0, 0, 1}) + "\2hi";
  raw.notes = notes(Raw::varints({1}) + note);
  CHECK(read_all(raw.bytes()).ok());
  raw.notes = notes(Raw::varints({1, 0, 0, 2}) + "\2hi");
  CHECK_THAT(refusal(raw), Contains("a note is of no version"));
  raw.notes = notes(Raw::varints({1, 0, 1, 1}) + "\2hi");
  CHECK_THAT(refusal(raw), Contains("a note is malformed"));
  raw.notes = notes(Raw::varints({1, 3, 0, 1}) + "\2hi");
  CHECK_THAT(refusal(raw), Contains("a note is malformed"));
  raw.notes = notes(Raw::varints({2}) + note + note);
  CHECK_THAT(refusal(raw), Contains("its notes are not in order"));
  raw.notes = notes(Raw::varints({0}));
  CHECK_THAT(refusal(raw), Contains("its notes are malformed"));
  raw.notes = notes(Raw::varints({uint64_t{1} << 40}) + note);
  CHECK_THAT(refusal(raw), Contains("its notes are malformed"));
  raw.notes = notes(Raw::varints({1}) + note + note);
  CHECK_THAT(refusal(raw), Contains("are left over"));
  raw.notes = notes("");
  CHECK_THAT(refusal(raw), Contains("notes are malformed"));
}

TEST_CASE("chunk: another format version is refused as such", "[chunk][unit]") {
  std::string bytes = Raw().bytes();
  bytes[4] = 4;
  CHECK(read_all(bytes).code() == StatusCode::unsupported_version);
}

}  // namespace
}  // namespace syncline::test
