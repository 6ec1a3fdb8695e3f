// Private to expression_*.cpp: the words and signs of an expression.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "syncline/status.h"

namespace syncline {

struct ExpressionToken {
  enum Kind : uint8_t { end, word, quoted_name, text, number, sign };
  Kind kind = end;
  size_t at = 0;            // byte where it starts
  std::string_view source;  // as written
  std::string spelling;     // words in lower case; names and text without quotes
};

// An error at byte `at` of `expression`: "<message> at character 12".
Status expression_error(std::string_view expression, size_t at, std::string message,
                        std::string hint = {});

// Splits `expression`; the last token is `end`. Views point into it. Errors: invalid_argument.
Status split_expression(std::string_view expression, std::vector<ExpressionToken>* out);

}  // namespace syncline
