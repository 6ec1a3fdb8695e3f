// Which sites there are: registering this one, retiring others, what sync_now hears of a peer.
#pragma once

#include "sqlite_ext/operation.h"
#include "syncline/session.h"

namespace syncline {

// Whether this database has said who it is.
bool is_member(const Registry& registry);
// Says who this database is, if that is news. `mark`: with a change of its own, so that peers see
// that there is something to fetch. REQUIRES: a write transaction.
Status register_member(sqlite3* db, Registry* registry, bool mark);
// Retires the site. REQUIRES: a write transaction.
Status retire(sqlite3* db, Registry* registry, const SiteId& id, std::string_view note);
// Forgets exchanges that broke off with sites that are retired: they will not go on.
Status drop_retired_exchanges(sqlite3* db, const Registry& registry);

// Whether a session has told something of the peer that is not noted yet, or long ago.
Status has_peer_news(sqlite3* db, const SessionReport& report, bool* yes);
// Notes what a session has told of the peer. REQUIRES: begin_write.
Status note_peer(Operation* operation, const SessionReport& report);

}  // namespace syncline
