// Splits the text of an expression into tokens:
//
//   word   = letter *(letter / digit)            ; letter: A-Z a-z _
//   name   = DQUOTE *(any but DQUOTE / 2DQUOTE) DQUOTE
//   text   = "'" *(any but "'" / "''") "'"
//   number = (1*digit ["." *digit] / "." 1*digit) ["e" ["+" / "-"] 1*digit]
//   sign   = one of those in kSigns
#include "expression_tokens.h"

#include <algorithm>

namespace syncline {
namespace {

// Longer ones first.
constexpr std::string_view kSigns[] = {"->>", "->", "||", "==", "<>", "!=", "<=", ">=", "<", ">",
                                       "=",   "+",  "-",  "*",  "/",  "%",  "(",  ")",  ","};

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool continues_character(char c) {
  return (static_cast<uint8_t>(c) & 0xc0) == 0x80;
}

class Splitter {
 public:
  explicit Splitter(std::string_view expression) : text_(expression) {}

  Status next(ExpressionToken* token) {
    while (at_ < text_.size() && is_blank(text_[at_]))
      ++at_;
    *token = ExpressionToken{};
    token->at = at_;
    if (at_ == text_.size()) return {};
    const char c = text_[at_];
    if (is_letter(c)) return word(token);
    if (c == '\'') return quoted(ExpressionToken::text, token);
    if (c == '"') return quoted(ExpressionToken::quoted_name, token);
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number(token);
    return sign(token);
  }

 private:
  char peek(size_t ahead) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  void finish(ExpressionToken::Kind kind, ExpressionToken* token) const {
    token->kind = kind;
    token->source = text_.substr(token->at, at_ - token->at);
  }

  Status word(ExpressionToken* token) {
    for (; is_letter(peek(0)) || is_digit(peek(0)); ++at_) {
      const char c = text_[at_];
      token->spelling += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    finish(ExpressionToken::word, token);
    return {};
  }

  Status quoted(ExpressionToken::Kind kind, ExpressionToken* token) {
    const char quote = text_[at_++];
    for (; at_ < text_.size(); ++at_) {
      if (text_[at_] == quote) {
        if (peek(1) != quote) {
          ++at_;
          finish(kind, token);
          return {};
        }
        ++at_;
      }
      token->spelling += text_[at_];
    }
    return expression_error(text_, token->at, std::string("the quote ") + quote + " is not closed",
                            "close it; a quote inside is written twice");
  }

  Status number(ExpressionToken* token) {
    const auto digits = [this] {
      while (is_digit(peek(0)))
        ++at_;
    };
    digits();
    if (peek(0) == '.') ++at_;
    digits();
    if (peek(0) == 'e' || peek(0) == 'E') {
      ++at_;
      if (peek(0) == '+' || peek(0) == '-') ++at_;
      digits();
    }
    finish(ExpressionToken::number, token);
    const bool ends = is_digit(token->source.back()) || token->source.back() == '.';
    if (ends && !is_letter(peek(0)) && peek(0) != '.') return {};
    return expression_error(text_, token->at, "a malformed number");
  }

  Status sign(ExpressionToken* token) {
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with("--") || rest.starts_with("/*")) {
      return expression_error(text_, at_, "a comment", "expressions have none: leave it out");
    }
    for (const std::string_view known : kSigns) {
      if (!rest.starts_with(known)) continue;
      at_ += known.size();
      token->spelling = known;
      finish(ExpressionToken::sign, token);
      return {};
    }
    size_t length = 1;
    while (continues_character(peek(length)))
      ++length;
    return expression_error(text_, at_,
                            "unexpected \"" + std::string(rest.substr(0, length)) + "\"");
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

Status expression_error(std::string_view expression, size_t at, std::string message,
                        std::string hint) {
  const std::string_view before = expression.substr(0, at);
  const auto characters = 1 + std::count_if(before.begin(), before.end(),
                                            [](char c) { return !continues_character(c); });
  message += " at character " + std::to_string(characters) + " of the expression";
  return Status(StatusCode::invalid_argument, std::move(message), std::move(hint));
}

Status split_expression(std::string_view expression, std::vector<ExpressionToken>* out) {
  Splitter splitter(expression);
  do {
    out->emplace_back();
    SYNCLINE_TRY(splitter.next(&out->back()));
  } while (out->back().kind != ExpressionToken::end);
  return {};
}

}  // namespace syncline
