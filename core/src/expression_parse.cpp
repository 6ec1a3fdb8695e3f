// Parses expressions by recursive descent, bounded in depth, into nodes in the order in which they
// are evaluated. Grammar, weakest binding first:
//
//   expression = conjunction *("OR" conjunction)
//   conjunction = negation *("AND" negation)
//   negation   = ["NOT"] comparison
//   comparison = sum [test] *is
//   test       = ("=" / "==" / "<>" / "!=" / "<" / "<=" / ">" / ">=") sum
//              / ["NOT"] "BETWEEN" sum "AND" sum
//              / ["NOT"] "IN" "(" expression *("," expression) ")"
//   is         = "IS" ["NOT"] ("NULL" / "TRUE" / "FALSE" / "DISTINCT" "FROM" sum / sum)
//   sum        = product *(("+" / "-") product)
//   product    = joined *(("*" / "/" / "%") joined)
//   joined     = signed *(("||" / "->" / "->>") signed)
//   signed     = *("+" / "-") primary
//   primary    = number / text / "NULL" / "TRUE" / "FALSE" / name / "(" expression ")"
//              / function "(" expression *("," expression) ")"
//              / "CAST" "(" expression "AS" type ")"
//              / "CASE" [expression] 1*("WHEN" expression "THEN" expression)
//                ["ELSE" expression] "END"
#include <algorithm>
#include <charconv>
#include <cmath>

#include "expression_nodes.h"
#include "expression_tokens.h"
#include "syncline/table.h"

namespace syncline {
namespace {

struct SignName {
  std::string_view sign;
  Operator operation;
};
constexpr SignName kComparisons[] = {
    {"=", Operator::equal},      {"==", Operator::equal},         {"<>", Operator::not_equal},
    {"!=", Operator::not_equal}, {"<", Operator::less},           {"<=", Operator::less_equal},
    {">", Operator::greater},    {">=", Operator::greater_equal},
};
constexpr SignName kSums[] = {{"+", Operator::add}, {"-", Operator::subtract}};
constexpr SignName kProducts[] = {
    {"*", Operator::multiply}, {"/", Operator::divide}, {"%", Operator::remainder}};
constexpr SignName kJoins[] = {
    {"||", Operator::concat}, {"->", Operator::json_get}, {"->>", Operator::json_get_text}};
constexpr SignName kInputs[] = {{"a", Operator::a},
                                {"a_at", Operator::a_at},
                                {"b", Operator::b},
                                {"b_at", Operator::b_at},
                                {"base", Operator::base}};
constexpr SignName kTypes[] = {
    {"bigint", Operator::cast_integer},  {"decimal", Operator::cast_numeric},
    {"double", Operator::cast_real},     {"float", Operator::cast_real},
    {"int", Operator::cast_integer},     {"integer", Operator::cast_integer},
    {"numeric", Operator::cast_numeric}, {"real", Operator::cast_real},
    {"text", Operator::cast_text},
};
constexpr std::string_view kReserved[] = {"and",  "as",   "between", "case", "cast", "distinct",
                                          "else", "end",  "false",   "from", "in",   "is",
                                          "not",  "null", "or",      "then", "true", "when"};

const SignName* find_sign(std::span<const SignName> signs, std::string_view spelling) {
  const auto found = std::find_if(signs.begin(), signs.end(), [spelling](const SignName& known) {
    return known.sign == spelling;
  });
  return found == signs.end() ? nullptr : &*found;
}

const FunctionName* find_function(std::string_view name) {
  for (const FunctionName& function : expression_functions()) {
    if (function.name == name) return &function;
  }
  return nullptr;
}

template <typename Names>
std::vector<std::string> names_of(const Names& signs) {
  std::vector<std::string> names;
  for (const SignName& known : signs)
    names.emplace_back(known.sign);
  return names;
}

// "did you mean "x"?", or a list of what there is.
std::string suggestion(std::string_view name, const std::vector<std::string>& names) {
  const std::string near = nearest_name(name, names);
  if (!near.empty()) return "did you mean \"" + near + "\"?";
  std::string list = "there are ";
  for (size_t i = 0; i < names.size(); ++i)
    list += (i == 0 ? "" : i + 1 == names.size() ? " and " : ", ") + names[i];
  return list;
}

// Well-formed UTF-8 (RFC 3629) without NUL: what both engines can keep.
bool is_storable_text(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t ahead) {
      return static_cast<uint8_t>(i + ahead < text.size() ? text[i + ahead] : 0);
    };
    const uint8_t lead = byte(0);
    const size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead == 0 || (lead >= 0x80 && lead < 0xc2) || lead > 0xf4) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((byte(k) & 0xc0) != 0x80) return false;
    }
    if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f) ||
        (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f)) {
      return false;
    }
    i += length;
  }
  return true;
}

}  // namespace

