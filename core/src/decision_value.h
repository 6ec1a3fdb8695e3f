// Private to the decision*.cpp files: JSON on record and values.
#pragma once

#include <string>
#include <string_view>


#include "syncline/json.h"
#include "syncline/logical_type.h"
#include "syncline/value.h"

namespace syncline {

// The value that value_to_json wrote for a column of this kind; absent if it is no JSON. Objects
// and arrays are their own text.
Value value_from_json(LogicalKind kind, std::string_view json, Arena* arena);

}  // namespace syncline
