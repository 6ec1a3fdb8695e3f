// The nouns of causality: sites, hybrid logical clocks, dots and versions.
//
// A dot is (site, seq): the seq-th change of that site. A version is a dot with its hlc and says
// whether it deletes. Inside one operation a site is a small index into a SiteTable; 16-byte ids
// appear only in storage of the table itself, on the wire and in SQL.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "syncline/status.h"

namespace syncline {

// A site's 16-byte random id. It names an incarnation of a database, not a machine.
struct SiteId {
  std::array<uint8_t, 16> bytes{};
  auto operator<=>(const SiteId&) const = default;
};

// The site of melted versions: nobody. No database has this id.
inline constexpr SiteId kNobody{};

// 32 lower-case hex digits.
std::string to_hex(const SiteId& id);
// Errors: invalid_argument unless `text` is exactly 32 hex digits (either case).
Result<SiteId> site_id_from_hex(std::string_view text);

// Hybrid logical clock (Kulkarni et al. 2014, "Logical Physical Clocks"): milliseconds since the
// Unix epoch << 16 | counter. Zero is "before every write": the clock of baseline versions.
using Hlc = uint64_t;
inline constexpr unsigned kHlcCounterBits = 16;
constexpr Hlc hlc_from_ms(uint64_t unix_ms) { return unix_ms << kHlcCounterBits; }
constexpr uint64_t hlc_to_ms(Hlc hlc) { return hlc >> kHlcCounterBits; }

using SiteIndex = uint32_t;

// The local numbering of sites: index -> id and back. Grows, never shrinks; a host persists it.
class SiteTable {
 public:
  // Returns the index of `id`, adding it at the end when it is new.
  SiteIndex intern(const SiteId& id);
  // Returns the index, or -1.
  int64_t find(const SiteId& id) const;
  const SiteId& id(SiteIndex index) const { return ids_[index]; }
  SiteIndex size() const { return static_cast<SiteIndex>(ids_.size()); }

 private:
  struct Hash {
    size_t operator()(const SiteId& id) const;
  };
  std::vector<SiteId> ids_;
  std::unordered_map<SiteId, SiteIndex, Hash> by_id_;
};

// One write as a cell sees it. `dead` marks a tombstone: a delete, whose value at a cell is what
// the deleter saw there (the row's last image).
struct Version {
  uint64_t seq = 0;
  Hlc hlc = 0;
  SiteIndex site = 0;
  bool dead = false;

  // Stands for whatever stood here when that was forgotten, every site having seen it
  // (docs/merge_rules.md, "Melting"): seq 0 of nobody, hlc 0. Every vector knows it.
  bool melted() const { return seq == 0; }
  bool same_dot(const Version& other) const { return seq == other.seq && site == other.site; }
};

// The total order of versions: hlc, then site id, then seq. Returns <0, 0 or >0.
int compare_versions(const Version& a, const Version& b, const SiteTable& sites);

// A column's permanent number in its table; numbers are given in order and never used again.
using ColumnNumber = uint32_t;
// Refers to a stored vector: what is known of one row beyond the site's knowledge. 0 is none.
using ContextId = uint64_t;

}  // namespace syncline
