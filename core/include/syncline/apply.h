// Applying a chunk: decoding, joining, writing, and growing in knowledge.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "syncline/limits.h"
#include "syncline/port.h"

namespace syncline {

struct ApplyOptions {
  uint64_t drift_ms_max = limits::drift_ms_max_default;
};

struct ApplyReport {
  SiteId sender;
  uint64_t applied = 0;      // rows changed in base tables
  uint64_t unchanged = 0;    // rows that were already as the chunk says
  uint64_t parked = 0;       // rows kept for tables or columns this database does not have
  uint64_t conflicts = 0;    // conflicts opened
  uint64_t quarantined = 0;  // rows this chunk leaves held
  bool complete = false;     // the exchange has ended: knowledge grew
  std::string resume;        // if not complete: the token to ask the sender to go on from (hex)
};

// Applies one chunk whole. On error nothing may be kept: the host rolls back.
// Errors: corrupt_input, unsupported_version, limit_exceeded (from the decoder); gap, with what is
// needed, if the chunk was made for a vector not covered here or does not follow the last one from
// its sender; identity, if the chunk shows that our dots are used by another; clock_drift;
// schema_mismatch, naming the table; host_failed.
Status apply_chunk(Port* port, std::string_view bytes, const ApplyOptions& options,
                   ApplyReport* report);

// Tries again to store every held row, in order of their age. Hosts call it after something changed
// that may let rows in: a column or table appeared. `removed`: rows that were taken out of their
// tables without capture, whose children may stand there without a parent.
Status retry_held(Port* port, std::span<const RowRef> removed, ApplyReport* report);

// Takes over settings made here (make_policy_setting, with hlc and site filled in) and brings the
// rows of the tables concerned to what they show under them. Versions do not change.
Status change_settings(Port* port, std::span<const Setting> settings, ApplyReport* report);

// Parses {"drift_ms_max": n}, the options of sync_apply. Errors: invalid_argument, naming an
// unknown key and the nearest known one.
Status apply_options_from_json(std::string_view json, ApplyOptions* out);

// {"applied": 3, "unchanged": 0, ...}: what sync_apply returns.
std::string report_to_json(const ApplyReport& report);

}  // namespace syncline
