// Goal: a JSON array as a set: what one side removed is gone, what another added stays, whatever
// way the versions travelled. Method: hand-made histories, and random ones compared with a set
// that knows for each version everything its writer had seen.
#include <nlohmann/json.hpp>

#include "../core/src/json_tree.h"
#include "support/noted_cell.hpp"

namespace syncline::test {
namespace {

constexpr WriteKind kAssign = WriteKind::assign, kChange = WriteKind::change,
                    kErase = WriteKind::erase;

NotedPolicy set_policy() {
  return {LogicalKind::json, "", union_note, union_value};
}

OwnedValue text(std::string_view json) {
  return Value::text(json);
}

struct Sets {
  explicit Sets(std::string_view first) : cells(set_policy(), 3, &prng) {
    cells.write(0, kAssign, text(first));
    cells.send_all();
  }
  std::string at(size_t site) const {
    const OwnedValue value = cells.shown(site).value;
    return value.view().is_bytes() ? std::string(value.view().bytes()) : describe(value.view());
  }
  bool any_lost(size_t site) const {
    const std::vector<bool> lost = cells.shown(site).lost;
    return std::find(lost.begin(), lost.end(), true) != lost.end();
  }
  Prng prng{1};
  NotedCells cells;
};

nlohmann::json sorted(const std::string& json) {
  nlohmann::json array = nlohmann::json::parse(json);
  std::sort(array.begin(), array.end());
  return array;
}

TEST_CASE("union: additions are kept, removals are kept", "[merge_union][unit]") {
  Sets s(R"(["a", "b", "c"])");
  s.cells.write(0, kChange, text(R"(["a","c","d"])"));
  s.cells.write(1, kChange, text(R"(["a","b","e"])"));
  s.cells.write(2, kChange, text(R"(["a","b","c","f"])"));
  s.cells.send(0, 1);
  s.cells.send(1, 2);  // a relay
  CHECK(sorted(s.at(2)) == sorted(R"(["a","d","e","f"])"));
  CHECK(!s.any_lost(2));
  s.cells.write(2, kChange, text(R"(["a"])"));
  s.cells.write(0, kChange, text(R"(["a","c","d","g"])"));
  s.cells.send_all();
  CHECK(sorted(s.at(0)) == sorted(R"(["a","g"])"));
}

TEST_CASE("union: what is added again while it is removed stays", "[merge_union][unit]") {
  Sets s(R"(["a"])");
  s.cells.write(0, kChange, text("[]"));
  s.cells.write(0, kChange, text(R"(["a"])"));
  s.cells.write(1, kChange, text(R"(["b"])"));
  s.cells.send_all();
  CHECK(sorted(s.at(0)) == sorted(R"(["a","b"])"));
}

TEST_CASE("union: the greatest version gives the order", "[merge_union][unit]") {
  Sets s(R"(["x", "y"])");
  s.cells.write(0, kChange, text(R"(["y" , "x","one"])"), 60);
  s.cells.write(1, kChange, text(R"(["two", "x","y" ,"three"])"), 30);
  s.cells.send_all();
  CHECK(s.at(2) == R"(["y","x","one","two","three"])");
}

TEST_CASE("union: a merge that adds nothing keeps the spelling", "[merge_union][unit]") {
  Sets s(R"([ 1 ,1, 2 ])");
  s.cells.write(0, kChange, text("[ 1 , 1, 2,3 ]"));
  s.cells.write(1, kChange, text("[ 1 , 1, 2,3 ]"));
  s.cells.send_all();
  CHECK(s.at(0) == "[1,2,3]");  // 1 stood twice
  Sets t(R"([ 1 , 2 ])");
  t.cells.write(0, kChange, text("[ 1 , 2, 3.0 ]"));
  t.cells.write(1, kChange, text("[ 1 , 2, 3.0 ]"));
  t.cells.send_all();
  CHECK(t.at(0) == "[ 1 , 2, 3.0 ]");
}

TEST_CASE("union: elements are compared by meaning, and keep their spelling",
          "[merge_union][unit]") {
  Sets s(R"([{"a": 1, "b": "x"}, null, 12345678901234567890123])");
  s.cells.write(0, kChange, text(R"([{"b":"\u0078","a":1.0},null,12345678901234567890123,1e2])"));
  s.cells.write(1, kChange, text(R"([{"a":1,"b":"x"},12345678901234567890124, 100, "é"])"));
  s.cells.send_all();
  const std::string merged = s.at(0);
  JsonTree tree;
  REQUIRE(tree.parse(merged));
  CHECK(tree[0].child_count == 4);
  CHECK(merged.find("null") == std::string::npos);
  CHECK(merged.find("12345678901234567890124") != std::string::npos);
  CHECK(merged.find("12345678901234567890123") == std::string::npos);
}

TEST_CASE("union: deleted and inserted anew", "[merge_union][unit]") {
  Sets s(R"(["a","b"])");
  s.cells.write(1, kChange, text(R"(["a","b","c"])"));
  s.cells.send(1, 0);
  s.cells.write(0, kErase, Value());
  s.cells.write(0, kAssign, text(R"(["z"])"));
  s.cells.write(1, kChange, text(R"(["a","b","c","d"])"));
  s.cells.send_all();
  CHECK(sorted(s.at(2)) == sorted(R"(["d","z"])"));
  s.cells.write(0, kErase, Value());
  s.cells.write(1, kChange, text(R"(["d","z","y"])"));
  s.cells.send_all();
  CHECK(sorted(s.at(2)) == sorted(R"(["d","z","y"])"));
}

TEST_CASE("union: values that are no arrays are assignments", "[merge_union][unit]") {
  for (const char* value : {"7", "{\"a\":1}", "[1", "[1]x", "[01]", "nul", ""}) {
    Sets s(R"(["a"])");
    s.cells.write(0, kChange, text(value));
    s.cells.write(1, kChange, text(R"(["a","b"])"));
    s.cells.send_all();
    const ShownCell shown = s.cells.shown(0);
    CHECK(shown.value == s.cells.history[shown.live[1]].after);
    CHECK(shown.lost == std::vector<bool>{true, false});
    s.cells.write(2, kChange, text(R"(["c"])"));
    s.cells.send_all();
    s.cells.write(0, kChange, text(R"(["c","d"])"));
    s.cells.write(1, kChange, text(R"(["e"])"));
    s.cells.send_all();
    CHECK(sorted(s.at(0)) == sorted(R"(["d","e"])"));
  }
  Sets null("[1]");
  null.cells.write(0, kChange, Value::null());
  null.cells.write(1, kChange, text("[1,2]"));
  null.cells.send_all();
  CHECK(null.any_lost(0));
}

TEST_CASE("union: notes are small", "[merge_union][unit]") {
  std::string many = "[0";
  for (int i = 1; i < 1000; ++i)
    many += "," + std::to_string(i);
  Sets s(many + "]");
  CHECK(s.cells.history[0].note.empty());
  const size_t added = s.cells.write(1, kChange, text(many + ",\"new\"]"));
  CHECK(s.cells.history[added].note.size() < 50);
}

TEST_CASE("union: big arrays cost no more than their size, too big ones are assignments",
          "[merge_union][unit]") {
  std::string many = "[0";
  for (int i = 1; i < 60000; ++i)
    many += "," + std::to_string(i);
  Sets s(many + "]");
  s.cells.write(0, kChange, text(many + ",\"x\"]"));
  s.cells.write(1, kChange, text(many + ",\"y\"]"));
  s.cells.send_all();
  CHECK(s.at(0).size() == many.size() + 9);
  std::string more = "[0";
  for (int i = 1; i < 100001; ++i)
    more += ",0";
  Sets big(more + "]");
  big.cells.write(0, kChange, text(more + ",1]"));
  big.cells.write(1, kChange, text(more + ",2]"));
  big.cells.send_all();
  CHECK(big.any_lost(0));
}

// A set that knows for each write everything its writer had seen.
class SetTruth {
 public:
  using State = std::map<std::string, std::set<size_t>>;  // element -> writes that added it