std::span<const FunctionName> expression_functions() {
  static constexpr uint32_t kMany = Expression::kNodesMax;
  static constexpr FunctionName kFunctions[] = {
      {"abs", Operator::abs, 1, 1},
      {"coalesce", Operator::coalesce, 2, kMany},
      {"greatest", Operator::max, 2, kMany},
      {"ifnull", Operator::coalesce, 2, 2},
      {"json_extract", Operator::json_extract, 2, 2},
      {"least", Operator::min, 2, kMany},
      {"length", Operator::length, 1, 1},
      {"lower", Operator::lower, 1, 1},
      {"ltrim", Operator::ltrim, 1, 2},
      {"max", Operator::max, 2, kMany},
      {"min", Operator::min, 2, kMany},
      {"nullif", Operator::nullif, 2, 2},
      {"replace", Operator::replace, 3, 3},
      {"round", Operator::round, 1, 2},
      {"rtrim", Operator::rtrim, 1, 2},
      {"substr", Operator::substr, 2, 3},
      {"substring", Operator::substr, 2, 3},
      {"trim", Operator::trim, 1, 2},
      {"upper", Operator::upper, 1, 1},
  };
  return kFunctions;
}

// Each rule returns false once `status_` says why.
class ExpressionParser {
 public:
  explicit ExpressionParser(Expression* expression) : out_(expression) {}

  Status parse() {
    SYNCLINE_TRY(split_expression(out_->text_, &tokens_));
    uint32_t result;
    if (!expression(&result)) return status_;
    if (token().kind != ExpressionToken::end) {
      (void)fail("unexpected " + found());
      return status_;
    }
    return {};  // the result is the node that came last
  }

 private:
  using Nodes = std::vector<uint32_t>;

  // Counts one level of nesting while it lives.
  class Level {
   public:
    explicit Level(int* depth) : depth_(depth) { ++*depth_; }
    ~Level() { --*depth_; }

   private:
    int* depth_;
  };

  const ExpressionToken& token() const { return tokens_[next_]; }
  bool at(ExpressionToken::Kind kind, std::string_view spelling) const {
    return token().kind == kind && token().spelling == spelling;
  }
  bool take(ExpressionToken::Kind kind, std::string_view spelling) {
    if (!at(kind, spelling)) return false;
    ++next_;
    return true;
  }
  bool take_word(std::string_view word) { return take(ExpressionToken::word, word); }
  bool take_sign(std::string_view sign) { return take(ExpressionToken::sign, sign); }
  bool expect_word(std::string_view word) { return take_word(word) || expected(word); }
  bool expect_sign(std::string_view sign) { return take_sign(sign) || expected(sign); }

  // The token that stands here, quoted for a message.
  std::string found() const {
    if (token().kind == ExpressionToken::end) return "end";
    constexpr size_t kShownMax = 40;
    std::string shown(token().source.substr(0, kShownMax));
    if (shown.size() < token().source.size()) {
      while (!shown.empty() && (static_cast<uint8_t>(shown.back()) & 0x80) != 0)
        shown.pop_back();
      shown += "...";
    }
    return "\"" + shown + "\"";
  }
  bool fail(std::string message, std::string hint = {}) {
    status_ = expression_error(out_->text_, token().at, std::move(message), std::move(hint));
    return false;
  }
  bool expected(std::string_view what) {
    std::string upper(what);
    for (char& c : upper)
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return fail("expected " + upper + ", found " + found());
  }
  bool beyond(const std::string& what, uint64_t bound) {
    status_ = Status(StatusCode::limit_exceeded,
                     "the expression has more than " + std::to_string(bound) + " " + what,
                     "make it shorter");
    return false;
  }
  bool deep(const Level&) {
    return depth_ <= Expression::kDepthMax || beyond("levels", Expression::kDepthMax);
  }

