#include "token.h"

#include <cstring>

#include "syncline/codec.h"
#include "syncline/limits.h"

namespace syncline {
namespace {

constexpr uint8_t kTokenFormat = 2;
constexpr size_t kExchangeBytes = 8;
constexpr size_t kOrderBytes = 8;

Status malformed() {
  return Status(StatusCode::corrupt_input, "the resume token is damaged",
                "leave it out: the exchange then starts anew");
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string write_token(const Token& token, const SiteTable& sites) {
  std::string out;
  out.push_back(static_cast<char>(kTokenFormat));
  out.append(reinterpret_cast<const char*>(token.sender.bytes.data()), token.sender.bytes.size());
  out += token.exchange;
  append_varint(&out, token.number);
  out += token.order;
  append_vector(&out, token.since, sites);
  append_vector(&out, token.start, sites);
  append_varint(&out, token.position.rank);
  append_bytes(&out, token.position.table);
  append_bytes(&out, token.position.key);
  out.push_back(token.position.everything ? 1 : 0);
  return out;
}

Status read_token(std::string_view bytes, SiteTable* sites, Token* out) {
  ByteReader in(bytes);
  uint8_t format = 0;
  std::string_view sender, exchange, order, table, key;
  if (!in.byte(&format)) return malformed();
  if (format != kTokenFormat) {
    return Status(StatusCode::unsupported_version, "the resume token has an unknown format",
                  "leave it out: the exchange then starts anew");
  }
  if (!in.view(out->sender.bytes.size(), &sender) || !in.view(kExchangeBytes, &exchange) ||
      !in.varint(&out->number) || !in.view(kOrderBytes, &order)) {
    return malformed();
  }
  std::memcpy(out->sender.bytes.data(), sender.data(), sender.size());
  out->exchange = exchange;
  out->order = order;
  std::string_view rest = in.rest();
  SYNCLINE_TRY(read_vector(&rest, sites, &out->since));
  SYNCLINE_TRY(read_vector(&rest, sites, &out->start));
  ByteReader tail(rest);
  uint64_t rank = 0;
  uint8_t full = 0;
  if (!tail.varint(&rank) || rank > limits::tables_per_chunk_max ||
      !tail.bytes(limits::name_bytes_max, &table) || !tail.bytes(limits::value_bytes_max, &key) ||
      !tail.byte(&full) || full > 1 || !tail.at_end()) {
    return malformed();
  }
  out->position = {static_cast<uint32_t>(rank), std::string(table), std::string(key), full == 1};
  return {};
}

std::string bytes_to_hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const unsigned char b : bytes) {
    out.push_back(kDigits[b >> 4]);
    out.push_back(kDigits[b & 15]);
  }
  return out;
}

Status hex_to_bytes(std::string_view hex, std::string* out) {
  out->clear();
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = hex_digit(hex[i]), low = i + 1 < hex.size() ? hex_digit(hex[i + 1]) : -1;
    if (high < 0 || low < 0) {
      return Status(StatusCode::invalid_argument, "the resume token is not hexadecimal",
                    "pass what sync_apply returned as \"resume\"");
    }
    out->push_back(static_cast<char>(high * 16 + low));
  }
  return {};
}

}  // namespace syncline
