// Goal: numbers and bytes come back as written, and no read goes beyond its input. Method: edges of
// every width, random numbers, every truncation.
#include "support/catch.hpp"
#include "support/prng.hpp"
#include "syncline/codec.h"

namespace syncline::test {
namespace {

std::vector<uint64_t> edges() {
  std::vector<uint64_t> numbers = {0};
  for (int bit = 0; bit < 64; ++bit) {
    for (uint64_t offset : {-1, 0, 1})
      numbers.push_back((uint64_t{1} << bit) + offset);
  }
  numbers.push_back(~uint64_t{0});
  Prng prng(1);
  for (int i = 0; i < 1000; ++i)
    numbers.push_back(prng.next() >> prng.below(64));
  return numbers;
}

TEST_CASE("codec: numbers come back", "[codec][unit]") {
  for (uint64_t number : edges()) {
    CAPTURE(number);
    std::string bytes;
    append_varint(&bytes, number);
    CHECK(bytes.size() <= 10);
    append_zigzag(&bytes, static_cast<int64_t>(number));
    append_fixed64(&bytes, number);
    ByteReader reader(bytes);
    uint64_t varint = 0, fixed = 0;
    int64_t zigzag = 0;
    REQUIRE(reader.varint(&varint));
    REQUIRE(reader.zigzag(&zigzag));
    REQUIRE(reader.fixed64(&fixed));
    CHECK(varint == number);
    CHECK(zigzag == static_cast<int64_t>(number));
    CHECK(fixed == number);
    CHECK(reader.at_end());
  }
}

TEST_CASE("codec: small numbers of either sign are short", "[codec][unit]") {
  for (int64_t number : {-64, -1, 0, 1, 63}) {
    std::string bytes;
    append_zigzag(&bytes, number);
    CHECK(bytes.size() == 1);
  }
}

TEST_CASE("codec: bytes are in the order that the format says", "[codec][unit]") {
  std::string bytes;
  append_varint(&bytes, 300);
  append_fixed64(&bytes, 0x0102030405060708);
  append_bytes(&bytes, "ab");
  CHECK(bytes == std::string("\xac\x02\x08\x07\x06\x05\x04\x03\x02\x01\x02"
                             "ab"));
}

TEST_CASE("codec: a failed read moves nothing", "[codec][unit]") {
  using namespace std::string_view_literals;
  uint64_t number;
  std::string_view view;
  uint8_t byte;
  // Cut short; more than 64 bits; eleven bytes; a superfluous byte.
  for (std::string_view bad : {""sv, "\x80"sv, "\xff\xff\xff\xff\xff\xff\xff\xff\xff"sv,
                               "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"sv,
                               "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"sv, "\x80\x00"sv}) {
    ByteReader reader(bad);
    CHECK(!reader.varint(&number));
    CHECK(reader.rest() == bad);
  }
  ByteReader reader("\x03ZZ"sv);
  CHECK(!reader.fixed64(&number));
  CHECK(!reader.bytes(100, &view));
  CHECK(!reader.view(4, &view));
  CHECK(!reader.view(~uint64_t{0}, &view));
  CHECK(reader.rest().size() == 3);
  ByteReader bounded("\x03ZZZ"sv);
  CHECK(!bounded.bytes(2, &view));
  CHECK(bounded.bytes(3, &view));
  CHECK(view == "ZZZ");
  CHECK(!bounded.byte(&byte));
}

TEST_CASE("codec: the hash is XXH3-128 in canonical form", "[codec][unit]") {
  // The digest of no bytes, seed 0, from the xxHash test vectors.
  CHECK(hash128("") ==
        std::string("\x99\xaa\x06\xd3\x01\x47\x98\xd8\x60\x01\xc3\x24\x46\x8d\x49\x7f"));
  CHECK(hash128("a") != hash128("b"));
}

}  // namespace
}  // namespace syncline::test
