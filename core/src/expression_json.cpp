// JSON access of expressions. A document is read into a flat list of nodes, so neither depth nor
// width of a hostile one can hurt. What comes out is canonical: members sorted bytewise, the last
// of two with one name, no blanks, numbers as decimals: "1.50e1" is 15.0, as jsonb has it.
#include <algorithm>
#include <charconv>
#include <map>

#include <nlohmann/json.hpp>

#include "expression_nodes.h"

namespace syncline {
namespace {

struct JsonNode {
  enum Kind : uint8_t { null, boolean, number, text, array, object };
  Kind kind = null;
  uint32_t end = 0;         // one past its last descendant
  std::string_view name;    // of a member
  std::string_view source;  // text without escapes; numbers as written; "true"
};

// Fills the nodes in the order in which they are written. Returning false stops the parser.
class JsonReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonReader(std::vector<JsonNode>* nodes, Workspace* work)
      : nodes_(nodes), work_(work), arena_(work->arena()) {}

  bool null() override { return add(JsonNode::null, "null"); }
  bool boolean(bool value) override { return add(JsonNode::boolean, value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    return add(JsonNode::number, std::to_string(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    return add(JsonNode::number, std::to_string(value));
  }
  bool number_float(number_float_t, const string_t& source) override {
    // The parser has put the locale's point into the text.
    std::string plain = source;
    for (char& c : plain)
      if (!(c >= '0' && c <= '9') && c != '-' && c != '+' && c != 'e' && c != 'E') c = '.';
    return add(JsonNode::number, plain);
  }
  bool string(string_t& value) override { return is_storable(value) && add(JsonNode::text, value); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return open(JsonNode::object); }
  bool start_array(size_t) override { return open(JsonNode::array); }
  bool key(string_t& value) override {
    name_ = arena_->copy(value);
    return is_storable(value);
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  // PostgreSQL's text has no NUL.
  static bool is_storable(std::string_view text) { return text.find('\0') == text.npos; }

  bool add(JsonNode::Kind kind, std::string_view text) {
    // A node is bigger than the shortest value, so that its steps bound the memory, too.
    if (!work_->take(64)) return false;
    const auto end = static_cast<uint32_t>(nodes_->size() + 1);
    nodes_->push_back({kind, end, name_, arena_->copy(text)});
    name_ = {};
    return true;
  }
  bool open(JsonNode::Kind kind) {
    if (open_.size() >= Expression::kJsonDepthMax) return false;
    open_.push_back(static_cast<uint32_t>(nodes_->size()));
    return add(kind, {});
  }
  bool close() {
    (*nodes_)[open_.back()].end = static_cast<uint32_t>(nodes_->size());
    open_.pop_back();
    return true;
  }

  std::vector<JsonNode>* nodes_;
  Workspace* work_;
  Arena* arena_;
  std::vector<uint32_t> open_;
  std::string_view name_;
};

// A member's name, or an index into an array: from the end if it is negative.
struct JsonStep {
  bool is_index = false;
  std::string_view name;
  int64_t index = 0;
};

// Takes "[0]", "[-1]" or "[#-1]".
bool take_index(std::string_view* path, JsonStep* step) {
  const size_t close = path->find(']');
  if (close == path->npos) return false;
  std::string_view index = path->substr(1, close - 1);
  if (index.starts_with("#-")) index.remove_prefix(1);
  const auto [end, error] = std::from_chars(index.data(), index.data() + index.size(), step->index);
  path->remove_prefix(close + 1);
  step->is_index = true;
  return error == std::errc() && end == index.data() + index.size();
}

// Takes ".name" or ".\"any name\"".
bool take_member(std::string_view* path, JsonStep* step) {
  path->remove_prefix(1);
  const bool quoted = path->starts_with("\"");
  if (quoted) path->remove_prefix(1);
  const size_t end = quoted ? path->find('"') : std::min(path->find_first_of(".[\""), path->size());
  if (end == path->npos || (end == 0 && !quoted)) return false;
  step->name = path->substr(0, end);
  path->remove_prefix(quoted ? end + 1 : end);
  return true;
}

bool read_path(std::string_view path, std::vector<JsonStep>* steps) {
  if (!path.starts_with("$")) return false;
  for (path.remove_prefix(1); !path.empty();) {
    JsonStep step;
    const bool taken = path[0] == '.'   ? take_member(&path, &step)
                       : path[0] == '[' ? take_index(&path, &step)
                                        : false;
    if (!taken) return false;
    steps->push_back(step);
  }
  return true;
}

class JsonDocument {
 public:
  bool read(std::string_view text, Workspace* work) {
    if (!work->take(4 * text.size())) return false;
    JsonReader reader(&nodes_, work);
    return nlohmann::json::sax_parse(text, &reader);
  }

  // The node that `step` leads to from *node. False if there is none.
  bool follow(const JsonStep& step, uint32_t* node) const {
    const JsonNode::Kind kind = nodes_[*node].kind;
    if (kind != (step.is_index ? JsonNode::array : JsonNode::object)) return false;
    int64_t index = step.index;
    bool found = false;
    if (step.is_index && index < 0) {
      for (uint32_t i = *node + 1; i < nodes_[*node].end; i = nodes_[i].end)
        ++index;
      if (index < 0) return false;
    }
    uint32_t reached = 0;
    for (uint32_t i = *node + 1; i < nodes_[*node].end; i = nodes_[i].end) {
      if (step.is_index ? index-- == 0 : nodes_[i].name == step.name) {
        reached = i;
        found = true;
      }
    }
    *node = reached;
    return found;
  }

  const JsonNode& node(uint32_t index) const { return nodes_[index]; }

  // The canonical JSON text of a node. False if it is too long. Recursive: kJsonDepthMax.
  bool append(uint32_t index, std::string* out) const {
    const JsonNode& node = nodes_[index];
    switch (node.kind) {
      case JsonNode::null:
      case JsonNode::boolean:
        *out += node.source;
        break;
      case JsonNode::number: {
        Decimal number;
        if (!Decimal::parse(node.source, &number)) return false;
        *out += number.text();
        break;
      }
      case JsonNode::text:
        *out += value_to_json(Value::text(node.source));
        break;
      case JsonNode::array:
        if (!append_array(index, out)) return false;
        break;
      case JsonNode::object:
        if (!append_object(index, out)) return false;
        break;
    }
    return out->size() <= Expression::kTextBytesMax;
  }

 private:
  bool append_array(uint32_t index, std::string* out) const {
    *out += '[';
    for (uint32_t i = index + 1; i < nodes_[index].end; i = nodes_[i].end) {
      if (i > index + 1) *out += ',';
      if (!append(i, out)) return false;
    }
    *out += ']';
    return true;
  }

  bool append_object(uint32_t index, std::string* out) const {
    std::map<std::string_view, uint32_t> members;
    for (uint32_t i = index + 1; i < nodes_[index].end; i = nodes_[i].end)
      members[nodes_[i].name] = i;
    *out += '{';
    for (const auto& [name, member] : members) {
      if (out->back() != '{') *out += ',';
      *out += value_to_json(Value::text(name));
      *out += ':';
      if (!append(member, out)) return false;
    }
    *out += '}';
    return true;
  }

  std::vector<JsonNode> nodes_;
};

// A scalar as a value; arrays and objects as JSON text.
Operand value_of(const JsonDocument& document, uint32_t index, Workspace* work) {
  const JsonNode& node = document.node(index);
  if (node.kind == JsonNode::null) return {};
  if (node.kind == JsonNode::boolean) return {Value::integer(node.source == "true")};
  if (node.kind == JsonNode::text) return work->text(node.source);
  if (node.kind == JsonNode::number) {
    Decimal number;
    int64_t integer;
    if (!Decimal::parse(node.source, &number)) return {};
    if (number.scale() == 0 && number.integer(&integer)) return {Value::integer(integer)};
    return evaluate_cast(Operator::cast_real, work->decimal(number), work);
  }
  std::string json;
  return document.append(index, &json) ? work->text(json) : Operand{};
}

}  // namespace

bool is_json_path(std::string_view text) {
  std::vector<JsonStep> steps;
  return read_path(text, &steps);
}

Operand evaluate_json(Operator operation, const Operand& document, const Operand& path,
                      Workspace* work) {
  std::string_view text, name;
  std::vector<JsonStep> steps;
  if (!work->text_of(document, &text)) return {};
  if (path.value.is(ValueKind::integer) && operation != Operator::json_extract) {
    steps.push_back({true, {}, path.value.as_integer()});
  } else {
    if (!work->text_of(path, &name) || !work->take(name.size())) return {};
    const bool is_path = name.starts_with("$") || operation == Operator::json_extract;
    if (!is_path) steps.push_back({false, name, 0});
    if (is_path && !read_path(name, &steps)) return {};
  }
  JsonDocument json;
  if (!json.read(text, work)) return {};
  uint32_t node = 0;
  for (const JsonStep& step : steps) {
    if (!json.follow(step, &node)) return {};
  }
  if (operation != Operator::json_get) return value_of(json, node, work);
  std::string out;
  return json.append(node, &out) ? work->text(out) : Operand{};
}

}  // namespace syncline