  bool emit(Operator operation, std::initializer_list<uint32_t> operands, uint32_t* out) {
    return emit(operation, Nodes(operands), out);
  }
  bool emit(Operator operation, const Nodes& operands, uint32_t* out) {
    if (out_->nodes_.size() >= Expression::kNodesMax) return beyond("parts", Expression::kNodesMax);
    ExpressionNode node;
    node.operation = operation;
    node.first = static_cast<uint32_t>(out_->operands_.size());
    node.count = static_cast<uint32_t>(operands.size());
    out_->operands_.insert(out_->operands_.end(), operands.begin(), operands.end());
    out_->nodes_.push_back(node);
    *out = static_cast<uint32_t>(out_->nodes_.size() - 1);
    return true;
  }
  bool emit(const Value& literal, uint32_t* out) {
    if (!emit(Operator::literal, {}, out)) return false;
    out_->nodes_[*out].literal = out_->literals_.copy(literal);
    return true;
  }

  bool expression(uint32_t* out);
  bool conjunction(uint32_t* out);
  bool negation(uint32_t* out);
  bool comparison(uint32_t* out);
  bool is(uint32_t left, uint32_t* out);
  bool between(uint32_t value, uint32_t* out);
  bool in(uint32_t value, uint32_t* out);
  bool sum(uint32_t* out) { return chain(kSums, &ExpressionParser::product, out); }
  bool product(uint32_t* out) { return chain(kProducts, &ExpressionParser::joined, out); }
  bool joined(uint32_t* out) { return chain(kJoins, &ExpressionParser::signed_value, out); }
  bool chain(std::span<const SignName> signs, bool (ExpressionParser::*part)(uint32_t*),
             uint32_t* out);
  bool signed_value(uint32_t* out);
  bool primary(uint32_t* out);
  bool number(bool negative, uint32_t* out);
  bool name(uint32_t* out);
  bool call(uint32_t* out);
  bool cast(uint32_t* out);
  bool choice(uint32_t* out);
  bool list(Nodes* out);
  bool check_path(uint32_t node, size_t token_index, bool or_member);

  Expression* out_;
  std::vector<ExpressionToken> tokens_;
  size_t next_ = 0;
  int depth_ = 0;
  Status status_;
};

bool ExpressionParser::expression(uint32_t* out) {
  if (!conjunction(out)) return false;
  while (take_word("or")) {
    uint32_t right;
    if (!conjunction(&right) || !emit(Operator::logical_or, {*out, right}, out)) return false;
  }
  return true;
}

bool ExpressionParser::conjunction(uint32_t* out) {
  if (!negation(out)) return false;
  while (take_word("and")) {
    uint32_t right;
    if (!negation(&right) || !emit(Operator::logical_and, {*out, right}, out)) return false;
  }
  return true;
}

bool ExpressionParser::negation(uint32_t* out) {
  if (!take_word("not")) return comparison(out);
  const Level level(&depth_);
  return deep(level) && negation(out) && emit(Operator::logical_not, {*out}, out);
}

bool ExpressionParser::comparison(uint32_t* out) {
  if (!sum(out)) return false;
  const bool negated = take_word("not");
  if (take_word("between")) {
    if (!between(*out, out)) return false;
  } else if (take_word("in")) {
    if (!in(*out, out)) return false;
  } else if (negated) {
    return fail("expected BETWEEN or IN, found " + found());
  } else if (token().kind == ExpressionToken::sign) {
    if (const SignName* test = find_sign(kComparisons, token().spelling)) {
      ++next_;
      uint32_t right;
      if (!sum(&right) || !emit(test->operation, {*out, right}, out)) return false;
    }
  }
  if (negated && !emit(Operator::logical_not, {*out}, out)) return false;
  while (take_word("is")) {
    if (!is(*out, out)) return false;
  }
  if (find_sign(kComparisons, token().spelling) && token().kind == ExpressionToken::sign) {
    return fail("comparisons do not chain: unexpected " + found(), "use AND, or parentheses");
  }
  return true;
}

bool ExpressionParser::is(uint32_t left, uint32_t* out) {
  bool negated = take_word("not");
  uint32_t right;
  if (take_word("true")) {
    if (!emit(Operator::is_true, {left}, out)) return false;
  } else if (take_word("false")) {
    if (!emit(Operator::is_false, {left}, out)) return false;
  } else {
    if (take_word("distinct")) {
      if (!expect_word("from")) return false;
      negated = !negated;
    }
    if (!sum(&right) || !emit(Operator::is, {left, right}, out)) return false;
  }
  return !negated || emit(Operator::logical_not, {*out}, out);
}

