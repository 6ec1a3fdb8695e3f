// Goal: concurrent changes of different places of a JSON document are both kept; of one place the
// greatest stands and the other is reported; documents keep their spelling. Method: hand-made
// histories, and random ones compared with a naive map of paths that knows what writers had seen.
// Covers json_merge.cpp and json_tree.cpp as well.
#include <nlohmann/json.hpp>
#include <optional>

#include "../core/src/json_tree.h"
#include "support/noted_cell.hpp"

namespace syncline::test {
namespace {

using nlohmann::json;
constexpr WriteKind kAssign = WriteKind::assign, kChange = WriteKind::change,
                    kErase = WriteKind::erase;

NotedPolicy json_policy(const std::string& array_key = "") {
  return {
      LogicalKind::json, array_key,
      [array_key](const NoteInput& input, std::string* note) { json_note(input, array_key, note); },
      json_value};
}

OwnedValue text(std::string_view document) {
  return Value::text(document);
}

struct Documents {
  explicit Documents(std::string_view first, const std::string& array_key = "")
      : cells(json_policy(array_key), 3, &prng) {
    cells.write(0, kAssign, text(first));
    cells.send_all();
  }
  // Both sites change what they see, the second one later; what both show then.
  std::string both(std::string_view first, std::string_view second) {
    cells.write(0, kChange, text(first));
    cells.write(1, kChange, text(second), cells.history.back().version.hlc + 1);
    cells.send(0, 2);
    cells.send(1, 2);
    cells.send_all();
    return at(0);
  }
  std::string at(size_t site) const { return std::string(cells.shown(site).value.view().bytes()); }
  size_t lost() const {
    const std::vector<bool> lost = cells.shown(0).lost;
    return static_cast<size_t>(std::count(lost.begin(), lost.end(), true));
  }
  Prng prng{1};
  NotedCells cells;
};

TEST_CASE("json: a tree keeps tokens and refuses what is no JSON", "[merge_json][unit]") {
  for (const char* good :
       {"1", " [1 , 2] ", "{}", "-0.5e+7", "\"\\u00e9\\n\"", "null", "[[],{}]"}) {
    JsonTree tree;
    CHECK(tree.parse(good));
    CHECK(json::accept(good));
  }
  for (const char* bad :
       {"",   " ",    "[",     "[1,]",       "{,}", "{\"a\"}", "{\"a\":}", "{a:1}",   "01",
        "1.", ".5",   "+1",    "1e",         "tru", "nullx",   "\"\n\"",   "\"\\x\"", "\"\\u12g4\"",
        "\"", "\"\\", "[1] 2", "{\"a\":1,}", "'a'", "NaN",     "-"}) {
    JsonTree tree;
    CHECK(!tree.parse(bad));
    CHECK(!json::accept(bad));
  }
  JsonTree deep;
  CHECK(deep.parse(std::string(200, '[') + std::string(200, ']')));
  CHECK(!deep.parse(std::string(300, '[') + std::string(300, ']')));
  CHECK(!deep.parse(std::string(1000000, '[')));
  JsonTree twice;
  REQUIRE(twice.parse(R"({"a":1,"b":2,"\u0061":3})"));
  CHECK(twice[0].child_count == 2);
  CHECK(twice.canonical(0) == R"({"a":3e0,"b":2e0})");
  const std::pair<const char*, const char*> same[] = {
      {"1", "1.0"},
      {"100", "1e2"},
      {"0", "-0.00"},
      {"-0.5", "-5E-1"},
      {"\"\\u0041\"", "\"A\""},
      {"{\"a\":1,\"b\":[]}", "{ \"b\" : [ ], \"a\" : 1 }"}};
  for (const auto& [a, b] : same) {
    JsonTree x, y;
    REQUIRE((x.parse(a) && y.parse(b)));
    CHECK(x.canonical(0) == y.canonical(0));
  }
}

TEST_CASE("json: changes of different places are both kept", "[merge_json][unit]") {
  Documents d(R"({"title": "a", "size": {"w": 1.0, "h": 2}, "tags": ["x"]})");
  CHECK(
      d.both(R"({"title":"b","size":{"w":1.0,"h":2},"tags":["x"],"new":1})",
             R"({"title":"a","size":{"w":1.0,"h":3.50,"d":12345678901234567890},"tags":["x"]})") ==
      R"({"title":"b","size":{"w":1.0,"h":3.50,"d":12345678901234567890},"tags":["x"],"new":1})");
  CHECK(d.lost() == 0);
}

TEST_CASE("json: of one place the greatest stands, the other is lost", "[merge_json][unit]") {
  Documents d(R"({"a":1,"b":1})");
  CHECK(d.both(R"({"a":2,"b":7})", R"({"a":3,"b":1})") == R"({"a":3,"b":7})");
  CHECK(d.lost() == 1);
  d.cells.write(2, kChange, text(R"({"a":3,"b":8})"));  // has seen both
  d.cells.send_all();
  CHECK(d.both(R"({"a":4,"b":8})", R"({"a":3,"b":9})") == R"({"a":4,"b":9})");
  CHECK(d.lost() == 0);
  Documents same(R"({"a":1})");
  CHECK(same.both(R"({"a":2,"b":0})", R"({"a":2.0,"c":0})") == R"({"a":2.0,"c":0,"b":0})");
  CHECK(same.lost() == 0);
}

TEST_CASE("json: the greatest version may hold the smaller write", "[merge_json][unit]") {
  Documents d(R"({"a":1,"b":1})");
  d.cells.write(1, kChange, text(R"({"a":3,"b":1})"));
  d.cells.write(0, kChange, text(R"({"a":2,"b":1})"), 30);
  d.cells.write(1, kChange, text(R"({"a":3,"b":2})"), 60);
  d.cells.send_all();
  CHECK(d.at(2) == R"({"a":2,"b":2})");
  CHECK(d.cells.shown(2).lost == std::vector<bool>{true, false});
}

TEST_CASE("json: removed members", "[merge_json][unit]") {
  Documents d(R"({"a":{"x":1,"y":2},"b":1})");
  CHECK(d.both(R"({"b":1})", R"({"a":{"x":1,"y":3},"b":1})") == R"({"a":{"y":3},"b":1})");
  Documents gone(R"({"a":{"x":1,"y":2},"b":1})");
  CHECK(gone.both(R"({"b":1})", R"({"a":{"x":1,"y":2},"b":2})") == R"({"b":2})");
  CHECK(gone.lost() == 0);
  // Each removes one of two: what is left is an empty object, not nothing.
  Documents empty(R"({"a":{"x":1,"y":2}})");
  CHECK(empty.both(R"({"a":{"x":1}})", R"({"a":{"y":2}})") == R"({"a":{}})");
  Documents fresh(R"({"a":{}})");
  CHECK(fresh.both(R"({"a":{"x":1}})", R"({"a":{"y":2}})") == R"({"a":{"y":2,"x":1}})");
}

TEST_CASE("json: an object here, a scalar there", "[merge_json][unit]") {
  Documents d(R"({"a":{"x":1}})");
  CHECK(d.both(R"({"a":5})", R"({"a":{"x":1,"y":2}})") == R"({"a":{"y":2}})");
  CHECK(d.lost() == 1);
  Documents other(R"({"a":{"x":1}})");
  CHECK(other.both(R"({"a":{"x":1,"y":2}})", R"({"a":5})") == R"({"a":5})");
  CHECK(other.lost() == 1);
  Documents root(R"({"a":1})");
  CHECK(root.both("7", R"({"a":1})") == "7");
  CHECK(root.lost() == 0);
}

TEST_CASE("json: arrays are atomic, or matched by a key", "[merge_json][unit]") {
  Documents atomic(R"({"l":[{"id":1,"n":"a"}]})");
  CHECK(atomic.both(R"({"l":[{"id":1,"n":"b"}]})", R"({"l":[{"id":1,"n":"a"},{"id":2}]})") ==
        R"({"l":[{"id":1,"n":"a"},{"id":2}]})");
  CHECK(atomic.lost() == 1);
  Documents d(R"({"l":[{"id":1,"n":"a"},{"id":2,"n":"b"},{"id":3,"n":"c"}]})", "id");
  CHECK(d.both(R"({"l":[{"id":1,"n":"A"},{"id":2,"n":"b"},{"id":4,"n":"d"}]})",
               R"({"l":[{"id":2,"n":"b"},{"n":"a","id":1,"k":0},{"id":3,"n":"C"}]})") ==
        R"({"l":[{"id":2,"n":"b"},{"n":"A","id":1,"k":0},{"id":3,"n":"C"},{"id":4,"n":"d"}]})");
  CHECK(d.lost() == 0);
  Documents from_none(R"([])", "id");
  CHECK(from_none.both(R"([{"id":"x"}])", R"([{"id":"y"}])") == R"([{"id":"y"},{"id":"x"}])");
  // No longer all objects with different keys: a leaf again.
  Documents mixed(R"([{"id":1}])", "id");
  CHECK(mixed.both(R"([{"id":1},{"id":2}])", R"([{"id":1},7])") == R"([{"id":1},7])");
  CHECK(mixed.lost() == 1);
}

TEST_CASE("json: deleted and inserted anew", "[merge_json][unit]") {
  Documents d(R"({"a":1,"b":1})");
  d.cells.write(0, kErase, Value());
  d.cells.write(0, kAssign, text(R"({"c":1})"));
  d.cells.write(1, kChange, text(R"({"a":1,"b":2})"));
  d.cells.send_all();
  CHECK(json::parse(d.at(2)) == json::parse(R"({"b":2,"c":1})"));
}

TEST_CASE("json: what is no JSON is an assignment", "[merge_json][unit]") {
  Documents d(R"({"a":1})");
  CHECK(d.both("no json", R"({"a":2})") == R"({"a":2})");
  CHECK(d.lost() == 1);
  Documents e(R"({"a":1})");
  CHECK(e.both(R"({"a":2})", "no json") == "no json");
  CHECK(e.lost() == 1);
}

TEST_CASE("json: notes are small, spelling is kept, big documents stay cheap",
          "[merge_json][unit]") {
  std::string many = "{\"0\" : 0";
  for (int i = 1; i < 50000; ++i)
    many += ", \"" + std::to_string(i) + "\" : " + std::to_string(i);
  Documents d(many + "}");
  CHECK(d.cells.history[0].note.empty());
  const std::string merged = d.both(many + ", \"x\" : 1}", many + ", \"y\" : 1}");
  CHECK(json::parse(merged).size() == 50002);
  CHECK(d.cells.history[1].note.size() < 60);
  Documents same(R"({ "a" : 1 })");
  CHECK(same.both(R"({ "a" : 2 })", R"({ "a" : 2 })") == R"({ "a" : 2 })");
}

// Paths of a document to what stands there: "o" and "e" for objects and arrays by key, or a leaf.
// A step of a path is "m" and a name or "e" and a key.
using Path = std::vector<std::string>;

struct TrueRegister {
  std::string what;  // "o", "e", or "=" and the leaf
  size_t writer = 0;
};
using TrueDocument = std::map<Path, TrueRegister>;

void flatten(const json& value, size_t writer, bool element, Path* path, TrueDocument* out) {
  const bool by_key = value.is_array() &&
                      std::all_of(value.begin(), value.end(),
                                  [](const json& e) { return e.is_object() && e.contains("id"); });
  (*out)[*path] = {value.is_object() ? "o" : by_key ? "e" : "=" + value.dump(), writer};
  if (value.is_object()) {
    for (const auto& [name, child] : value.items()) {
      if (element && name == "id") continue;
      path->push_back("m" + name);
      flatten(child, writer, false, path, out);
      path->pop_back();
    }
  } else if (by_key) {
    for (const json& child : value) {
      path->push_back("e" + child["id"].dump());
      flatten(child, writer, true, path, out);
      path->pop_back();
    }
  }
}

class DocumentTruth {
 public:
  explicit DocumentTruth(const NotedCells& cells) : cells_(cells) {}