  explicit SetTruth(const NotedCells& cells) : cells_(cells) {}

  void add() {
    const size_t self = states_.size();
    const CellWrite& write = cells_.history[self];
    State before, state;
    std::vector<size_t> live;
    for (const size_t past : write.replaced) {
      if (!cells_.history[past].version.dead) live.push_back(past);
    }
    if (write.kind == kChange && live.empty()) {
      for (const std::string& element : elements(write.before))
        before[element] = {write.replaced.back()};
    } else if (write.kind == kChange) {
      before = joined(live);
    }
    if (write.kind != kErase) {
      for (const std::string& element : elements(write.after)) {
        const auto at = before.find(element);
        state[element] = at != before.end() ? at->second : std::set<size_t>{self};
      }
    }
    states_.push_back(state);
  }

  State joined(const std::vector<size_t>& live) const {
    State all;
    for (const size_t one : live) {
      for (const auto& [element, adds] : states_[one]) {
        for (const size_t write : adds) {
          const bool stays = std::all_of(live.begin(), live.end(), [&](size_t other) {
            const auto at = states_[other].find(element);
            return cells_.history[other].past.count(write) == 0 ||
                   (at != states_[other].end() && at->second.count(write) > 0);
          });
          if (stays) all[element].insert(write);
        }
      }
    }
    return all;
  }

  std::string value(const std::vector<size_t>& live) const {
    const State all = joined(live);
    std::set<std::string> done;
    std::string json;
    for (size_t i = live.size(); i-- > 0;) {
      for (const std::string& element : elements(cells_.history[live[i]].after)) {
        if (all.count(element) == 0 || !done.insert(element).second) continue;
        json += (json.empty() ? "" : ",") + element;
      }
    }
    return "[" + json + "]";
  }

