// Sessions of this connection with a peer: what sync_now and sync_clone share.
#pragma once

#include <string>

#include "sqlite_ext/functions.h"
#include "sqlite_ext/peer_store.h"
#include "syncline/session.h"

namespace syncline {

// Runs a session and notes what it told of the peer; `peer`: if it is a stored one.
Status sync_with(Call* call, const std::string& url, const SessionOptions& options, Peer* peer,
                 SessionReport* report);

// sync_now([peer or url [, options]])
Status call_sync_now(Call* call);
// sync_clone(peer or url [, options])
Status call_sync_clone(Call* call);

}  // namespace syncline
