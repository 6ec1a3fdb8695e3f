// What sync_maintain() and the views of sites say, alike in every host.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "syncline/horizon.h"
#include "syncline/membership.h"

namespace syncline {

struct MaintainOptions {
  uint64_t rows_max = 100'000;       // rows of state looked at, and entries dropped, in one call
  uint64_t keep_closed_days = 90;    // closed conflicts, and events, older than that go
  uint64_t retire_unseen_days = 0;   // 0: nobody is retired
};
// Errors: invalid_argument, naming the option.
Status maintain_options_from_json(std::string_view json, MaintainOptions* out);

struct MaintainReport {
  MeltReport melting;
  uint64_t conflicts_dropped = 0, events_dropped = 0, log_dropped = 0;
  uint64_t bytes_metadata = 0;  // that are left
};
std::string report_to_json(const MaintainReport& report);

// How a site stands, as far as is known here.
struct SiteStanding {
  Member member;  // `id` always; the rest if it said something of itself
  SiteIndex index = 0;
  // "self", "active", "retired", or "unknown": changes of it came, it never registered.
  std::string_view status;
  bool heard = false;  // `has` and `heard_ms` mean something
  VersionVector has;
  uint64_t heard_ms = 0;
  uint64_t behind_changes = 0;  // that are known here and not there
  uint64_t behind_ms = 0;       // by which its newest change of some site is older than ours
  bool holds_horizon = false;   // metadata is kept here because of it
};

// This site first, then all others by id. Interns members.
std::vector<SiteStanding> list_sites(SiteState* site, std::span<const Acknowledgement> heard);

// Of these, whom sync_maintain() retires: those that hold the horizon and gave no sign of life, nor
// joined, within so many days.
std::vector<SiteId> find_unseen(std::span<const SiteStanding> sites, uint64_t now_ms,
                                uint64_t days);

// Errors of sync_retire_site(): `id_hex` must name one of `sites`, not this one.
Status find_retirable(std::span<const SiteStanding> sites, std::string_view id_hex,
                      const SiteStanding** out);
// The result of sync_retire_site().
std::string retirement_to_json(const SiteStanding& site, std::string_view note);

}  // namespace syncline