 private:
  static std::vector<std::string> elements(const OwnedValue& value) {
    std::vector<std::string> result;
    for (const nlohmann::json& element : nlohmann::json::parse(value.view().bytes()))
      result.push_back(element.dump());
    return result;
  }
  const NotedCells& cells_;
  std::vector<State> states_;
};

std::string random_array(Prng* prng, const std::string& from) {
  nlohmann::json array = nlohmann::json::parse(from), result = nlohmann::json::array();
  for (const nlohmann::json& element : array) {
    if (!prng->chance(0.2)) result.push_back(element);
  }
  for (uint64_t i = prng->below(3); i > 0; --i) {
    const nlohmann::json element =
        prng->chance(0.8) ? nlohmann::json(prng->below(8)) : nlohmann::json{{"k", prng->below(2)}};
    if (std::find(result.begin(), result.end(), element) == result.end()) {
      result.insert(result.begin() + static_cast<int>(prng->below(result.size() + 1)), element);
    }
  }
  return result.dump();
}

void run_history(uint64_t seed) {
  Prng prng(seed);
  const size_t site_count = 2 + prng.below(4);
  NotedCells cells(set_policy(), site_count, &prng);
  SetTruth truth(cells);
  const auto check = [&](size_t site) {
    const ShownCell shown = cells.shown(site);
    if (!shown.alive) return;
    INFO("seed " << seed << ", site " << site << ", writes " << cells.history.size());
    REQUIRE(shown.value.view().bytes() == truth.value(shown.live));
    REQUIRE(std::find(shown.lost.begin(), shown.lost.end(), true) == shown.lost.end());
  };
  for (uint64_t step = 5 + prng.below(40); step > 0; --step) {
    const size_t site = prng.below(site_count), other = prng.below(site_count);
    if (prng.chance(0.5)) {
      cells.send(site, other);
      check(other);
      continue;
    }
    const ShownCell shown = cells.shown(site);
    const bool has_image = !shown.alive && !cells.versions(site).empty() && prng.chance(0.3);
    if (shown.alive && prng.chance(0.1)) {
      cells.write(site, kErase, Value());
    } else if ((!shown.alive && !has_image) || prng.chance(0.1)) {
      cells.write(site, kAssign, text(random_array(&prng, "[]")));
    } else {
      const std::string before(shown.value.view().bytes());
      cells.write(site, kChange, text(random_array(&prng, before)));
    }
    truth.add();
    check(site);
  }
  cells.send_all();
  for (size_t site = 0; site < site_count; ++site) {
    CHECK(cells.versions(site) == cells.versions(0));
    CHECK(cells.shown(site).value == cells.shown(0).value);
    check(site);
  }
}

TEST_CASE("union: random histories give what an all-knowing set gives",
          "[merge_union][simulation]") {
  const uint64_t runs = number_from_env("SYNCLINE_RUNS", 2500);
  for (uint64_t seed = 1; seed <= runs; ++seed)
    run_history(seed);
}

TEST_CASE("union: the bytes of a note are a format", "[merge_union][unit]") {
  CHECK(sample_note(set_policy(), Value::text("[1,2]"), Value::text("[1,3]"),
                    Value::text("[1,3,2]"), Value::text("[1,3,4]")) ==
        "2102"
        "a0000000000000000000000000000000"
        "a1000000000000000000000000000000"
        "0201050207030401030105020700090302000101020103010001010102");
}

TEST_CASE("union: damaged notes do no harm", "[merge_union][hostile]") {
  Prng prng(7);
  const std::vector<std::string> values = {
      "[]",        "[1]", "[1,2]", "[1,2,3]", "[1,1,[2],{}]", "x", "[\"\\ud800\",\"\\u0000\"]",
      "[[[[1]]]]", "12"};
  for (uint64_t round = number_from_env("SYNCLINE_RUNS", 2500); round > 0; --round) {
    NotedCells cells(set_policy(), 3, &prng);
    std::vector<std::string> notes(1);
    cells.write(0, kAssign, text("[1]"));
    for (int i = 0; i < 5; ++i) {
      const size_t site = prng.below(3);
      cells.send(prng.below(3), site);
      const ShownCell shown = cells.shown(site);
      const std::string before =
          shown.value.view().is_bytes() ? std::string(shown.value.view().bytes()) : "[]";
      const WriteKind kind = static_cast<WriteKind>(prng.below(3));
      const size_t write = cells.write(site, kind, text(random_array(&prng, before)));
      notes.push_back(cells.history[write].note);
    }
    feed_damaged_notes(set_policy(), values, notes, &prng);
  }
}

}  // namespace
}  // namespace syncline::test
