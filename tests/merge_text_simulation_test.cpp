// The laws of the text policy on random histories: sites edit words and lines of a document, join
// each other's versions in any order, and what the merge shows is compared with the true past of
// every version. Every word that is ever written is unique, so its fate can be told.
#include <functional>
#include <sstream>

#include "support/catch.hpp"
#include "support/prng.hpp"
#include "support/text_cell.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

using Words = std::set<std::string>;

Words words_of(const std::string& text) {
  std::istringstream in(text);
  Words words;
  for (std::string word; in >> word;)
    words.insert(word);
  return words;
}

size_t word_count(const std::string& text) {
  std::istringstream in(text);
  size_t count = 0;
  for (std::string word; in >> word;)
    ++count;
  return count;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    lines.push_back(line);
  return lines;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines)
    text += line + "\n";
  return text;
}

class Simulation {
 public:
  Simulation(uint64_t seed, size_t sites) : world(sites), random_(seed), site_count_(sites) {}

  void run(int steps) {
    world.assign(0, joined({line(), line(), line(), line(), line(), line()}));
    note_words(0);
    world.meet_all();
    for (int i = 0; i < steps; ++i) {
      const size_t site = random_.below(site_count_);
      if (random_.chance(0.55)) {
        edit(site);
      } else {
        world.pull(site, random_.below(site_count_));
      }
      check(site);
    }
    world.meet_all();
    for (size_t i = 0; i < site_count_; ++i) {
      check(i);
      REQUIRE(world.show(i).text == world.show(0).text);
      REQUIRE(world.show(i).lost == world.show(0).lost);
    }
  }

  size_t merges = 0, clean = 0;
  TextSites world;

 private:
  std::string word() { return "w" + std::to_string(next_word_++); }
  std::string line() {
    std::string out = word();
    for (size_t i = 3 + random_.below(6); i-- > 0;)
      out += " " + word();
    return out;
  }

  void edit(size_t site) {
    const std::string before = world.show(site).text;
    std::vector<std::string> lines = lines_of(before);
    if (lines.empty()) lines.push_back(line());
    const size_t at = random_.below(lines.size());
    switch (random_.below(12)) {
      case 0:
        lines.insert(lines.begin() + static_cast<ptrdiff_t>(at), line());
        break;
      case 1:
        lines.push_back(line());
        break;
      case 2:
        lines.erase(lines.begin() + static_cast<ptrdiff_t>(at));
        break;
      case 3:
        lines[at] = line();
        break;
      case 4:
        if (random_.chance(0.2)) lines = {line(), line(), line(), line()};
        break;
      default:
        lines[at] = changed(lines[at]);
    }
    if (random_.chance(0.02)) {
      world.assign(site, joined(lines));
    } else {
      world.edit(site, joined(lines));
    }
    note_words(site);
  }

  // One word replaced, added or removed.
  std::string changed(const std::string& text) {
    std::vector<std::string> words;
    std::istringstream in(text);
    for (std::string w; in >> w;)
      words.push_back(w);
    if (words.size() < 2) return line();
    const size_t at = random_.below(words.size());
    const auto place = words.begin() + static_cast<ptrdiff_t>(at);
    switch (random_.below(3)) {
      case 0:
        words[at] = word();
        break;
      case 1:
        words.insert(place, word());
        break;
      default:
        words.erase(place);
    }
    std::string out;
    for (const std::string& w : words)
      out += (out.empty() ? "" : " ") + w;
    return out;
  }

  void note_words(size_t site) {
    const StoredText& made = world.versions(site).front();
    for (const std::string& w : words_of(made.text))
      written_by_[w].insert(made.dot());
  }

  // The writer of v had seen a version with this word.
  bool knew(const StoredText& v, const std::string& w) const {
    const std::set<Dot>& writers = written_by_.at(w);
    return std::any_of(writers.begin(), writers.end(),
                       [&](const Dot& dot) { return v.past.contains(dot); });
  }

  void check(size_t site) {
    const std::vector<StoredText>& versions = world.versions(site);
    const Shown shown = world.show(site);
    if (versions.size() < 2) {
      REQUIRE(shown.text == versions.front().text);
      REQUIRE_FALSE(shown.any_lost());
      return;
    }
    ++merges;
    clean += !shown.any_lost();
    const Words words = words_of(shown.text);
    CAPTURE(shown.text, shown.lost);
    REQUIRE(words.size() == word_count(shown.text));  // nothing twice
    REQUIRE_FALSE(shown.lost.back());
    std::vector<Words> theirs;
    for (const StoredText& v : versions)
      theirs.push_back(words_of(v.text));
    for (const std::string& w : words) {
      REQUIRE(written_by_.contains(w));  // no two words became one
      REQUIRE(std::any_of(theirs.begin(), theirs.end(),
                          [&](const Words& in) { return in.contains(w); }));
    }
    for (size_t v = 0; v < versions.size(); ++v) {
      CAPTURE(v, versions[v].text);
      if (shown.lost[v]) continue;
      check_additions(versions, theirs, v, words);
      for (const std::string& w : words) {  // a deleted word stays deleted
        CAPTURE(w);
        REQUIRE((theirs[v].contains(w) || !knew(versions[v], w)));
      }
    }
    check_permuted(versions, shown);
  }

