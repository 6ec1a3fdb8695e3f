// The expressions behind the policy "sql:<expression>": one value out of two concurrent versions.
//
//   std::shared_ptr<const Expression> expression;
//   SYNCLINE_TRY(Expression::parse("max(a, b)", &expression));
//   const Value merged = expression->evaluate({.a = a, .b = b, .kind = LogicalKind::numeric},
//   &arena);
//
// A closed language in the spelling of SQL, evaluated here and never by a database, so every site
// gets the same bits: nothing depends on a locale, on a collation, on an engine's functions or on
// the C library's printing. docs/expressions.md has the grammar, the functions and their meaning.
//
// Evaluation is total: it gives a value for any input, NULL where there is no sensible one. All
// parts are evaluated, also those that are not chosen; there are no side effects to tell. In short:
//   integer   64 bits; a result beyond them, and division by zero, are NULL; 7 / 2 is 3
//   real      IEEE double; a result that is not finite is NULL
//   numeric   exact decimal: the text of numeric columns, and text that spells a decimal number
//             wherever a number is needed. Beside a numeric, a real counts as its shortest decimal.
//   order     numbers < text < blobs; text bytewise; text that spells a decimal number is compared
//             with a number as a number
//   logic     three-valued; true and false are 1 and 0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/logical_type.h"
#include "syncline/status.h"
#include "syncline/value.h"

namespace syncline {

// What the names of an expression stand for.
struct ExpressionInput {
  Value a = {};                // the version with the smaller dot
  Value b = {};                // the other
  Value base = {};             // what both were made from, if it is known; absent counts as NULL
  int64_t a_at = 0, b_at = 0;  // when `a` and `b` were written: milliseconds since the Unix epoch
  LogicalKind kind = LogicalKind::any;  // of the column: a, b and base are read as its values
};

struct ExpressionNode;  // private to the core

class Expression {
 public:
  // The bounds of an expression.
  static constexpr size_t kBytesMax = 4096;
  static constexpr uint32_t kNodesMax = 1024;  // values, operators and calls
  static constexpr int kDepthMax = 64;         // parentheses, calls, CASE, NOT and signs
  // The bounds of an evaluation. An intermediate text beyond the first is NULL; the steps are
  // about one for a byte or digit looked at, and more of them make the result NULL.
  static constexpr size_t kTextBytesMax = 16 << 20;
  static constexpr uint64_t kStepsMax = 64 << 20;
  static constexpr int kJsonDepthMax = 100;

  ~Expression();
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;

  // ENSURES: on error *out is unchanged. Errors: invalid_argument, with the place, for what is not
  // in the grammar, and the nearest known name for an unknown one; limit_exceeded for an expression
  // beyond the bounds above.
  static Status parse(std::string_view text, std::shared_ptr<const Expression>* out);

  // The value of the expression, in the canonical spelling of `input.kind` if it is of that kind.
  // A result of another class comes back as it is: ask the column's host whether it can be stored.
  // Never fails, whatever the input. Bytes of the result belong to the input or to `arena`.
  // Cost: one step for each node, and what its operands' bytes take; see kStepsMax. Thread-safe.
  Value evaluate(const ExpressionInput& input, Arena* arena) const;

  // Whether `base` occurs: if not, nobody needs to find it out.
  bool uses_base() const { return uses_base_; }
  const std::string& text() const { return text_; }

  // The names of all functions, sorted.
  static std::vector<std::string> function_names();

 private:
  friend class ExpressionParser;
  Expression();

  std::string text_;
  // Operands stand before what uses them, so evaluation is one pass; the last node is the result.
  std::vector<ExpressionNode> nodes_;
  std::vector<uint32_t> operands_;  // positions in nodes_
  Arena literals_;
  bool uses_base_ = false;
};

}  // namespace syncline
