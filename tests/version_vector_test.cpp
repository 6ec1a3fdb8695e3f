// Goal: vectors merge like a lattice, and their JSON and binary forms are one-to-one. Method: laws
// on random vectors, and a list of malformed texts.
#include "support/catch.hpp"
#include "support/prng.hpp"
#include "syncline/limits.h"
#include "syncline/version_vector.h"

namespace syncline::test {
namespace {

using Catch::Matchers::Contains;

SiteTable make_sites(int count) {
  SiteTable sites;
  Prng prng(3);
  while (sites.size() < static_cast<SiteIndex>(count)) {
    SiteId id;
    for (uint8_t& byte : id.bytes)
      byte = static_cast<uint8_t>(prng.next());
    sites.intern(id);
  }
  return sites;
}

VersionVector random_vector(Prng* prng, SiteIndex sites) {
  VersionVector vector;
  for (SiteIndex site = 0; site < sites; ++site) {
    if (prng->chance(0.5)) vector.set(site, {1 + prng->below(4), prng->below(3)});
  }
  return vector;
}

VersionVector merged(VersionVector a, const VersionVector& b) {
  a.merge(b);
  return a;
}

TEST_CASE("version_vector: merge is a lattice join", "[version_vector][unit]") {
  Prng prng(2);
  for (int round = 0; round < 1000; ++round) {
    const VersionVector a = random_vector(&prng, 4), b = random_vector(&prng, 5),
                        c = random_vector(&prng, 3);
    CHECK(merged(a, b) == merged(b, a));
    CHECK(merged(merged(a, b), c) == merged(a, merged(b, c)));
    CHECK(merged(a, a) == a);
    CHECK(a.covered_by(merged(a, b)));
    CHECK(merged(a, b).covered_by(b) == a.covered_by(b));
  }
}

TEST_CASE("version_vector: entries can be set, lowered and taken out", "[version_vector][unit]") {
  VersionVector vector;
  CHECK(vector.empty());
  vector.set(3, {0, 9});
  CHECK(vector.size() == 0);
  vector.set(3, {7, 9});
  CHECK(vector.knows({7, 0, 3, false}));
  CHECK(!vector.knows({8, 0, 3, false}));
  CHECK(!vector.knows({1, 0, 99, false}));
  vector.set(3, {2, 1});
  CHECK(vector.seq(3) == 2);
  vector.set(3, {});
  CHECK(vector.empty());
  CHECK(vector == VersionVector());
}

TEST_CASE("version_vector: both forms come back, and do not depend on numbering",
          "[version_vector][unit]") {
  const SiteTable sites = make_sites(20);
  Prng prng(4);
  for (int round = 0; round < 200; ++round) {
    VersionVector vector = random_vector(&prng, 20);
    if (round % 3 == 0) vector.set(5, {limits::seq_max, limits::hlc_max});
    SiteTable other;
    other.intern(sites.id(19));
    other.intern(sites.id(7));
    VersionVector from_json, from_bytes;
    REQUIRE(vector_from_json(vector_to_json(vector, sites), &other, &from_json).ok());
    CHECK(vector_to_json(from_json, other) == vector_to_json(vector, sites));
    std::string bytes, again;
    append_vector(&bytes, vector, sites);
    std::string_view input = bytes;
    REQUIRE(read_vector(&input, &other, &from_bytes).ok());
    CHECK(input.empty());
    CHECK(from_bytes == from_json);
    append_vector(&again, from_bytes, other);
    CHECK(again == bytes);
    for (size_t size = 0; size < bytes.size(); ++size) {
      input = std::string_view(bytes).substr(0, size);
      REQUIRE(read_vector(&input, &other, &from_bytes).code() == StatusCode::corrupt_input);
    }
  }
}

TEST_CASE("version_vector: JSON is read with any white space", "[version_vector][unit]") {
  SiteTable sites;
  VersionVector vector;
  for (const char* text : {"", " ", "{}", " { \n} "}) {
    CHECK(vector_from_json(text, &sites, &vector).ok());
    CHECK(vector.empty());
  }
  const std::string id(32, 'a');
  REQUIRE(vector_from_json("\n{ \"" + id + "\"\t:[ 4 ,5 ] }", &sites, &vector).ok());
  CHECK(vector.entry(0).seq == 4);
  CHECK(vector.entry(0).hlc == 5);
}

TEST_CASE("version_vector: malformed JSON is refused and named", "[version_vector][unit]") {
  const std::string id(32, 'a');
  const auto refusal = [](const std::string& json) {
    SiteTable sites;
    VersionVector vector;
    const Status status = vector_from_json(json, &sites, &vector);
    CHECK(status.code() == StatusCode::invalid_argument);
    CHECK(vector.empty());
    return status.message();
  };
  const std::string entry = "\"" + id + "\": [1, 2]";
  for (const std::string& json :
       {std::string("["), std::string("{"), std::string("null"), "{" + entry, "{" + entry + ",}",
        "{" + entry + " " + entry + "}", "{" + entry + "} x", "{" + id + ": [1, 2]}",
        std::string("{\"aa\": [1, 2]}"), std::string("{\"")}) {
    CAPTURE(json);
    refusal(json);
  }
  for (const char* value : {"[1]", "[1, 2, 3]", "[-1, 2]", "[1.5, 2]", "[\"1\", 2]", "1", "[1, 2",
                            "[4611686018427387905, 1]", "[1, 9223372036854775808]", "[1, 1e3]",
                            "[99999999999999999999999, 1]"}) {
    CHECK_THAT(refusal("{\"" + id + "\": " + value + "}"), Contains(id));
  }
  CHECK_THAT(refusal("{" + entry + ", " + entry + "}"), Contains("twice"));
}

TEST_CASE("version_vector: malformed bytes are refused", "[version_vector][unit]") {
  const std::string a(16, 'a'), b(16, 'b');
  for (const std::string& bytes :
       {"\2" + b + "\1\1" + a + "\1\1", "\2" + a + "\1\1" + a + "\1\1",
        "\1" + a + std::string("\0\1", 2), std::string("\xff\xff\xff\xff\x7f")}) {
    SiteTable sites;
    VersionVector vector;
    std::string_view input = bytes;
    CHECK(!read_vector(&input, &sites, &vector).ok());
  }
}

}  // namespace
}  // namespace syncline::test
