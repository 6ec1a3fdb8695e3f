// JSON arrays as sets. Notes:
//
//   note  := format:u8 sites context elements:varint [dots sets runs]     head: cell_note.h
//   dots  := count:varint (site:varint seq:varint)*
//   sets  := count:varint (count:varint dot:varint*)*      of positions in dots
//   runs  := (length:varint set:varint)*                   until all elements have one
//
// An element stands in the set with the dots of the writes that added it. The elements themselves
// are those of the version's value, in its order; a note only says which dots they have. Where it
// has none (`elements` is 0 or the value's length is another), each has the dot of the version.
#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "cell_note.h"
#include "json_tree.h"
#include "syncline/limits.h"

namespace syncline {
namespace {

constexpr uint8_t kFormat = 0x21;
// Over all versions of a cell. Beyond it arrays are assignments.
constexpr size_t kPairsMax = 2'000'000;

using Dots = std::vector<Dot>;

struct ArrayVersion {
  Version version;
  JsonTree array;
  bool is_array = false;
  CellContext context;
  std::vector<Dots> sets;
  std::vector<uint32_t> set_of;  // by element
};

bool read_sets(NoteReader* in, std::vector<Dots>* out) {
  uint64_t count;
  if (!in->count(&count)) return false;
  Dots dots(count);
  for (Dot& dot : dots) {
    if (!in->dot(&dot)) return false;
  }
  if (!in->count(&count)) return false;
  out->resize(count);
  for (Dots& set : *out) {
    if (!in->count(&count) || count == 0) return false;
    for (; count > 0; --count) {
      uint64_t at;
      if (!in->in().varint(&at) || at >= dots.size()) return false;
      set.push_back(dots[at]);
    }
  }
  return true;
}

// Which dots the elements have.
bool read_elements(NoteReader* in, ArrayVersion* out) {
  const size_t element_count = out->set_of.size();
  uint64_t count;
  if (!in->in().varint(&count)) return false;
  if (count == 0) return in->in().at_end();
  if (count != element_count) return true;
  std::vector<Dots> sets;
  if (!read_sets(in, &sets)) return false;
  std::vector<uint32_t> set_of;
  while (set_of.size() < element_count) {
    uint64_t length, set;
    if (!in->in().varint(&length) || !in->in().varint(&set)) return false;
    if (length == 0 || length > element_count - set_of.size() || set >= sets.size()) return false;
    set_of.insert(set_of.end(), length, static_cast<uint32_t>(set));
  }
  if (!in->in().at_end()) return false;
  out->sets = std::move(sets);
  out->set_of = std::move(set_of);
  return true;
}

void read_version(const NotedVersion& noted, const SiteTable& from, SiteTable* sites,
                  ArrayVersion* out) {
  out->version = renumber(noted.version, from, sites);
  out->is_array = noted.value.is(ValueKind::text) && out->array.parse(noted.value.bytes()) &&
                  out->array[0].kind == JsonKind::array;
  out->sets.assign(1, Dots{dot_of(out->version)});
  out->set_of.assign(out->is_array ? out->array[0].child_count : 0, 0);
  NoteReader in;
  if (noted.note.empty() || !in.open(kFormat, noted.note, out->version.site, sites)) return;
  if (read_elements(&in, out)) out->context = in.context;
}

// The set that several versions make, by the rule of observed removal: an (element, dot) stays if
// every version that covers the dot has it.
class ArrayMerge {
 public:
  struct Item {
    size_t version;  // the greatest that has it
    uint32_t node;
    Dots dots;  // none: it is removed
  };

  // `versions`: arrays, the greatest first. False: too many.
  bool run(const std::vector<const ArrayVersion*>& versions);
  const std::vector<Item>& items() const { return items_; }  // in the order they are shown
  const Dots* find(const std::string& canonical) const;