  struct Result {
    TrueDocument document;
    bool lost = false;
  };

  void add() {
    const size_t self = states_.size();
    const CellWrite& write = cells_.history[self];
    TrueDocument before, state;
    std::vector<size_t> live;
    for (const size_t past : write.replaced) {
      if (!cells_.history[past].version.dead) live.push_back(past);
    }
    Path path;
    if (write.kind == kChange && live.empty()) {
      flatten(json::parse(write.before.view().bytes()), write.replaced.back(), false, &path,
              &before);
    } else if (write.kind == kChange) {
      before = merged(live).document;
    }
    if (write.kind != kErase) {
      flatten(json::parse(write.after.view().bytes()), self, false, &path, &state);
      for (auto& [at, found] : state) {
        const auto old = before.find(at);
        if (old == before.end() || old->second.what != found.what) continue;
        if (old->second.writer != kImplied) found.writer = old->second.writer;
      }
    }
    states_.push_back(state);
  }

  Result merged(const std::vector<size_t>& live) const {
    std::map<Path, std::vector<TrueRegister>> claims;
    for (const size_t one : live) {
      for (const auto& [path, found] : states_[one]) {
        const bool stays = std::all_of(live.begin(), live.end(), [&](size_t other) {
          const auto at = states_[other].find(path);
          return cells_.history[other].past.count(found.writer) == 0 ||
                 (at != states_[other].end() && at->second.writer == found.writer);
        });
        std::vector<TrueRegister>& here = claims[path];
        const bool known = std::any_of(here.begin(), here.end(), [&](const TrueRegister& r) {
          return r.writer == found.writer;
        });
        if (stays && !known) here.push_back(found);
      }
    }
    Result result;
    resolve({}, claims, &result);
    return result;
  }