  // A word of a version that is not lost is shown, unless someone who knew it removed it.
  void check_additions(const std::vector<StoredText>& versions, const std::vector<Words>& theirs,
                       size_t v, const Words& shown) const {
    for (const std::string& w : theirs[v]) {
      if (shown.contains(w)) continue;
      bool removed = false;
      for (size_t u = 0; u < versions.size(); ++u)
        removed |= !theirs[u].contains(w) && knew(versions[u], w);
      CAPTURE(w);
      REQUIRE(removed);
    }
  }

  void check_permuted(std::vector<StoredText> versions, const Shown& shown) {
    std::map<Dot, bool> lost;
    for (size_t i = 0; i < versions.size(); ++i)
      lost[versions[i].dot()] = shown.lost[i];
    random_.shuffle(&versions);
    const Shown again = merged(versions, world.sites);
    REQUIRE(again.text == shown.text);
    for (size_t i = 0; i < versions.size(); ++i)
      REQUIRE(again.lost[i] == lost[versions[i].dot()]);
  }

  Prng random_;
  size_t site_count_;
  uint64_t next_word_ = 0;
  std::map<std::string, std::set<Dot>> written_by_;
};

// What a three-way merge by lines gives for edits of lines that do not touch: each line of the
// base is kept, replaced, removed, or gets a line before it.
struct LineEdits {
  std::map<size_t, std::vector<std::string>> lines;  // by number in the base

  std::string applied(const std::vector<std::string>& base) const {
    std::vector<std::string> out;
    for (size_t i = 0; i < base.size(); ++i) {
      const auto at = lines.find(i);
      if (at == lines.end()) {
        out.push_back(base[i]);
      } else {
        out.insert(out.end(), at->second.begin(), at->second.end());
      }
    }
    return joined(out);
  }
};

// Numbers that are at least two apart, dealt out to the sites.
std::vector<LineEdits> disjoint_edits(Prng* random, const std::vector<std::string>& base,
                                      size_t sites) {
  std::vector<LineEdits> out(sites);
  for (size_t i = random->below(3); i < base.size(); i += 2 + random->below(4)) {
    std::vector<std::string> lines;
    const std::string tag = std::to_string(random->below(1000));
    switch (random->below(4)) {
      case 0:
        break;  // removed
      case 1:
        lines = {"wholly other " + tag};
        break;
      case 2:
        lines = {base[i] + " and " + tag};
        break;
      default:
        lines = {"before it " + tag, base[i]};
    }
    out[random->below(sites)].lines[i] = lines;
  }
  return out;
}

}  // namespace

TEST_CASE("merge_text: random histories keep the laws", "[merge_text][unit]") {
  const uint64_t seed = number_from_env("SYNCLINE_SEED", 1);
  const uint64_t rounds = number_from_env("SYNCLINE_TEXT_ROUNDS", 120);
  size_t merges = 0, clean = 0;
  for (uint64_t round = 0; round < rounds; ++round) {
    CAPTURE(seed, round);
    Simulation simulation(seed * 1'000'003 + round, 2 + round % 4);
    simulation.run(60);
    merges += simulation.merges;
    clean += simulation.clean;
  }
  CAPTURE(merges, clean);
  CHECK(clean * 5 > merges);  // else the laws hold for want of merges
  CHECK(clean < merges);
}

TEST_CASE("merge_text: edits of lines that do not touch merge as diff3 would",
          "[merge_text][unit]") {
  const uint64_t seed = number_from_env("SYNCLINE_SEED", 1);
  for (uint64_t round = 0; round < 400; ++round) {
    Prng random(seed * 1'000'003 + round);
    const size_t sites = 2 + random.below(3);
    std::vector<std::string> base;
    for (size_t i = 8 + random.below(30); i-- > 0;) {
      const bool blank = random.chance(0.15) && !base.empty() && !base.back().empty();
      base.push_back(blank ? ""
                           : "line " + std::to_string(i) + " of it " +
                                 std::to_string(random.below(1000)));
    }
    const std::vector<LineEdits> edits = disjoint_edits(&random, base, sites);
    LineEdits all;
    TextSites world(sites);
    world.assign(0, joined(base));
    world.meet_all();
    for (size_t i = 0; i < sites; ++i) {
      world.edit(i, edits[i].applied(base));
      all.lines.insert(edits[i].lines.begin(), edits[i].lines.end());
    }
    world.meet_all();
    const Shown shown = world.show(0);
    CAPTURE(seed, round, joined(base), shown.lost);
    CHECK(shown.text == all.applied(base));
    CHECK_FALSE(shown.any_lost());
  }
}
