// Goal: site ids, their numbering and the order of versions. Method: examples.
#include "support/catch.hpp"
#include "syncline/status.h"
#include "syncline/types.h"

namespace syncline::test {
namespace {

SiteId site_id(uint8_t n) {
  SiteId id;
  id.bytes[0] = n;
  return id;
}

TEST_CASE("types: a site id is 32 hex digits", "[types][unit]") {
  const Result<SiteId> id = site_id_from_hex("0123456789abcdefFEDCBA9876543210");
  REQUIRE(id.ok());
  CHECK(to_hex(id.value()) == "0123456789abcdeffedcba9876543210");
  for (const char* bad :
       {"", "0123", "0123456789abcdeffedcba987654321", "0123456789abcdefg",
        "0123456789abcdefgedcba9876543210", "0123456789abcdeffedcba98765432100"}) {
    const Result<SiteId> result = site_id_from_hex(bad);
    CHECK(result.status().code() == StatusCode::invalid_argument);
    CHECK(!result.status().hint().empty());
  }
  // A message does not repeat what is endless.
  CHECK(site_id_from_hex(std::string(100'000, 'x')).status().message().size() < 100);
}

TEST_CASE("types: a site keeps its number", "[types][unit]") {
  SiteTable sites;
  CHECK(sites.intern(site_id(9)) == 0);
  CHECK(sites.intern(site_id(3)) == 1);
  CHECK(sites.intern(site_id(9)) == 0);
  CHECK(sites.size() == 2);
  CHECK(sites.find(site_id(3)) == 1);
  CHECK(sites.find(site_id(4)) == -1);
  CHECK(sites.id(1) == site_id(3));
}

TEST_CASE("types: versions are ordered by hlc, then site id, then seq", "[types][unit]") {
  SiteTable sites;
  sites.intern(site_id(9));
  sites.intern(site_id(3));  // number 1, but the smaller id
  // Ascending.
  const std::vector<Version> versions = {
      {9, 1, 0, false}, {1, 2, 1, false}, {2, 2, 1, false}, {1, 2, 0, true}, {1, 3, 1, false}};
  for (size_t i = 0; i < versions.size(); ++i) {
    for (size_t j = 0; j < versions.size(); ++j) {
      const int order = compare_versions(versions[i], versions[j], sites);
      CHECK((order < 0) == (i < j));
      CHECK((order == 0) == (i == j));
    }
  }
}

TEST_CASE("types: an hlc is milliseconds and a counter", "[types][unit]") {
  CHECK(hlc_to_ms(hlc_from_ms(1'700'000'000'000) + 65'535) == 1'700'000'000'000);
  CHECK(hlc_from_ms(1) > hlc_from_ms(0) + 65'535);
}

TEST_CASE("status: every code has its name", "[status][unit]") {
  CHECK(status_code_name(StatusCode::ok) == "ok");
  CHECK(status_code_name(StatusCode::schema_mismatch) == "schema_mismatch");
  CHECK(status_code_name(StatusCode::internal) == "internal");
}

}  // namespace
}  // namespace syncline::test