  // The document as JSON; elements of arrays in the order of their keys.
  static json render(const TrueDocument& document, const Path& path) {
    const TrueRegister& here = document.at(path);
    if (here.what[0] == '=') return json::parse(here.what.substr(1));
    json result = here.what == "o" ? json::object() : json::array();
    if (!path.empty() && path.back()[0] == 'e') result["id"] = json::parse(path.back().substr(1));
    for (auto at = document.upper_bound(path); at != document.end() && starts(at->first, path);
         ++at) {
      if (at->first.size() != path.size() + 1) continue;
      const json child = render(document, at->first);
      if (here.what == "o")
        result[at->first.back().substr(1)] = child;
      else
        result.push_back(child);
    }
    return result;
  }

 private:
  static constexpr size_t kImplied = SIZE_MAX;  // there because of what is below

  static bool starts(const Path& path, const Path& with) {
    return path.size() >= with.size() && std::equal(with.begin(), with.end(), path.begin());
  }
  bool greater(size_t a, size_t b) const {
    return compare_versions(cells_.history[a].version, cells_.history[b].version, cells_.sites()) >
           0;
  }

  // Settles a place whose register or descendants stay.
  void resolve(const Path& path, const std::map<Path, std::vector<TrueRegister>>& claims,
               Result* result) const {
    std::map<char, std::optional<size_t>> best;  // by kind
    std::set<std::string> values;
    std::map<char, size_t> own;
    const auto raise = [&](char kind, size_t writer) {
      if (!best[kind] || greater(writer, *best[kind])) best[kind] = writer;
    };
    std::set<Path> children;
    std::string leaf;
    for (const auto& [at, found] : claims) {
      if (!starts(at, path)) continue;
      for (const TrueRegister& r : found) {
        if (at.size() > path.size()) {
          const Path child(at.begin(), at.begin() + static_cast<int>(path.size()) + 1);
          raise(child.back()[0] == 'm' ? 'o' : 'e', r.writer);
          children.insert(child);
          continue;
        }
        if (r.what[0] == '=') {
          values.insert(r.what);
          if (!best['='] || greater(r.writer, *best['='])) leaf = r.what;
        }
        raise(r.what[0], r.writer);
        if (own.count(r.what[0]) == 0 || greater(r.writer, own[r.what[0]])) {
          own[r.what[0]] = r.writer;
        }
      }
    }
    std::erase_if(best, [](const auto& kind) { return !kind.second; });
    if (best.size() > 1) result->lost = true;
    char stands = best.begin()->first;
    for (const auto& [kind, writer] : best) {
      if (greater(*writer, *best[stands])) stands = kind;
    }
    if (stands == '=' && values.size() > 1) result->lost = true;
    const size_t writer = own.count(stands) > 0 ? own[stands] : kImplied;
    result->document[path] = {stands == '=' ? leaf : std::string(1, stands), writer};
    for (const Path& child : children) {
      if ((child.back()[0] == 'm' ? 'o' : 'e') == stands) resolve(child, claims, result);
    }
  }

