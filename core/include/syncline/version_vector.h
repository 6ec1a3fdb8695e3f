// Version vectors: site -> greatest seq such that all changes of that site up to it are here.
//
// Always a contiguous prefix, never the greatest seq seen. Each entry also carries the hlc that
// stands at that seq, the witness: an owner that finds another hlc there was rolled back or copied
// (docs/merge_rules.md, "Identity"). In SQL: {"<32 hex digits>": [seq, hlc], ...}.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "syncline/status.h"
#include "syncline/types.h"

namespace syncline {

struct VectorEntry {
  uint64_t seq = 0;
  Hlc hlc = 0;
};

class VersionVector {
 public:
  uint64_t seq(SiteIndex site) const { return site < entries_.size() ? entries_[site].seq : 0; }
  VectorEntry entry(SiteIndex site) const {
    return site < entries_.size() ? entries_[site] : VectorEntry{};
  }
  bool knows(const Version& version) const { return version.seq <= seq(version.site); }
  bool empty() const;
  // One past the greatest index that may be set.
  SiteIndex size() const { return static_cast<SiteIndex>(entries_.size()); }

  // Sets an entry, also to a smaller seq.
  void set(SiteIndex site, VectorEntry entry);
  // Raises every entry to at least that of `other`.
  void merge(const VersionVector& other);
  // True if `other` knows everything this one knows.
  bool covered_by(const VersionVector& other) const;
  bool operator==(const VersionVector& other) const;

 private:
  std::vector<VectorEntry> entries_;
};

// JSON with sites in the order of their ids, so that equal vectors have equal text.
std::string vector_to_json(const VersionVector& vector, const SiteTable& sites);
// Unknown sites are interned. Accepts "" and "{}" as empty. Errors: invalid_argument, naming the
// entry that is malformed; limit_exceeded.
Status vector_from_json(std::string_view json, SiteTable* sites, VersionVector* out);

// Binary form, for contexts and tokens: sorted by site id. See docs/wire_format.md.
void append_vector(std::string* out, const VersionVector& vector, const SiteTable& sites);
Status read_vector(std::string_view* input, SiteTable* sites, VersionVector* out);

}  // namespace syncline
