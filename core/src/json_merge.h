// Private: several versions of a JSON document joined path by path.
//
// Every value of a document is a register that remembers which write set it: leaves hold a value,
// objects only that they are there. An array is a leaf, or, with an array key, a container of
// objects that are told apart by that member. A register stays if every version that covers its
// write has it; what stays for one place in several kinds or values is settled by the greatest
// write. A place below which something stays is there, too.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cell_note.h"
#include "json_tree.h"

namespace syncline {

enum class JsonRole : uint8_t { leaf, object, elements };

// One version's document.
struct JsonDocument {
  Version version;
  CellContext context;
  JsonTree tree;
  bool is_json = false;
  // By node. A node that is part of a leaf has no role worth reading.
  std::vector<JsonRole> roles;
  std::vector<uint32_t> writer_of;  // index of writers
  std::vector<Version> writers{1};  // the first is the version itself
  // Nodes that are registers, in an order that depends on names and values alone: a database may
  // keep members in an order of its own.
  std::vector<uint32_t> registers;
  std::unordered_map<uint32_t, std::string> element_keys;  // canonical, by node of the element

  // Reads the text and finds the registers; all of them are the version's own.
  void parse(const Value& value, std::string_view array_key);
  bool is_key(uint32_t element, uint32_t member, std::string_view array_key) const {
    return element_keys.count(element) > 0 && tree[member].key == array_key;
  }

 private:
  bool find_element_keys(uint32_t array, std::string_view array_key);
  void visit(uint32_t node, std::string_view array_key);
};

class JsonMerge {
 public:
  static constexpr uint32_t kNoPlace = UINT32_MAX;

  JsonMerge(const SiteTable& sites, std::string_view array_key)
      : sites_(sites), array_key_(array_key) {}

  // `documents`: the greatest first; they must outlive this. False: too big, or nothing is left.
  bool run(const std::vector<const JsonDocument*>& documents);
  std::string text() const;  // without blanks
  // By document: a value of it gave way to another. Never the first: if its value gives way, the
  // one that stands is named.
  const std::vector<bool>& lost() const { return lost_; }

  // The place of a child in the result, for a note. Node 0's is place 0.
  uint32_t child_place(uint32_t place, const JsonDocument& document, uint32_t parent,
                       uint32_t child) const;
  // Which write gave the result what `document` has at this node; null if it has something else.
  const Version* writer(uint32_t place, const JsonDocument& document, uint32_t node) const;

 private:
  struct Claim {  // a register that stays
    JsonRole role;
    size_t document;  // the greatest that has it
    uint32_t node;
    Version writer;
    std::vector<size_t> holders;  // documents
    std::string canonical;        // of a leaf
  };
  struct Place {
    std::string_view key_raw;
    size_t document = 0;  // the first that named it
    uint32_t node = 0;
    bool element = false;
    bool is_key = false;  // of an element: there as long as the element is
    bool alive = false;
    JsonRole role = JsonRole::leaf;   // of what stands
    const Claim* stands = nullptr;    // a leaf's, or of the container itself; may be null
    const Claim* greatest = nullptr;  // here or below
    std::vector<uint32_t> children;
    std::vector<Claim> claims;
  };
  struct Register {
    uint32_t place;
    Dot dot;
    size_t document;
    uint32_t node;
    auto operator<=>(const Register&) const = default;
  };

  static std::string place_key(uint32_t parent, bool element, std::string_view name);
  uint32_t place_of(uint32_t parent, size_t document, uint32_t node, bool element,
                    std::string_view name);
  void add(size_t document, uint32_t node, uint32_t place);
  void keep_claims();
  void resolve(uint32_t place);
  void settle(uint32_t place, JsonRole role, const Claim* greatest);
  // Each says whether a value of the greatest document gave way: then the one that stands is lost
  // to the reader who trusts the greatest.
  bool lose(const Claim& claim);
  bool lose_values(uint32_t place);
  bool lose_below(uint32_t place, JsonRole role);
  bool is_greater(const Claim* a, const Claim* b) const;
  void append(uint32_t place, std::string* out) const;

  const SiteTable& sites_;
  std::string_view array_key_;
  std::vector<const JsonDocument*> documents_;
  std::vector<Place> places_;
  std::unordered_map<std::string, uint32_t> by_key_;
  std::vector<Register> registers_;
  std::vector<bool> lost_;
};

}  // namespace syncline
