// JSON documents merged path by path (json_merge.h). Notes:
//
//   note    := format:u8 sites context registers:varint [writers runs]    head: cell_note.h
//   writers := count:varint (site:varint seq:varint age:zigzag)*   age: this version's hlc less its
//   runs    := (length:varint writer:varint)*                      until all registers have one
//
// A note says which write last set each register of the document; writer 0 is the version itself.
// The registers are those of the version's value, objects before their members, members by name,
// elements by key. Where a note does not tell (`registers` is 0 or another number than the value
// has), all are the version's own.
#include <algorithm>

#include "json_merge.h"
#include "syncline/limits.h"

namespace syncline {
namespace {

constexpr uint8_t kFormat = 0x31;

bool read_registers(NoteReader* in, JsonDocument* out) {
  uint64_t count;
  if (!in->in().varint(&count)) return false;
  if (count == 0) return in->in().at_end();
  if (count != out->registers.size()) return true;
  uint64_t writer_count;
  if (!in->count(&writer_count)) return false;
  std::vector<Version> writers{out->version};
  for (; writer_count > 0; --writer_count) {
    Dot dot;
    int64_t age;
    if (!in->dot(&dot) || !in->in().zigzag(&age)) return false;
    writers.push_back({dot.seq, out->version.hlc - static_cast<uint64_t>(age), dot.site, false});
  }
  std::vector<uint32_t> writer_of;
  while (writer_of.size() < count) {
    uint64_t length, writer;
    if (!in->in().varint(&length) || !in->in().varint(&writer)) return false;
    if (length == 0 || length > count - writer_of.size() || writer >= writers.size()) return false;
    writer_of.insert(writer_of.end(), length, static_cast<uint32_t>(writer));
  }
  if (!in->in().at_end()) return false;
  out->writers = std::move(writers);
  for (size_t i = 0; i < writer_of.size(); ++i)
    out->writer_of[out->registers[i]] = writer_of[i];
  return true;
}

void read_version(const NotedVersion& noted, std::string_view array_key, const SiteTable& from,
                  SiteTable* sites, JsonDocument* out) {
  out->version = renumber(noted.version, from, sites);
  out->parse(noted.value, array_key);
  NoteReader in;
  if (noted.note.empty() || !in.open(kFormat, noted.note, out->version.site, sites)) return;
  if (read_registers(&in, out)) out->context = in.context;
}

// Those that take part: JSON, if the greatest version is.
std::vector<const JsonDocument*> documents_of(const std::vector<JsonDocument>& versions) {
  std::vector<const JsonDocument*> documents;
  for (const JsonDocument& one : versions) {
    if (one.is_json) {
      documents.push_back(&one);
    } else if (documents.empty()) {
      break;
    }
  }
  return documents;
}

// Gives the registers of a new document at and below a node the writers that the merge names.
void find_writers(const JsonMerge& merge, std::string_view array_key, uint32_t node, uint32_t place,
                  std::map<Dot, uint32_t>* known, JsonDocument* document) {
  const Version* writer = merge.writer(place, *document, node);
  if (writer != nullptr) {
    const auto next = static_cast<uint32_t>(document->writers.size());
    const auto [at, added] = known->try_emplace(dot_of(*writer), next);
    if (added) document->writers.push_back(*writer);
    document->writer_of[node] = at->second;
  }
  if (document->roles[node] == JsonRole::leaf) return;
  for (uint32_t child = document->tree[node].child; child != 0;
       child = document->tree[child].next) {
    if (document->is_key(node, child, array_key)) continue;
    find_writers(merge, array_key, child, merge.child_place(place, *document, node, child), known,
                 document);
  }
}

void write_registers(const JsonDocument& document, NoteWriter* out) {
  const std::vector<uint32_t>& registers = document.registers;
  out->count(registers.size());
  out->count(document.writers.size() - 1);
  for (size_t i = 1; i < document.writers.size(); ++i) {
    const Version& writer = document.writers[i];
    out->dot(dot_of(writer));
    append_zigzag(&out->bytes(), static_cast<int64_t>(document.version.hlc - writer.hlc));
  }
  for (size_t i = 0, end; i < registers.size(); i = end) {
    const uint32_t writer = document.writer_of[registers[i]];
    for (end = i + 1; end < registers.size() && document.writer_of[registers[end]] == writer;)
      ++end;
    out->count(end - i);
    out->count(writer);
  }
}

}  // namespace

void json_note(const NoteInput& input, std::string_view array_key, std::string* note) {
  note->clear();
  SiteTable sites;
  JsonDocument written;
  written.version = renumber(input.version, *input.sites, &sites);
  const Replaced replaced = replaced_versions(input);
  const auto know = [&](const JsonDocument& one) {
    cover(one.context, &written.context);
    cover(dot_of(one.version), &written.context);
  };
  for (const NotedVersion& noted : replaced.known) {
    JsonDocument one;
    read_version(noted, array_key, *input.sites, &sites, &one);
    know(one);
  }
  // The greatest first. A tombstone's note names no writers: all it saw counts as its own.
  std::vector<JsonDocument> shown(replaced.shown.size());
  for (size_t i = 0; i < shown.size(); ++i) {
    read_version(replaced.shown[shown.size() - 1 - i], array_key, *input.sites, &sites, &shown[i]);
    know(shown[i]);
  }
  JsonMerge merge(sites, array_key);
  if (input.write == WriteKind::change && merge.run(documents_of(shown))) {
    written.parse(input.after, array_key);
    std::map<Dot, uint32_t> known{{dot_of(written.version), 0}};
    if (written.is_json) find_writers(merge, array_key, 0, 0, &known, &written);
  }
  const bool all_own = written.writers.size() <= 1;
  const bool dead = input.write == WriteKind::erase;
  if (all_own && is_plain_context(written.context, written.version.site, dead)) return;
  std::set<SiteIndex> used;
  for (const Version& writer : written.writers)
    used.insert(writer.site);
  NoteWriter out(kFormat, written.version.site, sites, written.context, used, note);
  if (all_own) {
    out.count(0);
  } else {
    write_registers(written, &out);
  }
}

void json_value(const MergeInput& input, Arena* arena, MergeResult* out) {
  const std::vector<size_t> order = merge_order(input);
  show_greatest(input, order, out);
  if (order.size() < 2) return;
  SiteTable sites;
  std::vector<JsonDocument> versions(order.size());
  for (size_t i = 0; i < order.size(); ++i) {
    read_version(input.versions[order[i]], input.array_key, *input.sites, &sites, &versions[i]);
  }
  const std::vector<const JsonDocument*> documents = documents_of(versions);
  JsonMerge merge(sites, input.array_key);
  if (documents.size() < 2 || !merge.run(documents)) return;
  const std::string text = merge.text();
  if (text.size() > limits::value_bytes_max) return;
  std::string greatest;
  append_without_space(documents[0]->tree[0].raw, &greatest);
  // A merge that changes nothing keeps the spelling.
  if (text != greatest) out->value = Value::text(arena->copy(text));
  size_t document = 0;
  for (size_t i = 0; i < order.size(); ++i)
    out->lost[order[i]] = !versions[i].is_json || merge.lost()[document++];
}

}  // namespace syncline
