// The horizon: what every active site is known to have seen. Below it, metadata melts.
//
// An acknowledgement says that a site knows a vector: it said so at the end of an exchange, took a
// whole push, or someone relayed it; it counts once this site knows all of it, too: until then
// changes that its site made without having seen ours may be under way. The horizon
// is the least of them over all sites that are members (membership.h) and not retired. A row whose
// versions all lie under it needs none: its state goes, and it is read as the melted version.
// docs/merge_rules.md, "Melting", has the rules; a wrong horizon costs a full exchange, no data.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "syncline/port.h"

namespace syncline {

// The melted version, with nobody numbered in `sites`.
Version melted_version(SiteTable* sites);

// Members that are not retired, this site left out, by index. Interns them.
std::vector<SiteIndex> active_sites(SiteState* site);

// Adds to `out` what `site` is heard to know, `vector`, if that is more than `known` has of it and
// `bound`, our own knowledge, covers it.
void note_acknowledgement(const SiteState& state, const VersionVector& bound, SiteIndex site,
                          const VersionVector& vector, std::span<const Acknowledgement> known,
                          std::vector<Acknowledgement>* out);

// What a session has learnt of a peer: what it has afterwards (SessionReport::peer_vector). In a
// write transaction. Errors: invalid_argument for a malformed vector or id.
Status hear_peer(Port* port, std::string_view site_hex, std::string_view vector_json);

struct Horizon {
  VersionVector vector;
  // Active sites that do not know all that is known here: they hold the horizon.
  std::vector<SiteIndex> waiting_for;
};
// `acknowledgements` has all that were heard.
Horizon find_horizon(SiteState* site, std::span<const Acknowledgement> acknowledgements);

// Can the row's state be dropped by a site whose melt vector is `melted`? Not if it has several
// versions of a cell, beside tombstones alone, or something that only the state knows.
bool can_melt(const RowState& row, const TableInfo& table, const VersionVector& melted);

struct MeltReport {
  uint64_t looked_at = 0, melted = 0;  // rows
  bool done = true;                    // false: call again to go on
  VersionVector under;
  std::vector<SiteId> waiting_for;
};

// Drops the state of rows below the horizon, at most `rows_max` looked at, going on from where the
// last call stopped, but none of tables that have held rows, and no tombstone while there are rows
// of a table that is not here yet, or news in rows that may refer to it; after the last row, what
// only holders of less need (Port::prune). In a write transaction. Does nothing while a full
// exchange into this database is unfinished, or if this site is retired. Cost: linear in the rows
// with state, once for each move of the horizon; where tombstones of a table wait for news of those
// that refer to it, each call reads the states of these up to the first news.
Status melt(Port* port, uint64_t rows_max, MeltReport* report);

}  // namespace syncline
