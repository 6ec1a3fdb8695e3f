// Private: the resume token of an exchange, made by the exporter and kept by the receiver.
//
//   token := format:u8 sender:16 exchange:8 number:varint order:8 since:vector start:vector
//            rank:varint table:bytes key:bytes full:u8
//
// `number` is that of the next chunk; `order` a hash of the table order, since a position means
// nothing once tables are sent in another order. Only the sender interprets a token; the receiver
// reads exchange and number to recognise repeats.
#pragma once

#include <string>
#include <string_view>

#include "syncline/port.h"

namespace syncline {

struct Token {
  SiteId sender;
  std::string exchange;  // 8 bytes
  uint64_t number = 0;
  std::string order;  // 8 bytes
  VersionVector since, start;
  ScanStart position;  // with `everything` if the exchange is full
};

std::string write_token(const Token& token, const SiteTable& sites);
// Errors: corrupt_input, unsupported_version.
Status read_token(std::string_view bytes, SiteTable* sites, Token* out);

std::string bytes_to_hex(std::string_view bytes);
// Errors: invalid_argument.
Status hex_to_bytes(std::string_view hex, std::string* out);

}  // namespace syncline
