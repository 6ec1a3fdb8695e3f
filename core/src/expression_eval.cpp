// Evaluates expressions: one pass over the nodes, each after its operands, without recursion. This
// file has the names, the logic and the choices; numbers, text and JSON have their own.
#include <functional>

#include "expression_nodes.h"
#include "syncline/logical_type.h"

namespace syncline {
namespace {

Operand truth_value(bool truth) {
  return {Value::integer(truth ? 1 : 0)};
}

// 1, 0, or -1 for unknown: NULL, blobs, and text that is no number.
int truth_of(const Operand& operand, Workspace* work) {
  if (operand.value.is(ValueKind::integer)) return operand.value.as_integer() != 0;
  Operand number;
  if (!work->number_of(operand, &number)) return -1;
  return compare_operands(number, truth_value(false), work) != 0;
}

// What a column's value is in the expression.
Operand column_value(const Value& value, LogicalKind kind, Workspace* work) {
  if (value.is(ValueKind::absent) || value.is(ValueKind::same)) return {};
  const bool read_through =
      kind == LogicalKind::numeric || kind == LogicalKind::integer || kind == LogicalKind::floating;
  if (read_through && value.is_bytes() && !work->take(value.bytes().size())) return {};
  Operand operand{canonical_value(kind, value, work->arena())};
  if (kind == LogicalKind::numeric && operand.value.is(ValueKind::text)) {
    Operand number;
    if (work->number_of(operand, &number)) return number;
  }
  return operand;
}

Operand compared(Operator operation, Operands operands, Workspace* work) {
  const Operand &a = operands[0], &b = operands[1];
  if (operation == Operator::is) {
    if (a.is_null() || b.is_null()) return truth_value(a.is_null() && b.is_null());
    return truth_value(compare_operands(a, b, work) == 0);
  }
  if (a.is_null() || b.is_null()) return {};
  const int order = compare_operands(a, b, work);
  switch (operation) {
    case Operator::equal:
      return truth_value(order == 0);
    case Operator::not_equal:
      return truth_value(order != 0);
    case Operator::less:
      return truth_value(order < 0);
    case Operator::less_equal:
      return truth_value(order <= 0);
    case Operator::greater:
      return truth_value(order > 0);
    default:
      return truth_value(order >= 0);
  }
}

Operand in_list(Operands operands, Workspace* work) {
  if (operands[0].is_null()) return {};
  bool unknown = false;
  for (const Operand& item : operands.subspan(1)) {
    if (item.is_null())
      unknown = true;
    else if (compare_operands(operands[0], item, work) == 0)
      return truth_value(true);
  }
  return unknown ? Operand{} : truth_value(false);
}

Operand logical(Operator operation, Operands operands, Workspace* work) {
  const int a = truth_of(operands[0], work);
  switch (operation) {
    case Operator::is_true:
      return truth_value(a == 1);
    case Operator::is_false:
      return truth_value(a == 0);
    case Operator::logical_not:
      return a < 0 ? Operand{} : truth_value(a == 0);
    default:
      break;
  }
  const int b = truth_of(operands[1], work);
  const int decisive = operation == Operator::logical_or ? 1 : 0;
  if (a == decisive || b == decisive) return truth_value(decisive == 1);
  return a < 0 || b < 0 ? Operand{} : truth_value(decisive == 0);
}

Operand chosen(Operands operands, Workspace* work) {
  for (size_t i = 0; i + 1 < operands.size(); i += 2) {
    if (truth_of(operands[i], work) == 1) return operands[i + 1];
  }
  return operands.back();
}

// The first of the greatest, or least, that are not NULL.
Operand extreme(Operands operands, int sign, Workspace* work) {
  Operand best;
  for (const Operand& operand : operands) {
    if (operand.is_null()) continue;
    if (best.is_null() || sign * compare_operands(operand, best, work) > 0) best = operand;
  }
  return best;
}

Operand picked(Operator operation, Operands operands, Workspace* work) {
  switch (operation) {
    case Operator::choose:
      return chosen(operands, work);
    case Operator::max:
      return extreme(operands, 1, work);
    case Operator::min:
      return extreme(operands, -1, work);
    case Operator::nullif: {
      const Operand equal = compared(Operator::equal, operands, work);
      return truth_of(equal, work) == 1 ? Operand{} : operands[0];
    }
    default:
      for (const Operand& operand : operands) {
        if (!operand.is_null()) return operand;
      }
      return {};
  }
}

Operand evaluate_name(Operator operation, const ExpressionInput& input, Workspace* work) {
  switch (operation) {
    case Operator::a:
      return column_value(input.a, input.kind, work);
    case Operator::b:
      return column_value(input.b, input.kind, work);
    case Operator::base:
      return column_value(input.base, input.kind, work);
    default:
      return {Value::integer(operation == Operator::a_at ? input.a_at : input.b_at)};
  }
}

Operand evaluate_node(Operator operation, Operands operands, Workspace* work) {
  if (operation >= Operator::cast_integer) return evaluate_cast(operation, operands[0], work);
  if (operation >= Operator::json_get) {
    return evaluate_json(operation, operands[0], operands[1], work);
  }
  if (operation >= Operator::concat) return evaluate_text(operation, operands, work);
  if (operation >= Operator::choose) return picked(operation, operands, work);
  if (operation == Operator::in) return in_list(operands, work);
  switch (operation) {
    case Operator::is_true:
    case Operator::is_false:
    case Operator::logical_not:
    case Operator::logical_and:
    case Operator::logical_or:
      return logical(operation, operands, work);
    default:
      break;
  }
  if (operation >= Operator::equal) return compared(operation, operands, work);
  return evaluate_arithmetic(operation, operands, work);
}

// A decimal leaves as what the column holds: a number of its own class where nothing is lost.
Value result_of(const Operand& operand, LogicalKind kind, Workspace* work) {
  if (operand.numeric && kind == LogicalKind::integer) {
    int64_t integer;
    if (work->integer_of(operand, &integer)) return Value::integer(integer);
  }
  return canonical_value(kind, operand.value, work->arena());
}

bool points_into(std::string_view bytes, const Value& owner) {
  if (!owner.is_bytes() || bytes.empty()) return false;
  const std::less_equal<const char*> not_after;
  return not_after(owner.bytes().data(), bytes.data()) &&
         not_after(bytes.data() + bytes.size(), owner.bytes().data() + owner.bytes().size());
}

}  // namespace

Value Expression::evaluate(const ExpressionInput& input, Arena* arena) const {
  Workspace work;
  std::vector<Operand> values(nodes_.size());
  std::vector<Operand> operands;
  for (size_t i = 0; i < nodes_.size() && work.take(1); ++i) {
    const ExpressionNode& node = nodes_[i];
    operands.clear();
    for (uint32_t k = 0; k < node.count; ++k)
      operands.push_back(values[operands_[node.first + k]]);
    if (node.operation == Operator::literal) {
      values[i].value = node.literal;
    } else if (node.count == 0) {
      values[i] = evaluate_name(node.operation, input, &work);
    } else {
      values[i] = evaluate_node(node.operation, operands, &work);
    }
  }
  const Value result = result_of(values.back(), input.kind, &work);
  if (work.exhausted()) return Value::null();
  for (const Value* owner : {&input.a, &input.b, &input.base}) {
    if (result.is_bytes() && points_into(result.bytes(), *owner)) return result;
  }
  return arena->copy(result);
}

}  // namespace syncline
