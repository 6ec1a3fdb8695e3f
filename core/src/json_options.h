// Private: option objects of SQL functions, with errors that name the key and its nearest spelling.
//
//   JsonOptions in("sync_now");
//   SYNCLINE_TRY(in.parse(json));
//   SYNCLINE_TRY(in.text("direction", &direction));
//   SYNCLINE_TRY(in.finish());   // refuses keys nobody asked for
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "syncline/exporter.h"
#include "syncline/json.h"
#include "syncline/status.h"

namespace syncline {

class JsonOptions {
 public:
  explicit JsonOptions(std::string function) : function_(std::move(function)) {}

  // "" and "null" are no options. Errors: invalid_argument unless it is a JSON object.
  Status parse(std::string_view json);
  // Each leaves *out alone when the key is missing. Errors: invalid_argument for another JSON type,
  // for an empty text, as an unset variable gives it, or for a number outside [low, high].
  Status text(const char* key, std::string* out, bool may_be_empty = false);
  Status number(const char* key, uint64_t low, uint64_t high, uint64_t* out);
  Status texts(const char* key, std::vector<std::string>* out);  // an array of strings
  Status boolean(const char* key, bool* out);
  // "max_bytes" and "compress".
  Status read_export(ExportOptions* out);
  // Errors: invalid_argument, naming a key that no call above asked for.
  Status finish() const;

 private:
  Status wrong(const char* key, const std::string& expected) const;
  std::string function_;
  SortedJson object_;
  std::vector<std::string> known_;
};

}  // namespace syncline
