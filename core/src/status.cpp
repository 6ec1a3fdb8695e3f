#include "syncline/status.h"

namespace syncline {

std::string_view status_code_name(StatusCode code) {
  switch (code) {
    case StatusCode::ok: return "ok";
    case StatusCode::invalid_argument: return "invalid_argument";
    case StatusCode::corrupt_input: return "corrupt_input";
    case StatusCode::unsupported_version: return "unsupported_version";
    case StatusCode::limit_exceeded: return "limit_exceeded";
    case StatusCode::schema_mismatch: return "schema_mismatch";
    case StatusCode::gap: return "gap";
    case StatusCode::clock_drift: return "clock_drift";
    case StatusCode::identity: return "identity";
    case StatusCode::busy: return "busy";
    case StatusCode::refused: return "refused";
    case StatusCode::peer_failed: return "peer_failed";
    case StatusCode::cancelled: return "cancelled";
    case StatusCode::host_failed: return "host_failed";
    case StatusCode::internal: return "internal";
  }
  return "internal";
}

}  // namespace syncline
