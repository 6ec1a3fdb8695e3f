#include "json_options.h"

#include <algorithm>

#include "syncline/limits.h"
#include "syncline/json.h"
#include "syncline/table.h"

namespace syncline {

Status JsonOptions::parse(std::string_view json) {
  object_ = SortedJson::object();
  if (json.empty()) return {};
  SortedJson parsed = parse_json<SortedJson>(json);
  if (parsed.is_null()) return {};
  if (!parsed.is_object()) {
    return Status(StatusCode::invalid_argument,
                  "options of " + function_ + " are not a JSON object",
                  "pass something like '{\"key\": \"value\"}'");
  }
  object_ = std::move(parsed);
  return {};
}

Status JsonOptions::wrong(const char* key, const std::string& expected) const {
  return Status(StatusCode::invalid_argument,
                "option \"" + std::string(key) + "\" of " + function_ + " must be " + expected);
}

Status JsonOptions::text(const char* key, std::string* out, bool may_be_empty) {
  known_.push_back(key);
  const auto it = object_.find(key);
  if (it == object_.end() || it->is_null()) return {};
  const bool named = it->is_string() && !it->get_ref<const std::string&>().empty();
  if (!named && !(it->is_string() && may_be_empty)) return wrong(key, "a string, not an empty one");
  *out = it->get<std::string>();
  return {};
}

Status JsonOptions::texts(const char* key, std::vector<std::string>* out) {
  known_.push_back(key);
  const auto it = object_.find(key);
  if (it == object_.end() || it->is_null()) return {};
  if (!it->is_array()) return wrong(key, "an array of strings");
  for (const SortedJson& text : *it) {
    if (!text.is_string()) return wrong(key, "an array of strings");
    out->push_back(text.get<std::string>());
  }
  return {};
}

Status JsonOptions::number(const char* key, uint64_t low, uint64_t high, uint64_t* out) {
  known_.push_back(key);
  const auto it = object_.find(key);
  if (it == object_.end() || it->is_null()) return {};
  const std::string range =
      "a whole number from " + std::to_string(low) + " to " + std::to_string(high);
  if (!it->is_number_unsigned()) return wrong(key, range);
  const uint64_t value = it->get<uint64_t>();
  if (value < low || value > high) return wrong(key, range);
  *out = value;
  return {};
}

Status JsonOptions::boolean(const char* key, bool* out) {
  known_.push_back(key);
  const auto it = object_.find(key);
  if (it == object_.end() || it->is_null()) return {};
  if (!it->is_boolean()) return wrong(key, "true or false");
  *out = it->get<bool>();
  return {};
}

Status JsonOptions::read_export(ExportOptions* out) {
  SYNCLINE_TRY(number("max_bytes", limits::chunk_bytes_floor, limits::chunk_body_bytes_max / 2,
                      &out->body_bytes_max));
  std::string compress;
  SYNCLINE_TRY(text("compress", &compress));
  if (compress == "zstd") out->compression = Compression::zstd;
  else if (compress == "lz4") out->compression = Compression::lz4;
  else if (compress == "none") out->compression = Compression::none;
  else if (!compress.empty()) return wrong("compress", "\"zstd\", \"lz4\" or \"none\"");
  return {};
}

Status JsonOptions::finish() const {
  for (const auto& item : object_.items()) {
    if (std::find(known_.begin(), known_.end(), item.key()) != known_.end()) continue;
    const std::string near = nearest_name(item.key(), known_);
    return Status(StatusCode::invalid_argument,
                  function_ + " has no option \"" + item.key() + "\"",
                  near.empty() ? "leave it out" : "did you mean \"" + near + "\"?");
  }
  return {};
}

}  // namespace syncline
