// Status codes as SQLSTATEs, in both directions: what PostgreSQL reports for an error of ours, and
// what an error that a PostgreSQL peer reports means here. One table serves both.
#pragma once

#include <string_view>

#include "syncline/status.h"

namespace syncline {

// The SQLSTATE, five characters, under which PostgreSQL reports `code`. Where PostgreSQL has a
// condition of the same meaning it is that one, otherwise one of class SY, which is ours.
const char* sqlstate_of(StatusCode code);

// What an error under `sqlstate`, reported by a PostgreSQL peer, means: the inverse of sqlstate_of,
// extended to the conditions of PostgreSQL itself. Deadlocks, serialization failures and lock
// timeouts are busy; failed authentication and missing privileges are refused; a lost connection or
// a server that shuts down, and everything without a better name, is peer_failed.
StatusCode code_of_sqlstate(std::string_view sqlstate);

}  // namespace syncline
