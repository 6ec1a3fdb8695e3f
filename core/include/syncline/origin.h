// The origin of a version: who wrote it, in what context, and what it decided. Stands in a row note
// (row_state.h) and travels with the version; a version whose writer said nothing has none.
#pragma once

#include <string>
#include <string_view>

#include "syncline/status.h"
#include "syncline/types.h"

namespace syncline {

struct Origin {
  std::string actor;    // a name; sync_set_actor
  std::string context;  // JSON text; sync_set_context
  // A decision: which conflict it settles, how, and what was said about it.
  std::string conflict, choice, note;
  // A decision taken back: the conflict that is open again, as it was. Empty id: none.
  struct Reopened {
    std::string id, kind, column;      // column empty: the row
    std::string winner, loser;         // JSON values
    SiteId winner_site, loser_site;
    uint64_t winner_seq = 0, loser_seq = 0;
    Hlc winner_hlc = 0, loser_hlc = 0;
  } reopened;

  bool empty() const { return actor.empty() && context.empty() && conflict.empty() && !reopens(); }
  bool decides() const { return !conflict.empty(); }
  bool reopens() const { return !reopened.id.empty(); }
};

// JSON text, as stored and sent; empty for an empty origin.
std::string origin_to_text(const Origin& origin);
// What cannot be read is an empty origin: it may come from a stranger. Views nothing.
Origin origin_from_text(std::string_view text);
// Cheap, and never false for an origin that reopens.
bool may_reopen(std::string_view text);

}  // namespace syncline
