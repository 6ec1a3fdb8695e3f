#include "syncline/version_vector.h"

#include <algorithm>
#include <charconv>

#include "syncline/codec.h"
#include "syncline/limits.h"

namespace syncline {
namespace {

// Sites with an entry, in the order of their ids.
std::vector<SiteIndex> sorted_sites(const VersionVector& vector, const SiteTable& sites) {
  std::vector<SiteIndex> order;
  for (SiteIndex site = 0; site < vector.size(); ++site) {
    if (vector.seq(site) != 0) order.push_back(site);
  }
  std::sort(order.begin(), order.end(),
            [&](SiteIndex a, SiteIndex b) { return sites.id(a) < sites.id(b); });
  return order;
}

// A reader for exactly the JSON that a vector is: an object of arrays of two whole numbers.
class VectorParser {
 public:
  explicit VectorParser(std::string_view json) : rest_(json) {}

  bool take(char c) {
    skip_space();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool at_end() {
    skip_space();
    return rest_.empty();
  }
  // A string without escapes: site ids have none.
  bool text(std::string_view* out) {
    if (!take('"')) return false;
    const size_t size = rest_.find('"');
    if (size == std::string_view::npos) return false;
    *out = rest_.substr(0, size);
    rest_.remove_prefix(size + 1);
    return true;
  }
  bool number(uint64_t max, uint64_t* out) {
    skip_space();
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), *out);
    if (error != std::errc() || *out > max) return false;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return true;
  }
  bool entry(VectorEntry* out) {
    return take(':') && take('[') && number(limits::seq_max, &out->seq) && take(',') &&
           number(limits::hlc_max, &out->hlc) && take(']');
  }

 private:
  void skip_space() {
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_.front()) != rest_.npos) {
      rest_.remove_prefix(1);
    }
  }
  std::string_view rest_;
};

Status malformed(const std::string& what) {
  return Status(StatusCode::invalid_argument, "malformed version vector: " + what,
                "pass what sync_version_vector() returns: {\"<32 hex digits>\": [seq, hlc], ...}");
}

Status too_many_sites() {
  return Status(StatusCode::limit_exceeded,
                "a version vector names more than " + std::to_string(limits::sites_max) + " sites");
}

Status corrupt(const char* what) {
  return Status(StatusCode::corrupt_input, std::string("version vector: ") + what);
}

}  // namespace

bool VersionVector::empty() const {
  return std::all_of(entries_.begin(), entries_.end(),
                     [](const VectorEntry& entry) { return entry.seq == 0; });
}

void VersionVector::set(SiteIndex site, VectorEntry entry) {
  if (site >= entries_.size()) {
    if (entry.seq == 0) return;
    entries_.resize(site + 1);
  }
  entries_[site] = entry.seq == 0 ? VectorEntry{} : entry;
}

void VersionVector::merge(const VersionVector& other) {
  if (entries_.size() < other.entries_.size()) entries_.resize(other.entries_.size());
  for (size_t i = 0; i < other.entries_.size(); ++i) {
    const VectorEntry &theirs = other.entries_[i], &ours = entries_[i];
    // Two witnesses of one seq mean a copied site; the greater one keeps merging commutative.
    if (theirs.seq > ours.seq || (theirs.seq == ours.seq && theirs.hlc > ours.hlc)) {
      entries_[i] = theirs;
    }
  }
}

bool VersionVector::covered_by(const VersionVector& other) const {
  for (SiteIndex site = 0; site < size(); ++site) {
    if (seq(site) > other.seq(site)) return false;
  }
  return true;
}

bool VersionVector::operator==(const VersionVector& other) const {
  const SiteIndex count = std::max(size(), other.size());
  for (SiteIndex site = 0; site < count; ++site) {
    const VectorEntry a = entry(site), b = other.entry(site);
    if (a.seq != b.seq || a.hlc != b.hlc) return false;
  }
  return true;
}

std::string vector_to_json(const VersionVector& vector, const SiteTable& sites) {
  std::string json = "{";
  for (SiteIndex site : sorted_sites(vector, sites)) {
    const VectorEntry entry = vector.entry(site);
    if (json.size() > 1) json += ", ";
    json += "\"" + to_hex(sites.id(site)) + "\": [" + std::to_string(entry.seq) + ", " +
            std::to_string(entry.hlc) + "]";
  }
  json += "}";
  return json;
}

Status vector_from_json(std::string_view json, SiteTable* sites, VersionVector* out) {
  *out = VersionVector();
  VectorParser parser(json);
  if (parser.at_end()) return Status();
  if (!parser.take('{')) return malformed("it is not a JSON object");
  uint64_t count = 0;
  VersionVector result;
  while (!parser.take('}')) {
    if (count > 0 && !parser.take(',')) return malformed("a comma is missing");
    std::string_view name;
    if (!parser.text(&name)) return malformed("a site id in quotes is missing");
    Result<SiteId> id = site_id_from_hex(name);
    if (!id.ok()) return malformed(id.status().message());
    VectorEntry entry;
    if (!parser.entry(&entry)) {
      return malformed("the entry of site " + to_hex(id.value()) + " is not [seq, hlc]");
    }
    if (++count > limits::sites_max) return too_many_sites();
    const SiteIndex site = sites->intern(id.value());
    if (result.seq(site) != 0) {
      return malformed("site " + to_hex(id.value()) + " is named twice");
    }
    result.set(site, entry);
  }
  if (!parser.at_end()) return malformed("something follows the closing brace");
  *out = std::move(result);
  return Status();
}

void append_vector(std::string* out, const VersionVector& vector, const SiteTable& sites) {
  const std::vector<SiteIndex> order = sorted_sites(vector, sites);
  append_varint(out, order.size());
  for (SiteIndex site : order) {
    const SiteId& id = sites.id(site);
    out->append(reinterpret_cast<const char*>(id.bytes.data()), id.bytes.size());
    append_varint(out, vector.entry(site).seq);
    append_varint(out, vector.entry(site).hlc);
  }
}

Status read_vector(std::string_view* input, SiteTable* sites, VersionVector* out) {
  // An entry takes an id and at least one byte each for seq and hlc.
  constexpr size_t kEntryBytesMin = 16 + 1 + 1;
  *out = VersionVector();
  ByteReader reader(*input);
  uint64_t count;
  if (!reader.varint(&count)) return corrupt("cut short");
  if (count > limits::sites_max) return too_many_sites();
  if (count > reader.rest().size() / kEntryBytesMin) return corrupt("cut short");
  SiteId before;
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view bytes;
    VectorEntry entry;
    if (!reader.view(16, &bytes) || !reader.varint(&entry.seq) || !reader.varint(&entry.hlc)) {
      return corrupt("cut short");
    }
    SiteId id;
    std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
    if (i > 0 && id <= before) return corrupt("sites are not in ascending order");
    if (entry.seq == 0 || entry.seq > limits::seq_max || entry.hlc > limits::hlc_max) {
      return corrupt("seq or hlc out of range");
    }
    out->set(sites->intern(id), entry);
    before = id;
  }
  *input = reader.rest();
  return Status();
}

}  // namespace syncline
