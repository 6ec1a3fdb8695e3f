#include "json_merge.h"

#include <algorithm>

namespace syncline {
namespace {

// Values of all versions of a cell together. Beyond it documents are assignments.
constexpr size_t kRegistersMax = 500'000;

}  // namespace

void JsonDocument::parse(const Value& value, std::string_view array_key) {
  is_json = value.is(ValueKind::text) && tree.parse(value.bytes());
  registers.clear();
  element_keys.clear();
  writers.assign(1, version);
  roles.assign(is_json ? tree.size() : 0, JsonRole::leaf);
  writer_of.assign(roles.size(), 0);
  if (is_json) visit(0, array_key);
}

// False, and nothing found, unless all elements are objects whose keys are there and differ.
bool JsonDocument::find_element_keys(uint32_t array, std::string_view array_key) {
  std::vector<std::pair<std::string, uint32_t>> found;
  for (uint32_t element = tree[array].child; element != 0; element = tree[element].next) {
    if (tree[element].kind != JsonKind::object) return false;
    uint32_t member = tree[element].child;
    while (member != 0 && tree[member].key != array_key)
      member = tree[member].next;
    if (member == 0 || tree[member].kind >= JsonKind::array) return false;
    found.emplace_back(tree.canonical(member), element);
  }
  std::sort(found.begin(), found.end());
  for (size_t i = 0; i + 1 < found.size(); ++i) {
    if (found[i].first == found[i + 1].first) return false;
  }
  for (auto& [key, element] : found)
    element_keys.emplace(element, std::move(key));
  return true;
}

// The tree's bound on depth bounds this one.
void JsonDocument::visit(uint32_t node, std::string_view array_key) {
  registers.push_back(node);
  if (tree[node].kind == JsonKind::object) {
    roles[node] = JsonRole::object;
  } else if (tree[node].kind == JsonKind::array && !array_key.empty() &&
             find_element_keys(node, array_key)) {
    roles[node] = JsonRole::elements;
  } else {
    return;
  }
  std::vector<uint32_t> children;
  for (uint32_t child = tree[node].child; child != 0; child = tree[child].next) {
    if (!is_key(node, child, array_key)) children.push_back(child);
  }
  std::sort(children.begin(), children.end(), [&](uint32_t a, uint32_t b) {
    if (roles[node] == JsonRole::object) return tree[a].key < tree[b].key;
    return element_keys.at(a) < element_keys.at(b);
  });
  for (const uint32_t child : children)
    visit(child, array_key);
}

std::string JsonMerge::place_key(uint32_t parent, bool element, std::string_view name) {
  std::string key(reinterpret_cast<const char*>(&parent), sizeof parent);
  key.push_back(element ? '\1' : '\0');
  return key.append(name);
}

uint32_t JsonMerge::place_of(uint32_t parent, size_t document, uint32_t node, bool element,
                             std::string_view name) {
  const auto [at, added] =
      by_key_.try_emplace(place_key(parent, element, name), static_cast<uint32_t>(places_.size()));
  if (!added) return at->second;
  Place place;
  place.key_raw = documents_[document]->tree[node].key_raw;
  place.document = document;
  place.node = node;
  place.element = element;
  places_.push_back(place);
  places_[parent].children.push_back(at->second);
  return at->second;
}

void JsonMerge::add(size_t document, uint32_t node, uint32_t place) {
  const JsonDocument& one = *documents_[document];
  registers_.push_back({place, dot_of(one.writers[one.writer_of[node]]), document, node});
  if (one.roles[node] == JsonRole::leaf) return;
  const bool elements = one.roles[node] == JsonRole::elements;
  for (uint32_t child = one.tree[node].child; child != 0; child = one.tree[child].next) {
    const std::string_view name = elements ? one.element_keys.at(child) : one.tree[child].key;
    const uint32_t below = place_of(place, document, child, elements, name);
    if (one.is_key(node, child, array_key_)) {
      places_[below].is_key = true;
    } else {
      add(document, child, below);
    }
  }
}

bool JsonMerge::run(const std::vector<const JsonDocument*>& documents) {
  documents_ = documents;
  lost_.assign(documents.size(), false);
  size_t register_count = 0;
  for (const JsonDocument* one : documents)
    register_count += one->registers.size();
  if (documents.empty() || register_count > kRegistersMax) return false;
  places_.emplace_back();
  for (size_t i = 0; i < documents.size(); ++i)
    add(i, 0, 0);
  keep_claims();
  resolve(0);
  return places_[0].alive;
}

void JsonMerge::keep_claims() {
  Coverage coverage;
  for (const JsonDocument* one : documents_)
    coverage.add(dot_of(one->version), &one->context);
  coverage.finish();
  std::sort(registers_.begin(), registers_.end());
  for (size_t i = 0, end; i < registers_.size(); i = end) {
    const Register& first = registers_[i];
    std::vector<size_t> holders;
    size_t covering = 0;
    for (end = i; end < registers_.size() && registers_[end].place == first.place &&
                  registers_[end].dot == first.dot;
         ++end) {
      holders.push_back(registers_[end].document);
      covering += coverage.covers(holders.back(), first.dot) ? 1 : 0;
    }
    if (covering != coverage.count(first.dot)) continue;
    const JsonDocument& one = *documents_[first.document];
    Claim claim{one.roles[first.node],
                first.document,
                first.node,
                one.writers[one.writer_of[first.node]],
                std::move(holders),
                {}};
    if (claim.role == JsonRole::leaf) claim.canonical = one.tree.canonical(first.node);
    places_[first.place].claims.push_back(std::move(claim));
  }
}

bool JsonMerge::is_greater(const Claim* a, const Claim* b) const {
  if (a == nullptr || b == nullptr) return a != nullptr;
  return compare_versions(a->writer, b->writer, sites_) > 0;
}

// What stands at a place and below it. Documents bound the depth.
void JsonMerge::resolve(uint32_t place) {
  const Claim* greatest[3] = {nullptr, nullptr, nullptr};  // by role
  const auto raise = [&](JsonRole role, const Claim* claim) {
    const Claim*& best = greatest[static_cast<size_t>(role)];
    if (is_greater(claim, best)) best = claim;
  };
  for (const Claim& claim : places_[place].claims)
    raise(claim.role, &claim);
  for (const uint32_t child : places_[place].children) {
    resolve(child);
    const Place& below = places_[child];
    if (below.alive) raise(below.element ? JsonRole::elements : JsonRole::object, below.greatest);
  }
  JsonRole role = JsonRole::leaf;
  for (const JsonRole other : {JsonRole::object, JsonRole::elements}) {
    if (is_greater(greatest[static_cast<size_t>(other)], greatest[static_cast<size_t>(role)])) {
      role = other;
    }
  }
  if (greatest[static_cast<size_t>(role)] == nullptr) return;
  settle(place, role, greatest[static_cast<size_t>(role)]);
  bool greatest_lost = lose_values(place);
  for (const JsonRole other : {JsonRole::leaf, JsonRole::object, JsonRole::elements}) {
    if (other != role) greatest_lost |= lose_below(place, other);
  }
  if (!greatest_lost) return;
  for (const size_t document : places_[place].greatest->holders)
    lost_[document] = document != 0;
}

void JsonMerge::settle(uint32_t place, JsonRole role, const Claim* greatest) {
  Place& here = places_[place];
  here.alive = true;
  here.role = role;
  here.greatest = greatest;
  for (const Claim& claim : here.claims) {
    if (claim.role == role && is_greater(&claim, here.stands)) here.stands = &claim;
  }
}

bool JsonMerge::lose(const Claim& claim) {
  if (claim.holders.front() == 0) return true;
  for (const size_t document : claim.holders)
    lost_[document] = true;
  return false;
}

bool JsonMerge::lose_values(uint32_t place) {
  const Place& here = places_[place];
  bool greatest_lost = false;
  if (here.role != JsonRole::leaf) return false;
  for (const Claim& claim : here.claims) {
    const bool loses = claim.role == JsonRole::leaf && claim.canonical != here.stands->canonical;
    if (loses) greatest_lost |= lose(claim);
  }
  return greatest_lost;
}

bool JsonMerge::lose_below(uint32_t place, JsonRole role) {
  bool greatest_lost = false;
  for (const Claim& claim : places_[place].claims) {
    if (claim.role == role) greatest_lost |= lose(claim);
  }
  if (role == JsonRole::leaf) return greatest_lost;
  for (const uint32_t child : places_[place].children) {
    if (places_[child].element != (role == JsonRole::elements)) continue;
    for (const JsonRole below : {JsonRole::leaf, JsonRole::object, JsonRole::elements})
      greatest_lost |= lose_below(child, below);
  }
  return greatest_lost;
}

std::string JsonMerge::text() const {
  std::string out;
  append(0, &out);
  return out;
}

void JsonMerge::append(uint32_t place, std::string* out) const {
  const Place& here = places_[place];
  if (here.is_key && !here.alive) {
    append_without_space(documents_[here.document]->tree[here.node].raw, out);
    return;
  }
  if (here.role == JsonRole::leaf) {
    append_without_space(documents_[here.stands->document]->tree[here.stands->node].raw, out);
    return;
  }
  const bool elements = here.role == JsonRole::elements;
  out->push_back(elements ? '[' : '{');
  bool first = true;
  for (const uint32_t child : here.children) {
    const Place& below = places_[child];
    if (below.element != elements || (!below.alive && !below.is_key)) continue;
    if (!first) out->push_back(',');
    first = false;
    if (!elements) out->append(below.key_raw).push_back(':');
    append(child, out);
  }
  out->push_back(elements ? ']' : '}');
}

uint32_t JsonMerge::child_place(uint32_t place, const JsonDocument& document, uint32_t parent,
                                uint32_t child) const {
  const bool elements = document.roles[parent] == JsonRole::elements;
  if (place == kNoPlace || places_[place].role != document.roles[parent]) return kNoPlace;
  const std::string_view name =
      elements ? document.element_keys.at(child) : document.tree[child].key;
  const auto at = by_key_.find(place_key(place, elements, name));
  return at == by_key_.end() || !places_[at->second].alive ? kNoPlace : at->second;
}

const Version* JsonMerge::writer(uint32_t place, const JsonDocument& document,
                                 uint32_t node) const {
  if (place == kNoPlace || places_[place].role != document.roles[node]) return nullptr;
  const Claim* stands = places_[place].stands;
  if (stands == nullptr) return nullptr;
  const bool leaf = stands->role == JsonRole::leaf;
  if (leaf && document.tree.canonical(node) != stands->canonical) return nullptr;
  return &stands->writer;
}

}  // namespace syncline
