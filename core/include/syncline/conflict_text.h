// A conflict for people: what sync_conflict_diff returns. Pure functions over strings, so that
// every host shows the same.
#pragma once

#include <string>
#include <string_view>

#include "syncline/status.h"
#include "syncline/types.h"

namespace syncline {

// A row of sync_conflicts. Values are JSON text; what is not known is empty.
struct ConflictText {
  std::string id, table_name, pk, column_name, kind, severity, status, policy;
  std::string base, local, remote, winner;
  std::string local_site, remote_site, local_at, remote_at, local_actor, remote_actor;
  std::string note, resolved_at, resolved_by, how, choice;
};

// Its members in the order in which both hosts read them from their table of conflicts.
inline constexpr std::string ConflictText::*kConflictTexts[] = {
    &ConflictText::id,           &ConflictText::table_name,  &ConflictText::pk,
    &ConflictText::column_name,  &ConflictText::kind,        &ConflictText::severity,
    &ConflictText::status,       &ConflictText::base,        &ConflictText::local,
    &ConflictText::remote,       &ConflictText::winner,      &ConflictText::policy,
    &ConflictText::local_site,   &ConflictText::remote_site, &ConflictText::local_at,
    &ConflictText::remote_at,    &ConflictText::resolved_at, &ConflictText::resolved_by,
    &ConflictText::note,         &ConflictText::local_actor, &ConflictText::remote_actor,
    &ConflictText::how,          &ConflictText::choice};

enum class DiffFormat : uint8_t { text, side_by_side, html };
// Empty: text. Errors: invalid_argument, naming the nearest known one.
Status diff_format_from_name(std::string_view name, DiffFormat* out);

// text: lines that both have begin with "  ", those of local with "- ", of remote with "+ "; in two
// lines that were paired, what differs stands in [ ]. side_by_side: two columns, "|" between lines
// that differ. html: a fragment with every value escaped, differences in <del> and <ins>.
// JSON strings are shown as their text, objects one member a line.
// Cost: linear in the lines that are equal at both ends, quadratic (bounded) in those between.
std::string conflict_diff(const ConflictText& conflict, DiffFormat format);

// "2024-02-29T12:00:00.123Z"; empty for 0, the time of a baseline.
std::string time_text(uint64_t unix_ms);

}  // namespace syncline