bool ExpressionParser::between(uint32_t value, uint32_t* out) {
  uint32_t low, high;
  return sum(&low) && expect_word("and") && sum(&high) &&
         emit(Operator::greater_equal, {value, low}, &low) &&
         emit(Operator::less_equal, {value, high}, &high) &&
         emit(Operator::logical_and, {low, high}, out);
}

bool ExpressionParser::in(uint32_t value, uint32_t* out) {
  Nodes operands{value};
  return expect_sign("(") && list(&operands) && emit(Operator::in, operands, out);
}

// Operators of one strength, from left to right.
bool ExpressionParser::chain(std::span<const SignName> signs,
                             bool (ExpressionParser::*part)(uint32_t*), uint32_t* out) {
  if (!(this->*part)(out)) return false;
  while (token().kind == ExpressionToken::sign) {
    const SignName* sign = find_sign(signs, token().spelling);
    if (sign == nullptr) break;
    const size_t right_token = ++next_;
    uint32_t right;
    if (!(this->*part)(&right)) return false;
    const bool json =
        sign->operation == Operator::json_get || sign->operation == Operator::json_get_text;
    if (json && !check_path(right, right_token, /*or_member=*/true)) return false;
    if (!emit(sign->operation, {*out, right}, out)) return false;
  }
  return true;
}

bool ExpressionParser::signed_value(uint32_t* out) {
  const bool negative = at(ExpressionToken::sign, "-");
  if (!negative && !at(ExpressionToken::sign, "+")) return primary(out);
  ++next_;
  // The least integer has no positive counterpart.
  if (token().kind == ExpressionToken::number) return number(negative, out);
  const Level level(&depth_);
  if (!deep(level) || !signed_value(out)) return false;
  return !negative || emit(Operator::negate, {*out}, out);
}

bool ExpressionParser::primary(uint32_t* out) {
  const Level level(&depth_);
  if (!deep(level)) return false;
  switch (token().kind) {
    case ExpressionToken::number:
      return number(false, out);
    case ExpressionToken::text:
      ++next_;
      return emit(Value::text(tokens_[next_ - 1].spelling), out);
    case ExpressionToken::quoted_name:
      return name(out);
    case ExpressionToken::word:
      if (take_word("null")) return emit(Value::null(), out);
      if (take_word("true")) return emit(Value::integer(1), out);
      if (take_word("false")) return emit(Value::integer(0), out);
      if (take_word("case")) return choice(out);
      if (tokens_[next_ + 1].kind == ExpressionToken::sign && tokens_[next_ + 1].spelling == "(") {
        return token().spelling == "cast" ? cast(out) : call(out);
      }
      return name(out);
    case ExpressionToken::sign:
      if (take_sign("(")) return expression(out) && expect_sign(")");
      break;
    case ExpressionToken::end:
      break;
  }
  return fail("expected a value, found " + found());
}

bool ExpressionParser::number(bool negative, uint32_t* out) {
  const std::string source = (negative ? "-" : "") + std::string(token().source);
  const char *start = source.data(), *end = start + source.size();
  if (source.find_first_of(".eE") == std::string::npos) {
    int64_t integer;
    if (std::from_chars(start, end, integer).ec != std::errc()) {
      return fail("the integer " + found() + " is beyond 64 bits",
                  "write it as CAST('" + source.substr(0, 40) + "' AS numeric)");
    }
    ++next_;
    return emit(Value::integer(integer), out);
  }
  double real = 0;
  if (std::from_chars(start, end, real).ec != std::errc()) {
    return fail("the number " + found() + " is out of range");
  }
  ++next_;
  return emit(Value::real(real == 0 ? 0.0 : real), out);
}

bool ExpressionParser::name(uint32_t* out) {
  std::string spelling = token().spelling;
  for (char& c : spelling)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  const bool quoted = token().kind == ExpressionToken::quoted_name;
  if (!quoted &&
      std::find(std::begin(kReserved), std::end(kReserved), spelling) != std::end(kReserved)) {
    return fail("expected a value, found " + found());
  }
  const SignName* input = find_sign(kInputs, spelling);
  if (input == nullptr) {
    std::string hint = suggestion(spelling, names_of(kInputs));
    if (quoted)
      hint += "; text stands in single quotes";
    else if (find_function(spelling))
      hint = "put its operands in parentheses after it";
    return fail("unknown name " + (quoted ? std::string(token().source) : found()),
                std::move(hint));
  }
  ++next_;
  if (input->operation == Operator::base) out_->uses_base_ = true;
  return emit(input->operation, {}, out);
}

