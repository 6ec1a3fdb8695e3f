// The text policy on hand-made edits, notes that lie, and texts made to be slow. Two or more sites
// start from one text, edit it apart and meet; the merge and what it calls lost are compared with
// what a reader of docs/merge_rules.md expects. Covers text_diff.cpp, text_join.cpp,
// text_place.cpp, text_state.cpp and text_tokens.cpp through the two functions of the policy.
#include "support/catch.hpp"
#include "support/prng.hpp"
#include "support/text_cell.hpp"

using namespace syncline;
using namespace syncline::test;

namespace {

// Sites that share `base`, then write one of `edits` each; the later one is the greater version.
struct Apart {
  Apart(const std::string& base, const std::vector<std::string>& edits) : world(edits.size()) {
    world.assign(0, base);
    world.meet_all();
    for (size_t i = 0; i < edits.size(); ++i)
      world.edit(i, edits[i]);
    world.meet_all();
    for (size_t i = 1; i < edits.size(); ++i)
      CHECK(world.show(i).text == world.show(0).text);
    shown = world.show(0);
  }

  TextSites world;
  Shown shown;
};

using Lost = std::vector<bool>;

void check_merge(const std::string& base, const std::vector<std::string>& edits,
                 const std::string& expected, Lost lost = {}) {
  CAPTURE(base, edits);
  if (lost.empty()) lost.assign(edits.size(), false);
  const Apart apart(base, edits);
  CHECK(apart.shown.text == expected);
  CHECK(apart.shown.lost == lost);
}

const std::string kPoem =
    "The road goes on\nand nobody asks\n\nwhere the river turned\nor who built the bridge\n";

// `text` with its first `from` replaced.
std::string with(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string bytes_of_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

}  // namespace

TEST_CASE("merge_text: edits of different lines are both kept", "[merge_text][unit]") {
  const std::string a = with(kPoem, "road", "path"), b = with(kPoem, "bridge", "wall");
  check_merge(kPoem, {a, b}, with(a, "bridge", "wall"));
  check_merge(kPoem, {b, a}, with(a, "bridge", "wall"));
  // Lines that touch; a line rewritten beside a line inserted; a deletion beside an edit.
  check_merge(kPoem, {a, with(kPoem, "asks", "answers")}, with(a, "asks", "answers"));
  check_merge("a 1\nb 2\nc 3\nd 4\n",
              {"a 1\nrewritten whole\nc 3\nd 4\n", "a 1\nb 2\nnew line\nc 3\nd 4\n"},
              "a 1\nrewritten whole\nnew line\nc 3\nd 4\n");
  check_merge("a 1\nb 2\nc 3\nd 4\n", {"a 1\nd 4\n", "a 1\nb 2\nc 3\nd 5\n"}, "a 1\nd 5\n");
  check_merge("a 1\nb 2\nc 3\nd 4\n", {"b 2\nc 3\nd 4\n", "a 1\nb 2\nc 3\n"}, "b 2\nc 3\n");
}

TEST_CASE("merge_text: edits of different words in one line are both kept", "[merge_text][unit]") {
  const std::string line = "the quick brown fox jumps over the lazy dog";
  check_merge(line, {with(line, "quick", "slow"), with(line, "lazy", "sleeping")},
              "the slow brown fox jumps over the sleeping dog");
  check_merge(line, {with(line, "brown ", ""), with(line, "over", "across")},
              "the quick fox jumps across the lazy dog");
  check_merge("status: open", {"status: closed", "state: open"}, "state: closed");
}

TEST_CASE("merge_text: where edits overlap the greatest version stands, the others are lost",
          "[merge_text][unit]") {
  const std::string a = with(kPoem, "river", "stream"), b = with(kPoem, "river", "brook");
  check_merge(kPoem, {a, b}, b, {true, false});
  check_merge(kPoem, {b, a}, a, {true, false});
  // Only the place of the overlap is lost.
  const std::string c = with(a, "road", "path"), d = with(b, "built", "burnt");
  check_merge(kPoem, {c, d}, with(d, "road", "path"), {true, false});
  // Two insertions at one place inside a line.
  check_merge("one two", {"one red two", "one blue two"}, "one blue two", {true, false});
  // A short word between two changed ones counts as changed with them.
  check_merge("alpha x beta and the rest of it",
              {"gamma x delta and the rest of it", "alpha y beta and the rest of it"},
              "alpha y beta and the rest of it", {true, false});
  // A rewritten line against a changed word in it: no mixture of the two.
  const std::string rewritten = with(kPoem, "where the river turned", "in that long gone summer");
  check_merge(kPoem, {rewritten, a}, a, {true, false});
  check_merge(kPoem, {a, rewritten}, rewritten, {true, false});
}

TEST_CASE("merge_text: a deleted paragraph against an edit in it is an overlap",
          "[merge_text][unit]") {
  const std::string base = "first paragraph here\n\nsecond one\nof two lines\n\nthird there\n";
  const std::string gone = with(base, "second one\nof two lines\n\n", "");
  const std::string edited = with(base, "two lines", "three lines");
  check_merge(base, {gone, edited}, edited, {true, false});
  check_merge(base, {edited, gone}, gone, {true, false});
  check_merge(base, {gone, with(edited, "third", "last")}, with(edited, "third", "last"),
              {true, false});
  check_merge(base, {with(gone, "first", "next"), edited}, with(edited, "first", "next"),
              {true, false});
}

TEST_CASE("merge_text: identical edits count once", "[merge_text][unit]") {
  const std::string fixed = with(kPoem, "turned", "turns");
  check_merge(kPoem, {fixed, fixed}, fixed);
  check_merge(kPoem, {with(fixed, "road", "path"), fixed, with(fixed, "built", "burnt")},
              with(with(fixed, "road", "path"), "built", "burnt"));
  check_merge(kPoem, {kPoem + "footer\n", kPoem + "footer\n"}, kPoem + "footer\n");
  check_merge("a b c", {"a c", "a c"}, "a c");
}

TEST_CASE("merge_text: whole lines added at one place are all kept, oldest first",
          "[merge_text][unit]") {
  check_merge("log\n", {"log\nmonday\n", "log\ntuesday\n"}, "log\nmonday\ntuesday\n");
  check_merge("log", {"log\nmonday", "log\ntuesday"}, "log\nmonday\ntuesday");
  check_merge("log\nend\n", {"log\n1 a\n2 b\nend\n", "log\n3 c\nend\n", "log\n4 d\nend\n"},
              "log\n1 a\n2 b\n3 c\n4 d\nend\n");
  check_merge("log\r\n", {"log\r\nmonday\r\n", "log\r\ntuesday\r\n"},
              "log\r\nmonday\r\ntuesday\r\n");
  // A line in common: much the same addition, so an overlap.
  check_merge("log\n", {"log\nmonday\nrain\n", "log\nmonday\nsun\n"}, "log\nmonday\nsun\n",
              {true, false});
  // An unfinished line cannot stand before another one.
  check_merge("log\n", {"log\nmonday", "log\ntuesday\n"}, "log\ntuesday\n", {true, false});
}

TEST_CASE("merge_text: an edit that replaces most of the text is an assignment",
          "[merge_text][unit]") {
  const std::string other = "Something else entirely, written from nothing on another day.\n";
  const std::string small = with(kPoem, "road", "path");
  check_merge(kPoem, {small, other}, other, {true, false});
  check_merge(kPoem, {other, small}, small, {true, false});
  // Two that made the same text of it are relatives again.
  TextSites world(2);
  world.assign(0, kPoem);
  world.meet_all();
  world.edit(0, other);
  world.edit(1, other);
  world.edit(0, with(other, "Something", "Anything"));
  world.edit(1, with(other, "day", "night"));
  world.meet_all();
  CHECK(world.show(0).text == with(with(other, "Something", "Anything"), "day", "night"));
  CHECK_FALSE(world.show(0).any_lost());
  // A long addition to a short text replaces nothing.
  const std::string story(600, 'x');
  check_merge("Notes\n", {"Notes\n" + story + "\n", "Notes 2024\n"}, "Notes 2024\n" + story + "\n");
}

TEST_CASE("merge_text: versions of another epoch do not keep relatives from being merged",
          "[merge_text][unit]") {
  const std::string other = "Something else entirely, written from nothing on another day.\n";
  const std::string a = with(kPoem, "road", "path"), b = with(kPoem, "bridge", "wall");
  check_merge(kPoem, {other, a, b}, with(a, "bridge", "wall"), {true, false, false});
  check_merge(kPoem, {a, b, other}, other, {true, true, false});
}

TEST_CASE("merge_text: two inserts of one text are one base", "[merge_text][unit]") {
  TextSites world(2);
  world.assign(0, kPoem);
  world.assign(1, kPoem);
  CHECK(world.versions(0).front().note.empty());
  world.edit(0, with(kPoem, "road", "path"));
  world.edit(1, with(kPoem, "bridge", "wall"));
  world.meet_all();
  CHECK(world.show(1).text == with(with(kPoem, "road", "path"), "bridge", "wall"));
  CHECK_FALSE(world.show(0).any_lost());
}

TEST_CASE("merge_text: a version that builds on another is not its rival", "[merge_text][unit]") {
  // Sites 0 and 1 wrote; site 2 saw site 0's, and went on with it; site 1 saw it as well.
  TextSites world(3);
  world.assign(0, kPoem);
  world.meet_all();
  world.edit(0, with(kPoem, "river", "stream"));
  world.pull(1, 0);
  world.pull(2, 0);
  world.edit(2, with(world.show(2).text, "stream", "little stream"));
  world.edit(1, with(world.show(1).text, "bridge", "wall"));
  world.meet_all();
  CHECK(world.show(0).text == with(with(kPoem, "river", "little stream"), "bridge", "wall"));
  CHECK_FALSE(world.show(0).any_lost());
}

TEST_CASE("merge_text: what was merged and edited again still merges", "[merge_text][unit]") {
  TextSites world(3);
  world.assign(0, "alpha one\nbeta two\ngamma three\ndelta four\n");
  world.meet_all();
  world.edit(0, "alpha 1\nbeta two\ngamma three\ndelta four\n");
  world.edit(1, "alpha one\nbeta 2\ngamma three\ndelta four\n");
  world.edit(2, "alpha one\nbeta two\ngamma 3\ndelta four\n");
  world.meet(0, 1);
  world.edit(0, with(world.show(0).text, "alpha 1\n", ""));
  world.edit(1, world.show(1).text + "epsilon five\n");
  world.edit(2, with(world.show(2).text, "four", "4"));
  world.meet_all();
  CHECK(world.show(2).text == "beta 2\ngamma 3\ndelta 4\nepsilon five\n");
  CHECK_FALSE(world.show(1).any_lost());
}

TEST_CASE("merge_text: additions that were merged in different orders are a conflict, not a mess",
          "[merge_text][unit]") {
  TextSites world(4);
  world.assign(0, "log\nend\n");
  world.meet_all();
  world.edit(0, "log\nx1\nend\n");
  world.edit(1, "log\ny1\nend\n");
  world.pull(2, 0);
  world.pull(2, 1);
  world.edit(2, with(world.show(2).text, "x1\ny1\n", "x1\ny1\nz\n"));
  world.edit(0, "log\nx1\nx2\nend\n");
  world.pull(2, 0);
  world.edit(2, with(world.show(2).text, "x1\ny1\nz\nx2\n", "x1\ny1\nz\nx2\np\n"));
  world.pull(3, 0);
  world.pull(3, 1);
  world.edit(3, with(world.show(3).text, "x1\nx2\ny1\n", "x1\nx2\ny1\nq\n"));
  world.meet_all();
  for (size_t i = 0; i < 4; ++i) {
    CHECK(world.show(i).text == "log\nx1\nx2\ny1\nq\nend\n");
    CHECK(world.show(i).lost == Lost{true, false});
  }
}

TEST_CASE("merge_text: letters keep their marks, and every character its bytes",
          "[merge_text][unit]") {
  // "cafe" with a combining acute, then with a combining grave; family and flag emoji.
  const std::string acute = "cafe\xcc\x81", grave = "cafe\xcc\x80";
  check_merge("my " + acute + " now", {"my " + grave + " now", "my " + acute + " then"},
              "my " + grave + " then");
  check_merge("my " + acute + " now", {"my cafe now", "my " + grave + " now"},
              "my " + grave + " now", {true, false});
  const std::string family = "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7";
  const std::string thumb = "\xf0\x9f\x91\x8d", dark = thumb + "\xf0\x9f\x8f\xbf";
  check_merge("a " + thumb + " b", {"a " + dark + " b", "a " + family + " b"}, "a " + family + " b",
              {true, false});
  check_merge("a " + thumb + " b c", {"a " + dark + " b c", "a " + thumb + " b d"},
              "a " + dark + " b d");
  // Ideographs are words without blanks: "my cat is black", cat -> dog, black -> white.
  const std::string my = "\xe6\x88\x91\xe7\x9a\x84", cat = "\xe7\x8c\xab", is = "\xe6\x98\xaf",
                    black = "\xe9\xbb\x91", dog = "\xe7\x8b\x97", white = "\xe7\x99\xbd";
  check_merge(my + cat + is + black, {my + dog + is + black, my + cat + is + white},
              my + dog + is + white);
  // Bytes that are no UTF-8 stay what they were.
  check_merge("a \xff\xc0 b \xe2\x82 c", {"x \xff\xc0 b \xe2\x82 c", "a \xff\xc0 b \xe2\x82 d"},
              "x \xff\xc0 b \xe2\x82 d");
}

TEST_CASE("merge_text: line ends of either kind, none at the end, and empty texts",
          "[merge_text][unit]") {
  check_merge("a 1\r\nb 2\r\nc 3\r\n", {"a 9\r\nb 2\r\nc 3\r\n", "a 1\r\nb 2\r\nc 4\r\n"},
              "a 9\r\nb 2\r\nc 4\r\n");
  check_merge("a 1\nb 2\nc 3", {"a 9\nb 2\nc 3", "a 1\nb 2\nc 4"}, "a 9\nb 2\nc 4");
  check_merge("a 1\nb 2", {"a 1\nb 2\n", "a 3\nb 2"}, "a 3\nb 2\n");
  check_merge("", {"one", "two"}, "two", {true, false});
  check_merge("", {"one", "one"}, "one");
  check_merge("one two", {"", "one three"}, "one three", {true, false});
  check_merge("one two", {"one three", ""}, "", {true, false});
  check_merge("one two", {"", ""}, "");
  check_merge("one two", {"one two", "one three"}, "one three");
  check_merge("\n\n\n", {"\n\n", "\n\n\n\n"}, "\n\n\n\n", {true, false});
}

TEST_CASE("merge_text: words that meet by a merge are a new word", "[merge_text][unit]") {
  TextSites world(2);
  world.assign(0, "aa-bb-cc dd ee ff");
  world.meet_all();
  world.edit(0, "aa-cc dd ee ff");
  world.edit(1, "aabb-cc dd ee ff");
  world.meet_all();
  const std::string before = world.show(0).text;
  world.edit(0, before + " gg");
  world.edit(1, "zz " + before);
  world.meet_all();
  CHECK(world.show(0).text == "zz " + before + " gg");
  CHECK_FALSE(world.show(0).any_lost());
}

TEST_CASE("merge_text: NULL, a blob, and a value nobody saw are assignments",
          "[merge_text][unit]") {
  TextSites world(2);
  world.assign(0, kPoem);
  world.meet_all();
  world.edit(0, with(kPoem, "road", "path"));
  world.assign_null(1);
  world.meet_all();
  CHECK(world.show(0).null);
  CHECK(world.show(0).lost == Lost{true, false});
  world.edit(0, "anew");
  CHECK(world.show(0).text == "anew");
  world.meet_all();
  CHECK(world.show(1).text == "anew");

  // The writer saw something else than the merge: its words cannot be told from others.
  TextSites strangers(2);
  strangers.assign(0, kPoem);
  strangers.meet_all();
  const std::string seen = with(kPoem, "river", "field");
  strangers.edit_seeing(0, {seen, false, {}}, with(seen, "road", "path"));
  CHECK(strangers.versions(0).front().note.empty());
  strangers.edit(1, with(kPoem, "bridge", "wall"));
  strangers.meet_all();
  CHECK(strangers.show(0).lost == Lost{true, false});
}

TEST_CASE("merge_text: a text assigned again covers what its writer knew", "[merge_text][unit]") {
  TextSites world(3);
  world.assign(0, kPoem);
  world.meet_all();
  world.edit(1, with(kPoem, "road", "long road"));
  world.pull(0, 1);
  world.pull(2, 1);
  world.edit(2, with(world.show(2).text, "bridge", "wall"));
  world.assign(0, kPoem);
  CHECK_FALSE(world.versions(0).front().note.empty());
  world.meet_all();
  CHECK(world.show(1).text == with(kPoem, "bridge", "wall"));
}

TEST_CASE("merge_text: the note of a delete keeps what was known", "[merge_text][unit]") {
  TextSites world(2);
  world.assign(0, "one two three");
  std::string note;
  NoteInput input{LogicalKind::text, {}, WriteKind::erase, {}, {}, {}, &world.sites};
  std::vector<NotedVersion> replaced = noted(world.versions(0));
  input.replaced = replaced;
  input.version = {2, 9, 0, true};
  text_note(input, &note);
  CHECK(note.empty());
  world.edit(0, "one two four");
  replaced = noted(world.versions(0));
  input.replaced = replaced;
  text_note(input, &note);
  CHECK_FALSE(note.empty());
}

TEST_CASE("merge_text: the note format stays readable", "[merge_text][unit]") {
  SiteTable sites;
  SiteId a, b;
  a.bytes.fill(0x11);
  b.bytes.fill(0x22);
  sites.intern(a);
  sites.intern(b);
  const Version first{1, 100, 0, false};
  std::vector<NotedVersion> replaced{{first, Value::text("one two three"), {}}};
  std::string note;
  const Version second{7, 300, 1, false};
  text_note({LogicalKind::text, replaced, WriteKind::change, Value::text("one two three"),
             Value::text("one 2 three"), second, &sites},
            &note);
  // format, 1 site beside the writer, context (1: a, seq 1), the hash of "one two three", 1 origin
  // (0: the writer, seq 7, hlc 300), runs: 2 tokens of the epoch, 1 of the origin, 2 of the epoch.
  const std::string frozen = bytes_of_hex(
      "41"
      "0111111111111111111111111111111111"
      "010101"
      "98460f19f5b1a02077af47c0aa7d17f0"
      "010007ac02"
      "000002"
      "010401"
      "000202");
  CHECK(note == frozen);
  // Another site's word, merged by the frozen note.
  const std::vector<NotedVersion> both{{{2, 200, 0, false}, Value::text("one two 3"), {}},
                                       {second, Value::text("one 2 three"), note}};
  Arena arena;
  MergeResult result;
  text_value({LogicalKind::text, both, &sites, {}}, &arena, &result);
  CHECK(result.value.bytes() == "one 2 three");
  CHECK(result.lost == Lost{true, false});
}

namespace {

// A version set of a small honest history, whose notes may then be spoiled.
std::vector<StoredText> some_versions(Prng* random, SiteTable* sites) {
  TextSites world(3);
  world.assign(0, kPoem);
  world.meet_all();
  for (int i = 0; i < 6; ++i) {
    const size_t site = random->below(3);
    std::string text = world.show(site).text;
    const size_t at = random->below(text.size() + 1);
    world.edit(site, random->chance(0.7) ? text.insert(at, " new\n") : text.erase(at, 9));
    if (random->chance(0.3)) world.pull(random->below(3), site);
  }
  world.meet_all();
  *sites = world.sites;
  return world.versions(0);
}

std::string spoiled(std::string note, Prng* random) {
  switch (random->below(5)) {
    case 0:  // cut off
      return note.substr(0, random->below(note.size() + 1));
    case 1:  // a huge number somewhere
      return note.insert(random->below(note.size() + 1), "\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
    case 2:
      for (char& c : note) {
        if (random->chance(0.05)) c = static_cast<char>(random->next());
      }
      return note;
    case 3:  // two changes of one byte: some stay readable and lie
      for (int i = 0; i < 2 && !note.empty(); ++i)
        note[random->below(note.size())] ^= static_cast<char>(1 << random->below(8));
      return note;
    default:
      for (size_t i = random->below(80); i-- > 0;)
        note.push_back(static_cast<char>(random->next()));
      return note;
  }
}

void check_total(const std::vector<StoredText>& versions, const SiteTable& sites) {
  const Shown shown = merged(versions, sites);
  REQUIRE(shown.lost.size() == versions.size());
  REQUIRE_FALSE(shown.lost.back());
  const std::vector<NotedVersion> replaced = noted(versions);
  const std::string after = shown.text + "and more\n";
  std::string note;
  const Version version{99, hlc_from_ms(5000), 1, false};
  text_note({LogicalKind::text, replaced, WriteKind::change, Value::text(shown.text),
             Value::text(after), version, &sites},
            &note);
  const StoredText next{version, after, false, note, {}};
  REQUIRE(merged({next}, sites).text == after);
}

}  // namespace

TEST_CASE("merge_text: notes of any bytes give some text, never a crash", "[merge_text][unit]") {
  const uint64_t seed = number_from_env("SYNCLINE_SEED", 1);
  size_t changed = 0;
  for (uint64_t round = 0; round < 1500; ++round) {
    CAPTURE(seed, round);
    Prng random(seed * 1'000'003 + round);
    SiteTable sites;
    std::vector<StoredText> versions = some_versions(&random, &sites);
    const std::string honest = merged(versions, sites).text;
    StoredText& victim = versions[random.below(versions.size())];
    victim.note = spoiled(victim.note, &random);
    if (random.chance(0.2)) versions[0].note = versions.back().note;
    check_total(versions, sites);
    changed += merged(versions, sites).text != honest;
  }
  CHECK(changed > 0);
}

TEST_CASE("merge_text: notes that contradict each other are a conflict", "[merge_text][unit]") {
  // Both claim the words of one version, in opposite orders and with other bytes.
  TextSites world(2);
  world.assign(0, "aa bb cc dd");
  world.meet_all();
  world.edit(0, "aa bb cc ee");
  world.edit(1, "xx aa bb cc dd");
  world.meet_all();
  std::vector<StoredText> versions = world.versions(0);
  versions[0].text = "dd cc bb ee";  // as many words: its note still fits
  check_total(versions, world.sites);
  CHECK(merged(versions, world.sites).text == "xx aa bb cc dd");
  CHECK(merged(versions, world.sites).lost == Lost{true, false});
}

TEST_CASE("merge_text: a note that names a token twice counts as none", "[merge_text][unit]") {
  TextSites world(2);
  world.assign(0, "a-a b c");
  world.meet_all();
  world.edit(0, "b c");
  world.edit(1, "a-a b d");
  world.meet_all();
  std::vector<StoredText> versions = world.versions(0);
  REQUIRE(merged(versions, world.sites).text == "b d");
  REQUIRE_FALSE(merged(versions, world.sites).any_lost());
  // Its runs end in 6 tokens of the epoch and one of its own: 1, 1, the first again, and the rest.
  std::string& note = versions[1].note;
  const std::string runs = bytes_of_hex(
      "000006"
      "010c01");
  REQUIRE(note.substr(note.size() - runs.size()) == runs);
  note.resize(note.size() - runs.size());
  note += bytes_of_hex(
      "000002"
      "000301"
      "000403"
      "010c01");
  check_total(versions, world.sites);
  CHECK(merged(versions, world.sites).lost == Lost{true, false});
}

TEST_CASE("merge_text: large and repetitive texts end in bounded time", "[merge_text][unit]") {
  const std::string word(5'000'000, 'a');
  check_merge(word, {word + " b", word}, word + " b");
  check_merge(word, {"x" + word, word + "y"}, word + "y", {true, false});
  const auto repeated = [](const std::string& what, size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i)
      out += what;
    return out;
  };
  const std::string blanks = repeated("a ", 40'000), lines = repeated("a\n", 40'000);
  for (const std::string& base : {blanks, lines}) {
    const std::string fewer = base.substr(0, base.size() / 2);
    check_merge(base, {fewer, base + "b"}, base + "b", {true, false});
    check_merge(base, {"c " + base, base + "b"}, "c " + base + "b");
  }
  // More tokens than are compared: a version is taken as a whole.
  const std::string many = repeated("a b\n", 30'000);
  check_merge(many, {many + "c", "c" + many}, "c" + many, {true, false});
  check_merge(many, {many + "c", many + "c"}, many + "c");

  Prng random(7);
  std::vector<std::string> words;
  for (int i = 0; i < 30'000; ++i)
    words.push_back("w" + std::to_string(random.below(5000)) + (i % 9 == 0 ? "\n" : " "));
  std::vector<std::string> edits;
  const auto text = [&] {
    std::string out;
    for (const std::string& w : words)
      out += w;
    return out;
  };
  const std::string base = text();
  for (int edit = 0; edit < 3; ++edit) {
    for (int i = 0; i < 6'000; ++i)
      std::swap(words[random.below(words.size())], words[random.below(words.size())]);
    edits.push_back(text());
  }
  const Apart apart(base, edits);
  CHECK_FALSE(apart.shown.lost.back());
}

TEST_CASE("merge_text: more concurrent versions than are merged", "[merge_text][unit]") {
  constexpr size_t kSites = 140;
  std::string base;
  for (size_t i = 0; i < kSites; ++i)
    base += "line " + std::to_string(i) + "\n";
  TextSites world(kSites);
  world.assign(0, base);
  world.meet_all();
  for (size_t i = 0; i < kSites; ++i)
    world.edit(i, with(base, "line " + std::to_string(i) + "\n", "edit\n"));
  world.meet_all();
  const Shown shown = world.show(5);
  CHECK(std::count(shown.lost.begin(), shown.lost.end(), true) == 12);
  CHECK(shown.lost[11]);
  CHECK_FALSE(shown.lost[12]);
  CHECK(shown.text.find("line 11\n") != std::string::npos);
  CHECK(shown.text.find("line 12\n") == std::string::npos);
}
