// Values and rows that own their bytes, for tests that keep them.
#pragma once

#include <string>
#include <vector>

#include "syncline/value.h"

namespace syncline::test {

class OwnedValue {
 public:
  OwnedValue() = default;
  OwnedValue(const Value& value)  // NOLINT: implicit on purpose
      : bytes_(value.is_bytes() ? value.bytes() : std::string_view()), plain_(value) {}

  Value view() const {
    if (plain_.is(ValueKind::text)) return Value::text(bytes_);
    if (plain_.is(ValueKind::blob)) return Value::blob(bytes_);
    return plain_;
  }
  ValueKind kind() const { return plain_.kind(); }
  bool operator==(const OwnedValue& other) const { return view().identical(other.view()); }

 private:
  std::string bytes_;
  Value plain_;  // its bytes, if it has any, are not used
};

using OwnedRow = std::vector<OwnedValue>;

inline OwnedRow owned(RowKey values) {
  return OwnedRow(values.begin(), values.end());
}
inline std::vector<Value> views(const OwnedRow& row) {
  std::vector<Value> out;
  out.reserve(row.size());
  for (const OwnedValue& value : row)
    out.push_back(value.view());
  return out;
}

// For failure messages.
inline std::string describe(const Value& value) {
  switch (value.kind()) {
    case ValueKind::absent:
      return "absent";
    case ValueKind::null:
      return "null";
    case ValueKind::integer:
      return std::to_string(value.as_integer());
    case ValueKind::real:
      return std::to_string(value.as_real());
    case ValueKind::same:
      return "same";
    default:
      return "'" + std::string(value.bytes()) + "'";
  }
}
inline std::string describe(RowKey values) {
  std::string out = "(";
  for (const Value& value : values)
    out += (out.size() > 1 ? ", " : "") + describe(value);
  return out + ")";
}

}  // namespace syncline::test
