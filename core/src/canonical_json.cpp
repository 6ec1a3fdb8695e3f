// One spelling for all JSON texts of one meaning, as PostgreSQL's jsonb sees it: of keys that come
// twice the last counts, keys are in order, numbers are plain decimals. Numbers keep all digits.
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "syncline/digest.h"
#include "syncline/json.h"

namespace syncline {
namespace {

constexpr size_t kDepthMax = 1000;

// Builds texts from the inside out; one level is an array or object that is open.
class Builder {
 public:
  using number_integer_t = SortedJson::number_integer_t;
  using number_unsigned_t = SortedJson::number_unsigned_t;
  using number_float_t = SortedJson::number_float_t;
  using string_t = SortedJson::string_t;
  using binary_t = SortedJson::binary_t;

  bool null() { return put("null"); }
  bool boolean(bool value) { return put(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) { return put(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) { return put(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& digits) {
    Arena arena;
    const Value value = meaning_of(LogicalKind::numeric, Value::text(digits), &arena);
    return put(std::string(value.bytes()));
  }
  bool string(string_t& value) { return put(quoted(value)); }
  bool binary(binary_t&) { return false; }
  bool start_object(size_t) { return open(true); }
  bool key(string_t& value) {
    levels_.back().key = value;
    return true;
  }
  bool end_object() {
    const Level level = std::move(levels_.back());
    levels_.pop_back();
    std::string out = "{";
    for (const auto& [key, value] : level.members) {
      if (out.size() > 1) out += ',';
      out += quoted(key) + ":" + value;
    }
    return put(out + "}");
  }
  bool start_array(size_t) { return open(false); }
  bool end_array() {
    const std::string elements = std::move(levels_.back().elements);
    levels_.pop_back();
    return put("[" + elements + "]");
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) { return false; }

  const std::string& result() const { return result_; }

 private:
  struct Level {
    bool object = false;
    std::string key, elements;
    std::map<std::string, std::string> members;
  };

  static std::string quoted(const std::string& text) { return json_text(SortedJson(text)); }
  bool open(bool object) {
    if (levels_.size() >= kDepthMax) return false;
    levels_.emplace_back();
    levels_.back().object = object;
    return true;
  }
  bool put(const std::string& text) {
    if (levels_.empty()) {
      result_ = text;
    } else if (levels_.back().object) {
      levels_.back().members[levels_.back().key] = text;
    } else {
      std::string& elements = levels_.back().elements;
      if (!elements.empty()) elements += ',';
      elements += text;
    }
    return true;
  }

  std::vector<Level> levels_;
  std::string result_;
};

}  // namespace

bool canonical_json_text(std::string_view json, std::string* out) {
  Builder builder;
  if (!SortedJson::sax_parse(json.begin(), json.end(), &builder)) return false;
  *out = builder.result();
  return true;
}

}  // namespace syncline