bool ExpressionParser::call(uint32_t* out) {
  const FunctionName* function = find_function(token().spelling);
  if (function == nullptr) {
    if (std::find(std::begin(kReserved), std::end(kReserved), token().spelling) !=
        std::end(kReserved)) {
      return fail("expected a value, found " + found());
    }
    return fail("unknown function " + found(),
                suggestion(token().spelling, Expression::function_names()));
  }
  const size_t start = next_;
  next_ += 2;
  Nodes operands;
  if (!take_sign(")") && !list(&operands)) return false;
  if (operands.size() < function->operands_min || operands.size() > function->operands_max) {
    next_ = start;
    std::string takes = std::to_string(function->operands_min);
    if (function->operands_max == Expression::kNodesMax)
      takes += " or more";
    else if (function->operands_max > function->operands_min)
      takes += " or " + std::to_string(function->operands_max);
    return fail("function " + found() + " takes " + takes + " operands, not " +
                std::to_string(operands.size()));
  }
  if (function->operation == Operator::json_extract &&
      !check_path(operands[1], start, /*or_member=*/false)) {
    return false;
  }
  return emit(function->operation, operands, out);
}

bool ExpressionParser::cast(uint32_t* out) {
  next_ += 2;
  if (!expression(out) || !expect_word("as")) return false;
  const SignName* type = find_sign(kTypes, token().spelling);
  if (type == nullptr || token().kind != ExpressionToken::word) {
    return fail("unknown type " + found(), suggestion(token().spelling, names_of(kTypes)));
  }
  ++next_;
  if (type->sign == "double") take_word("precision");
  return expect_sign(")") && emit(type->operation, {*out}, out);
}

bool ExpressionParser::choice(uint32_t* out) {
  uint32_t subject = 0, when, then, otherwise;
  const bool simple = !at(ExpressionToken::word, "when");
  if (simple && !expression(&subject)) return false;
  Nodes operands;
  if (!at(ExpressionToken::word, "when")) return expected("when");
  while (take_word("when")) {
    if (!expression(&when) || !expect_word("then") || !expression(&then)) return false;
    if (simple && !emit(Operator::equal, {subject, when}, &when)) return false;
    operands.insert(operands.end(), {when, then});
  }
  const bool any = take_word("else") ? expression(&otherwise) : emit(Value::null(), &otherwise);
  operands.push_back(otherwise);
  return any && expect_word("end") && emit(Operator::choose, operands, out);
}

// Adds expressions up to the closing parenthesis.
bool ExpressionParser::list(Nodes* out) {
  do {
    uint32_t operand;
    if (!expression(&operand)) return false;
    out->push_back(operand);
  } while (take_sign(","));
  return expect_sign(")");
}

// A path that is written down is checked here; one that is computed may come out wrong: NULL.
bool ExpressionParser::check_path(uint32_t node, size_t token_index, bool or_member) {
  const ExpressionNode& path = out_->nodes_[node];
  if (path.operation != Operator::literal || !path.literal.is(ValueKind::text)) return true;
  const std::string_view text = path.literal.bytes();
  if (is_json_path(text) || (or_member && !text.starts_with("$"))) return true;
  next_ = token_index;
  return fail("'" + std::string(text.substr(0, 40)) + "' is not a JSON path",
              "a path is like $.name[0].\"other name\"");
}

Expression::Expression() = default;
Expression::~Expression() = default;

Status Expression::parse(std::string_view text, std::shared_ptr<const Expression>* out) {
  if (text.size() > kBytesMax) {
    return Status(StatusCode::limit_exceeded,
                  "the expression is longer than " + std::to_string(kBytesMax) + " bytes",
                  "make it shorter");
  }
  if (!is_storable_text(text)) {
    return Status(StatusCode::invalid_argument, "the expression is not well-formed UTF-8");
  }
  std::shared_ptr<Expression> expression(new Expression());
  expression->text_ = text;
  SYNCLINE_TRY(ExpressionParser(expression.get()).parse());
  *out = std::move(expression);
  return {};
}

std::vector<std::string> Expression::function_names() {
  std::vector<std::string> names;
  for (const FunctionName& function : expression_functions())
    names.emplace_back(function.name);
  return names;
}

}  // namespace syncline
