// sync_start and sync_stop: which peers this process synchronises with in the background.
#pragma once

#include <string>

#include "sqlite_ext/functions.h"

namespace syncline {

// sync_start(peer [, options])
Status call_sync_start(Call* call);
// sync_stop([peer])
Status call_sync_stop(Call* call);

// Does this process synchronise the file of `db` with that peer in the background?
bool runs_in_background(sqlite3* db, const std::string& peer);

// Stops what the connection with these kept peers has started: it is being closed.
void stop_background_of(const KeptPeers* connection);

}  // namespace syncline