 private:
  std::unordered_map<std::string, uint32_t> by_text_;
  std::vector<Item> items_;
};

bool ArrayMerge::run(const std::vector<const ArrayVersion*>& versions) {
  std::vector<std::tuple<uint32_t, Dot, size_t>> pairs;  // item, dot, version
  Coverage coverage;
  for (size_t i = 0; i < versions.size(); ++i) {
    const ArrayVersion& one = *versions[i];
    coverage.add(dot_of(one.version), &one.context);
    size_t position = 0;
    for (uint32_t node = one.array[0].child; node != 0; node = one.array[node].next) {
      const auto [at, added] =
          by_text_.try_emplace(one.array.canonical(node), static_cast<uint32_t>(items_.size()));
      if (added) items_.push_back({i, node, {}});
      for (const Dot& dot : one.sets[one.set_of[position]])
        pairs.emplace_back(at->second, dot, i);
      if (pairs.size() > kPairsMax) return false;
      ++position;
    }
  }
  coverage.finish();
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  for (size_t i = 0; i < pairs.size();) {
    const auto [item, dot, first] = pairs[i];
    size_t having = 0;
    for (; i < pairs.size() && std::get<0>(pairs[i]) == item && std::get<1>(pairs[i]) == dot; ++i)
      having += coverage.covers(std::get<2>(pairs[i]), dot) ? 1 : 0;
    if (having == coverage.count(dot)) items_[item].dots.push_back(dot);
  }
  return true;
}

const Dots* ArrayMerge::find(const std::string& canonical) const {
  const auto at = by_text_.find(canonical);
  return at == by_text_.end() || items_[at->second].dots.empty() ? nullptr
                                                                 : &items_[at->second].dots;
}

// Those that take part: arrays, if the greatest version is one.
std::vector<const ArrayVersion*> arrays_of(const std::vector<ArrayVersion>& versions) {
  std::vector<const ArrayVersion*> arrays;
  for (const ArrayVersion& one : versions) {
    if (one.is_array)
      arrays.push_back(&one);
    else if (arrays.empty())
      break;
  }
  return arrays;
}

// Writes which dots the elements of a new array have; by element, in its order.
void write_elements(const std::vector<Dots>& elements, NoteWriter* out) {
  std::map<Dot, uint64_t> dots;
  std::map<Dots, uint64_t> sets;
  std::vector<Dot> dot_order;
  std::vector<const Dots*> set_order;
  for (const Dots& element : elements) {
    for (const Dot& dot : element) {
      if (dots.try_emplace(dot, dot_order.size()).second) dot_order.push_back(dot);
    }
    const auto [at, added] = sets.try_emplace(element, set_order.size());
    if (added) set_order.push_back(&at->first);
  }
  out->count(elements.size());
  out->count(dot_order.size());
  for (const Dot& dot : dot_order)
    out->dot(dot);
  out->count(set_order.size());
  for (const Dots* set : set_order) {
    out->count(set->size());
    for (const Dot& dot : *set)
      out->count(dots.at(dot));
  }
  for (size_t i = 0, end; i < elements.size(); i = end) {
    for (end = i + 1; end < elements.size() && elements[end] == elements[i];)
      ++end;
    out->count(end - i);
    out->count(sets.at(elements[i]));
  }
}

// The dots of the elements of a changed array; none if it cannot be told from what was there.
std::vector<Dots> changed_elements(const NoteInput& input, const Version& version,
                                   const std::vector<ArrayVersion>& shown, const SiteTable& sites) {
  JsonTree after;
  ArrayMerge merge;
  const std::vector<const ArrayVersion*> arrays = arrays_of(shown);
  if (input.write != WriteKind::change || arrays.empty() || !merge.run(arrays) ||
      !input.after.is(ValueKind::text) || !after.parse(input.after.bytes()) ||
      after[0].kind != JsonKind::array) {
    return {};
  }
  std::vector<Dots> elements;
  bool kept_any = false;
  for (uint32_t node = after[0].child; node != 0; node = after[node].next) {
    const Dots* kept = merge.find(after.canonical(node));
    elements.push_back(kept != nullptr ? *kept : Dots{dot_of(version)});
    if (kept == nullptr) continue;
    kept_any = true;
    std::sort(elements.back().begin(), elements.back().end(), [&](const Dot& a, const Dot& b) {
      return std::tie(sites.id(a.site), a.seq) < std::tie(sites.id(b.site), b.seq);
    });
  }
  if (!kept_any) elements.clear();
  return elements;
}

}  // namespace

void union_note(const NoteInput& input, std::string* note) {
  note->clear();
  SiteTable sites;
  const Version version = renumber(input.version, *input.sites, &sites);
  const Replaced replaced = replaced_versions(input);
  CellContext context;
  const auto know = [&](const ArrayVersion& one) {
    cover(one.context, &context);
    cover(dot_of(one.version), &context);
  };
  for (const NotedVersion& noted : replaced.known) {
    ArrayVersion one;
    read_version(noted, *input.sites, &sites, &one);
    know(one);
  }
  std::vector<ArrayVersion> shown(replaced.shown.size());
  // The greatest first. A tombstone's note lists no elements: all it saw counts as its own.
  for (size_t i = 0; i < shown.size(); ++i) {
    read_version(replaced.shown[shown.size() - 1 - i], *input.sites, &sites, &shown[i]);
    know(shown[i]);
  }
  const std::vector<Dots> elements = changed_elements(input, version, shown, sites);
  const bool dead = input.write == WriteKind::erase;
  if (elements.empty() && is_plain_context(context, version.site, dead)) return;
  std::set<SiteIndex> used;
  for (const Dots& dots : elements) {
    for (const Dot& dot : dots)
      used.insert(dot.site);
  }
  NoteWriter out(kFormat, version.site, sites, context, used, note);
  if (elements.empty())
    out.count(0);
  else
    write_elements(elements, &out);
}

void union_value(const MergeInput& input, Arena* arena, MergeResult* out) {
  const std::vector<size_t> order = merge_order(input);
  show_greatest(input, order, out);
  if (order.size() < 2) return;
  SiteTable sites;
  std::vector<ArrayVersion> versions(order.size());
  for (size_t i = 0; i < order.size(); ++i)
    read_version(input.versions[order[i]], *input.sites, &sites, &versions[i]);
  const std::vector<const ArrayVersion*> arrays = arrays_of(versions);
  ArrayMerge merge;
  if (arrays.size() < 2 || !merge.run(arrays)) return;
  std::string text = "[";
  size_t shown = 0, of_greatest = 0;
  for (const ArrayMerge::Item& item : merge.items()) {
    if (item.dots.empty()) continue;
    if (shown++ > 0) text.push_back(',');
    if (item.version == 0) ++of_greatest;
    append_without_space(arrays[item.version]->array[item.node].raw, &text);
  }
  text.push_back(']');
  // A merge that changes nothing keeps the spelling.
  const bool unchanged = shown == of_greatest && shown == arrays[0]->array[0].child_count;
  if (text.size() > limits::value_bytes_max) return;
  if (!unchanged) out->value = Value::text(arena->copy(text));
  for (size_t i = 0; i < order.size(); ++i)
    out->lost[order[i]] = !versions[i].is_array;
}

}  // namespace syncline
