// Reads what a chunk says before its rows: checks and unpacks the whole, then sites, header,
// contexts and settings. See chunk_reader.cpp.
#include <algorithm>

#include "chunk_reader_impl.h"

namespace syncline {

using namespace chunk_format;

Status ChunkReader::Impl::read_sites(SiteTable* table) {
  uint64_t count;
  if (!reader.varint(&count)) return corrupt("the sites are cut short");
  if (count > limits::sites_max) return over_limit("it names too many sites");
  if (count > reader.rest().size() / 16) return corrupt("the sites are cut short");
  sites.reserve(count);
  SiteId before;
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view bytes;
    if (!reader.view(16, &bytes)) return corrupt("the sites are cut short");
    SiteId id;
    std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
    if (i > 0 && id <= before) return corrupt("the sites are not in ascending order");
    sites.push_back(table->intern(id));
    before = id;
  }
  names_nobody = count > 0 && table->id(sites[0]) == kNobody;
  if (names_nobody && version < 3) return corrupt("it names nobody as a site");
  seq_before.assign(count, 0);
  return Status();
}

Status ChunkReader::Impl::read_vector(const char* name, const VersionVector& reference,
                                      VersionVector* out) {
  const std::string where = std::string("the vector '") + name + "' ";
  uint64_t count, position = 0;
  if (!reader.varint(&count) || count > sites.size()) return corrupt(where + "is malformed");
  *out = reference;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t gap;
    VectorEntry entry;
    if (!reader.varint(&gap) || gap >= sites.size() - position || !reader.varint(&entry.seq)) {
      return corrupt(where + "is malformed");
    }
    if (entry.seq != 0 && !reader.varint(&entry.hlc)) return corrupt(where + "is cut short");
    if (entry.seq > limits::seq_max || entry.hlc > limits::hlc_max) {
      return corrupt(where + "has an entry out of range");
    }
    const SiteIndex site = sites[position + gap];
    if (site_table->id(site) == kNobody) return corrupt(where + "has an entry of nobody");
    const VectorEntry known = out->entry(site);
    if (entry.seq == known.seq && entry.hlc == known.hlc) {
      return corrupt(where + "repeats what is known");
    }
    out->set(site, entry);
    position += gap + 1;
  }
  // Vectors are arrays over the whole site table, so a few bytes can claim much memory.
  vector_bytes += uint64_t{out->size()} * sizeof(VectorEntry);
  if (vector_bytes > limits::vector_memory_bytes_max)
    return over_limit("its vectors are too large");
  return Status();
}

Status ChunkReader::Impl::read_header() {
  uint64_t sender;
  uint8_t last;
  std::string_view exchange, predecessor, token;
  if (!reader.varint(&sender) || sender >= sites.size() ||
      !reader.view(kExchangeBytes, &exchange) || !reader.varint(&header.number) ||
      !reader.byte(&last) || last > 1) {
    return corrupt("the header is malformed");
  }
  header.sender = site_table->id(sites[sender]);
  header.exchange = exchange;
  header.last = last == 1;
  SYNCLINE_TRY(read_vector("since", VersionVector(), &header.since));
  SYNCLINE_TRY(read_vector("start", header.since, &header.start));
  SYNCLINE_TRY(read_vector("knowledge", header.start, &header.knowledge));
  if (!reader.bytes(kHashBytes, &predecessor) || predecessor.size() % kHashBytes != 0) {
    return corrupt("the predecessor is malformed");
  }
  if (!reader.bytes(limits::token_bytes_max, &token)) return corrupt("the token is malformed");
  header.predecessor = predecessor;
  header.token = token;
  if (!reader.varint(&header.row_count) || header.row_count > reader.rest().size()) {
    return corrupt("the row count cannot be true");
  }
  if (header.row_count > limits::rows_per_chunk_max) return over_limit("it has too many rows");
  rows_left = header.row_count;
  SYNCLINE_TRY(read_contexts());
  if (version > 1) SYNCLINE_TRY(read_settings());
  if (version > 2) SYNCLINE_TRY(read_melting());
  if (!reader.varint(&sections_left) || sections_left > reader.rest().size()) {
    return corrupt("the table count cannot be true");
  }
  if (sections_left > limits::tables_per_chunk_max) return over_limit("it has too many tables");
  if (sections_left == 0 && (rows_left != 0 || !reader.at_end())) {
    return corrupt("rows or bytes follow the last table");
  }
  return Status();
}

Status ChunkReader::Impl::read_contexts() {
  uint64_t count;
  if (!reader.varint(&count) || count > header.row_count || count > reader.rest().size()) {
    return corrupt("the context count cannot be true");
  }
  for (uint64_t i = 0; i < count; ++i) {
    SYNCLINE_TRY(read_vector("context", VersionVector(), &contexts.emplace_back()));
    if (contexts.back().empty()) return corrupt("a context is empty");
  }
  return Status();
}

