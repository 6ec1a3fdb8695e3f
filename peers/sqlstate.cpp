// The table of sqlstate.h. docs/sql_reference.md lists it for users.
#include "peers/sqlstate.h"

namespace syncline {
namespace {

struct Row {
  StatusCode code;
  const char* sqlstate;
};

constexpr Row kOurs[] = {
    {StatusCode::ok, "00000"},
    {StatusCode::invalid_argument, "22023"},  // invalid_parameter_value
    {StatusCode::corrupt_input, "SY001"},
    {StatusCode::unsupported_version, "SY002"},
    {StatusCode::schema_mismatch, "SY003"},
    {StatusCode::gap, "SY004"},
    {StatusCode::clock_drift, "SY005"},
    {StatusCode::identity, "SY006"},
    {StatusCode::limit_exceeded, "54000"},  // program_limit_exceeded
    {StatusCode::busy, "55P03"},            // lock_not_available
    {StatusCode::refused, "55000"},         // object_not_in_prerequisite_state
    {StatusCode::peer_failed, "08006"},     // connection_failure
    {StatusCode::cancelled, "57014"},       // query_canceled
    {StatusCode::internal, "XX000"},        // internal_error
};

// Conditions of PostgreSQL. A prefix of two characters is a whole class.
constexpr Row kTheirs[] = {
    {StatusCode::busy, "40001"},     // serialization_failure
    {StatusCode::busy, "40P01"},     // deadlock_detected
    {StatusCode::busy, "53300"},     // too_many_connections
    {StatusCode::busy, "53400"},     // configuration_limit_exceeded: no background worker free
    {StatusCode::busy, "57P03"},     // cannot_connect_now: starting up
    {StatusCode::refused, "42501"},  // insufficient_privilege
    {StatusCode::refused, "25006"},  // read_only_sql_transaction: a standby
    {StatusCode::refused, "28"},     // invalid authorization: password, pg_hba.conf
    {StatusCode::refused, "3D000"},  // no such database
    {StatusCode::peer_failed, "08"},
};

}  // namespace

const char* sqlstate_of(StatusCode code) {
  for (const Row& row : kOurs) {
    if (row.code == code) return row.sqlstate;
  }
  return "XX000";
}

StatusCode code_of_sqlstate(std::string_view sqlstate) {
  for (const Row& row : kOurs) {
    // An internal error or a cancelled statement over there is not one of ours.
    if (row.code == StatusCode::internal || row.code == StatusCode::cancelled) continue;
    if (sqlstate == row.sqlstate) return row.code;
  }
  for (const Row& row : kTheirs) {
    if (sqlstate.substr(0, std::string_view(row.sqlstate).size()) == row.sqlstate) return row.code;
  }
  return StatusCode::peer_failed;
}

}  // namespace syncline
