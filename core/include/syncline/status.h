// Errors as values: what every fallible function of the core returns.
//
//   Status s = store.fetch(table, keys, &batch);
//   if (!s.ok()) return s;                    // or SYNCLINE_TRY(store.fetch(...));
//
// A message is lower case, has no full stop, and names the object and the offending value; the
// hint is one action the reader can take. Hosts map codes to their own error numbers in one table.
// Neither message nor hint ever contains a cell value or a password.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace syncline {

enum class StatusCode {
  ok,
  invalid_argument,     // the caller's argument is malformed or names something unknown
  corrupt_input,        // bytes from outside do not decode: truncated, altered, hostile
  unsupported_version,  // a chunk, token or state of a format this build does not know
  limit_exceeded,       // a bound of limits.h
  schema_mismatch,      // two databases describe one table in ways that cannot be merged
  gap,                  // a chunk does not follow what was applied here last
  clock_drift,          // a version too far in the future
  identity,             // this database was copied or restored: its dots are used by another
  busy,                 // a lock, or a connection: transient, try again
  refused,              // not allowed here or now: read-only, inside a transaction, privileges
  peer_failed,          // the other side of a session could not be reached or reported an error
  cancelled,            // the user interrupted
  host_failed,          // the host parked its own error object; report that one
  internal,             // a broken invariant of ours
};

// Returns the code's name as written above, for messages and JSON.
std::string_view status_code_name(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message, std::string hint = {})
      : code_(code), message_(std::move(message)), hint_(std::move(hint)) {}

  bool ok() const { return code_ == StatusCode::ok; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }

 private:
  StatusCode code_ = StatusCode::ok;
  std::string message_;
  std::string hint_;
};

// A value or the reason there is none. REQUIRES: ok() before the value is read.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit on purpose
  Result(Status status) : status_(std::move(status)) {}  // NOLINT: implicit on purpose

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() { return *value_; }
  const T& value() const { return *value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

#define SYNCLINE_TRY(expression)                              \
  do {                                                        \
    ::syncline::Status status_of_try = (expression);          \
    if (!status_of_try.ok()) return status_of_try;            \
  } while (false)

}  // namespace syncline