Status ChunkReader::Impl::read_settings() {
  uint64_t count;
  // Two lengths, a clock and a site for each.
  if (!reader.varint(&count) || count > limits::settings_max || count > reader.rest().size() / 19) {
    return corrupt("the count of settings cannot be true");
  }
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view key, value, site;
    Setting& setting = header.settings.emplace_back();
    if (!reader.bytes(limits::setting_key_bytes_max, &key) || key.empty() ||
        !reader.bytes(limits::setting_value_bytes_max, &value) || !reader.varint(&setting.hlc) ||
        setting.hlc > limits::hlc_max || !reader.view(16, &site)) {
      return corrupt("a setting is malformed");
    }
    setting.key = key;
    setting.value = value;
    std::copy(site.begin(), site.end(), setting.site.bytes.begin());
    if (i > 0 && header.settings[i - 1].key >= setting.key) {
      return corrupt("the settings are not in ascending order");
    }
  }
  return Status();
}

Status ChunkReader::Impl::read_melting() {
  uint8_t flags;
  if (!reader.byte(&flags) || flags > (kHasMelted | kHasRanges | kHasHeard)) {
    return corrupt("what it says about melting is malformed");
  }
  if ((flags & kHasMelted) != 0) {
    SYNCLINE_TRY(read_vector("melted", header.since, &header.melted));
    if (header.melted.empty()) return corrupt("the vector 'melted' is empty");
  }
  header.full = (flags & kHasRanges) != 0;
  if (header.full) SYNCLINE_TRY(read_ranges());
  return (flags & kHasHeard) != 0 ? read_heard() : Status();
}

Status ChunkReader::Impl::read_ranges() {
  uint64_t count;
  if (!reader.varint(&count) || count > limits::tables_per_chunk_max ||
      count > reader.rest().size() / 4) {
    return corrupt("the count of ranges cannot be true");
  }
  std::unordered_set<std::string_view> seen;
  for (uint64_t i = 0; i < count; ++i) {
    std::string_view table, after, upto;
    uint8_t end;
    if (!reader.bytes(limits::name_bytes_max, &table) || table.empty() ||
        !reader.bytes(limits::value_bytes_max, &after) || !reader.byte(&end) || end > 1 ||
        !reader.bytes(limits::value_bytes_max, &upto) || (end == 1) != upto.empty() ||
        (end == 0 && upto <= after) || !seen.insert(table).second) {
      return corrupt("a range is malformed");
    }
    header.ranges.push_back(
        {std::string(table), std::string(after), std::string(upto), end == 1, {}});
    uint64_t types;
    if (!reader.varint(&types) || types == 0 || types > limits::key_columns_max) {
      return corrupt("the key of a range is malformed");
    }
    for (uint64_t k = 0; k < types; ++k) {
      std::string_view type;
      if (!reader.bytes(limits::name_bytes_max, &type)) return corrupt("a range is cut short");
      header.ranges.back().key_types.emplace_back(type);
    }
  }
  return Status();
}

Status ChunkReader::Impl::read_heard() {
  uint64_t count;
  if (!reader.varint(&count) || count == 0 || count > sites.size()) {
    return corrupt("the count of acknowledgements cannot be true");
  }
  uint64_t before = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t site;
    if (!reader.varint(&site) || site >= sites.size() || (i > 0 && site <= before)) {
      return corrupt("an acknowledgement is malformed");
    }
    before = site;
    auto& heard = header.acknowledgements.emplace_back(sites[site], VersionVector());
    SYNCLINE_TRY(read_vector("acknowledgement", header.start, &heard.second));
  }
  return Status();
}

Status ChunkReader::open(std::string_view bytes, SiteTable* sites,
                         std::unique_ptr<ChunkReader>* out) {
  if (bytes.size() > limits::chunk_bytes_max) return over_limit("it is too large");
  if (bytes.substr(0, kMagic.size()) != kMagic) return corrupt("it does not begin as chunks do");
  if (bytes.size() < kPrefixBytes + kHashBytes) return corrupt("it is cut short");
  const uint8_t version = static_cast<uint8_t>(bytes[kMagic.size()]);
  if (version < kVersionOldest || version > kVersion) {
    return Status(StatusCode::unsupported_version,
                  "chunk: it has format version " + std::to_string(version) +
                      ", this build reads versions up to " + std::to_string(kVersion),
                  "install the same release on both sides");
  }
  const std::string_view hashed = bytes.substr(0, bytes.size() - kHashBytes);
  if (hash128(hashed) != bytes.substr(hashed.size())) {
    return corrupt("its checksum is wrong: it was cut short or altered");
  }
  ByteReader reader(hashed.substr(kMagic.size() + 1));
  uint8_t flags;
  uint64_t body_size;
  if (!reader.byte(&flags) || flags > static_cast<uint8_t>(Compression::lz4) ||
      !reader.varint(&body_size)) {
    return corrupt("its flags or size are malformed");
  }
  std::unique_ptr<ChunkReader> chunk(new ChunkReader());
  Impl& impl = *chunk->impl_;
  impl.site_table = sites;
  impl.version = version;
  SYNCLINE_TRY(unpack_body(reader.rest(), static_cast<Compression>(flags), body_size, &impl.body));
  impl.reader = ByteReader(std::string_view(impl.body.get(), body_size));
  SYNCLINE_TRY(impl.read_sites(sites));
  SYNCLINE_TRY(impl.read_header());
  *out = std::move(chunk);
  return Status();
}

}  // namespace syncline
