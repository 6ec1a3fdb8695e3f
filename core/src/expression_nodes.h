// Private to expression_*.cpp: the nodes of an expression and what evaluates them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "decimal.h"
#include "syncline/expression.h"
#include "syncline/value.h"

namespace syncline {

enum class Operator : uint8_t {
  literal,
  a,
  b,
  base,
  a_at,
  b_at,
  // Numbers.
  negate,
  add,
  subtract,
  multiply,
  divide,
  remainder,
  abs,
  round,
  // Truth: 1, 0 or NULL.
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  is,
  is_true,
  is_false,
  in,
  logical_not,
  logical_and,
  logical_or,
  // Choice.
  choose,  // (WHEN, THEN)*, ELSE
  coalesce,
  nullif,
  max,
  min,
  // Text.
  concat,
  length,
  lower,
  upper,
  trim,
  ltrim,
  rtrim,
  substr,
  replace,
  // JSON.
  json_get,
  json_get_text,
  json_extract,
  // Conversion.
  cast_integer,
  cast_real,
  cast_text,
  cast_numeric,
};

struct ExpressionNode {
  Operator operation = Operator::literal;
  uint32_t first = 0, count = 0;  // its operands: a range of Expression::operands_
  Value literal = Value::null();
};

// A function of the language: between `operands_min` and `operands_max` operands.
struct FunctionName {
  std::string_view name;
  Operator operation;
  uint32_t operands_min, operands_max;
};
// Sorted by name.
std::span<const FunctionName> expression_functions();

// A value while it is evaluated. `numeric`: the value is the canonical text of a decimal.
struct Operand {
  Value value = Value::null();
  bool numeric = false;

  bool is_null() const { return value.is(ValueKind::null); }
  bool is_number() const {
    return numeric || value.is(ValueKind::integer) || value.is(ValueKind::real);
  }
};
using Operands = std::span<const Operand>;

// Owns intermediate bytes and counts the steps of one evaluation. Once they are used up, every
// operation may give anything: the whole result is NULL.
class Workspace {
 public:
  // False if the steps are used up.
  bool take(uint64_t steps) {
    steps_ += steps;
    return !exhausted();
  }
  bool exhausted() const { return steps_ > Expression::kStepsMax; }

  Operand text(std::string_view text);      // copied; NULL beyond kTextBytesMax
  Operand decimal(const Decimal& decimal);  // NULL beyond the bounds of decimals
  Arena* arena() { return &arena_; }

  // The text of anything but NULL and blobs: false for those. Views live as long as this.
  bool text_of(const Operand& operand, std::string_view* out);
  // Numbers, and text that spells a decimal. False for anything else.
  bool number_of(const Operand& operand, Operand* out);
  // REQUIRES: a number. False for infinities.
  bool decimal_of(const Operand& number, Decimal* out);
  // A whole number of 64 bits. False for anything else.
  bool integer_of(const Operand& operand, int64_t* out);

 private:
  Arena arena_;
  uint64_t steps_ = 0;
};

// expression_number.cpp
Operand evaluate_arithmetic(Operator operation, Operands operands, Workspace* work);
Operand evaluate_cast(Operator operation, const Operand& operand, Workspace* work);
// -1, 0 or 1. REQUIRES: neither is NULL.
int compare_operands(const Operand& a, const Operand& b, Workspace* work);

// expression_text.cpp
Operand evaluate_text(Operator operation, Operands operands, Workspace* work);

// expression_json.cpp
Operand evaluate_json(Operator operation, const Operand& document, const Operand& path,
                      Workspace* work);
// Whether `text` is a path such as $.a.b[0].
bool is_json_path(std::string_view text);

}  // namespace syncline