  const NotedCells& cells_;
  std::vector<TrueDocument> states_;
};

// The same document with the elements of its arrays in the order of their keys.
json in_key_order(json value) {
  for (json& child : value) {
    if (child.is_structured()) child = in_key_order(child);
  }
  const bool by_key = value.is_array() && !value.empty() && value[0].is_object();
  if (by_key) {
    std::sort(value.begin(), value.end(),
              [](const json& a, const json& b) { return a["id"].dump() < b["id"].dump(); });
  }
  return value;
}

json random_value(Prng* prng, int depth) {
  const uint64_t roll = prng->below(depth > 2 ? 6 : 10);
  if (roll < 4) return prng->below(3);
  if (roll < 5) return json::array({prng->below(3)});
  if (roll < 6) return json::object();
  json value = roll < 8 ? json::object() : json::array();
  for (uint64_t i = 0; i < 3; ++i) {
    if (prng->chance(0.5)) continue;
    if (value.is_object())
      value[std::string(1, static_cast<char>('a' + i))] = random_value(prng, depth + 1);
    else
      value.push_back({{"id", i}, {"v", random_value(prng, depth + 1)}});
  }
  return value;
}

// Changes, adds or removes a member or element somewhere.
void change(Prng* prng, int depth, json* value) {
  if (!value->is_structured() ||
      (!value->empty() && value->is_array() && !(*value)[0].is_object()) || prng->chance(0.1)) {
    *value = random_value(prng, depth);
    return;
  }
  if (value->is_object()) {
    const std::string name(1, static_cast<char>('a' + prng->below(3)));
    if (!value->contains(name))
      (*value)[name] = random_value(prng, depth + 1);
    else if (prng->chance(0.3))
      value->erase(name);
    else
      change(prng, depth + 1, &(*value)[name]);
    return;
  }
  const uint64_t id = prng->below(3);
  const auto at =
      std::find_if(value->begin(), value->end(), [&](const json& e) { return e["id"] == id; });
  if (at == value->end())
    value->push_back({{"id", id}, {"v", random_value(prng, depth + 1)}});
  else if (prng->chance(0.3))
    value->erase(at);
  else
    change(prng, depth + 1, &(*at)["v"]);
}

void run_history(uint64_t seed) {
  Prng prng(seed);
  const size_t site_count = 2 + prng.below(4);
  NotedCells cells(json_policy("id"), site_count, &prng);
  DocumentTruth truth(cells);
  const auto check = [&](size_t site) {
    const ShownCell shown = cells.shown(site);
    if (!shown.alive) return;
    INFO("seed " << seed << ", site " << site << ", writes " << cells.history.size());
    const DocumentTruth::Result expected = truth.merged(shown.live);
    REQUIRE(in_key_order(json::parse(shown.value.view().bytes())) ==
            DocumentTruth::render(expected.document, {}));
    const bool lost = std::find(shown.lost.begin(), shown.lost.end(), true) != shown.lost.end();
    REQUIRE(lost == expected.lost);
  };
  for (uint64_t step = 5 + prng.below(30); step > 0; --step) {
    const size_t site = prng.below(site_count), other = prng.below(site_count);
    if (prng.chance(0.5)) {
      cells.send(site, other);
      check(other);
      continue;
    }
    const ShownCell shown = cells.shown(site);
    const bool has_image = !shown.alive && !cells.versions(site).empty() && prng.chance(0.3);
    if (shown.alive && prng.chance(0.07)) {
      cells.write(site, kErase, Value());
    } else if ((!shown.alive && !has_image) || prng.chance(0.07)) {
      cells.write(site, kAssign, text(random_value(&prng, 0).dump()));
    } else {
      json document = json::parse(shown.value.view().bytes());
      change(&prng, 0, &document);
      cells.write(site, kChange, text(document.dump()));
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

TEST_CASE("json: random histories give what an all-knowing map of paths gives",
          "[merge_json][simulation]") {
  const uint64_t runs = number_from_env("SYNCLINE_RUNS", 1500);
  for (uint64_t seed = 1; seed <= runs; ++seed)
    run_history(seed);
}

TEST_CASE("json: the bytes of a note are a format", "[merge_json][unit]") {
  CHECK(sample_note(json_policy(), Value::text(R"({"a":1,"b":2})"), Value::text(R"({"a":1,"b":3})"),
                    Value::text(R"({"a":1,"b":3})"), Value::text(R"({"a":1,"b":3,"c":4})")) ==
        "3102"
        "a0000000000000000000000000000000"
        "a1000000000000000000000000000000"
        "020105020704020105ac020207c801020101020100");
}

TEST_CASE("json: damaged notes do no harm", "[merge_json][hostile]") {
  Prng prng(7);
  std::vector<std::string> values = {"{}",
                                     "[]",
                                     "1",
                                     "x",
                                     R"({"a":1})",
                                     R"({"a":{"b":[]}})",
                                     R"([{"id":1},{"id":1}])",
                                     R"([{"id":2,"v":{"a":0}}])",
                                     R"([{"id":[]}])",
                                     R"({"id":1})",
                                     R"({"a":1,"a":{}})"};
  for (uint64_t round = number_from_env("SYNCLINE_RUNS", 1500); round > 0; --round) {
    NotedCells cells(json_policy("id"), 3, &prng);
    std::vector<std::string> notes(1);
    cells.write(0, kAssign, text(R"({"a":1})"));
    for (int i = 0; i < 5; ++i) {
      const size_t site = prng.below(3);
      cells.send(prng.below(3), site);
      const ShownCell shown = cells.shown(site);
      json document =
          shown.value.view().is_bytes() ? json::parse(shown.value.view().bytes()) : json::object();
      change(&prng, 0, &document);
      const WriteKind kind = static_cast<WriteKind>(prng.below(3));
      notes.push_back(cells.history[cells.write(site, kind, text(document.dump()))].note);
      if (prng.chance(0.3)) values.push_back(document.dump());
    }
    feed_damaged_notes(json_policy("id"), values, notes, &prng);
  }
}

}  // namespace
}  // namespace syncline::test
