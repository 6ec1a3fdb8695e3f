// Which rows have a place: known circles, and random graphs against a reference that goes through
// all sets of rows.
#include "syncline/placement.h"

#include <algorithm>
#include <numeric>

#include "support/catch.hpp"
#include "support/prng.hpp"

using namespace syncline;
using test::Prng;

namespace {

using Rows = std::vector<PlacementRow>;
using Mask = uint32_t;

bool has(Mask set, size_t row) {
  return (set >> row & 1) != 0;
}

// Does some living row of the set keep this one, over dead ones of the set?
bool is_kept(const Rows& rows, Mask set, size_t row) {
  Mask kept = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (has(set, i) && !rows[i].dead) kept |= Mask{1} << i;
  }
  for (size_t step = 0; step < rows.size(); ++step) {
    for (size_t i = 0; i < rows.size(); ++i) {
      for (const size_t to : rows[i].keeps) {
        if (has(kept, i) && has(set, to)) kept |= Mask{1} << to;
      }
    }
  }
  return has(kept, row);
}

// May all rows of the set be in, as far as their parents and those who keep them are concerned?
bool stands(const Rows& rows, Mask set) {
  for (size_t i = 0; i < rows.size(); ++i) {
    if (!has(set, i)) continue;
    if (rows[i].barred) return false;
    for (const size_t need : rows[i].needs) {
      if (!has(set, need)) return false;
    }
    if (!is_kept(rows, set, i)) return false;
  }
  return true;
}

// The union of all sets that stand without a row that has a rival before it in `against`.
Mask fitting(const Rows& rows, Mask against) {
  Mask beaten = 0, out = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    for (const size_t rival : rows[i].beaten_by) {
      if (has(against, rival)) beaten |= Mask{1} << i;
    }
  }
  for (Mask set = 0; set < Mask{1} << rows.size(); ++set) {
    if ((set & beaten) == 0 && stands(rows, set)) out |= set;
  }
  return out;
}

Mask mask_of(const std::vector<bool>& in) {
  Mask out = 0;
  for (size_t i = 0; i < in.size(); ++i)
    out |= Mask{in[i]} << i;
  return out;
}

// `hard`: rows that need a dead one and do not keep it, which only others do.
Rows random_rows(Prng* random, bool hard) {
  Rows rows(1 + random->below(8));
  std::vector<size_t> names(rows.size());
  std::iota(names.begin(), names.end(), size_t{0});
  random->shuffle(&names);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].name = "row " + std::to_string(names[i]);
    rows[i].dead = random->chance(0.2);
    rows[i].barred = random->chance(0.05);
  }
  const double ties = 0.1 + 0.05 * static_cast<double>(random->below(4));
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t j = 0; j < rows.size(); ++j) {
      if (i == j) continue;
      if (random->chance(ties)) {
        rows[i].needs.push_back(j);
        if (!hard || random->chance(0.6)) rows[i].keeps.push_back(j);
      }
      if (i > j || !random->chance(ties)) continue;
      const bool first = rows[i].dead == rows[j].dead ? random->chance(0.5) : rows[j].dead;
      rows[first ? j : i].beaten_by.push_back(first ? i : j);
    }
  }
  return rows;
}

// The same rows in another order.
Rows shuffled(const Rows& rows, const std::vector<size_t>& place) {
  Rows out(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    PlacementRow& to = out[place[i]];
    to = rows[i];
    for (auto* list : {&to.needs, &to.keeps, &to.beaten_by}) {
      for (size_t& row : *list)
        row = place[row];
    }
  }
  return out;
}

PlacementRow row(const char* name, std::vector<size_t> needs, std::vector<size_t> beaten_by) {
  PlacementRow out;
  out.name = name;
  out.needs = out.keeps = std::move(needs);
  out.beaten_by = std::move(beaten_by);
  return out;
}

}  // namespace

TEST_CASE("placement: a row goes where no circle leaves a doubt", "[placement][unit]") {
  using In = std::vector<bool>;
  // b goes before a; without its parent it would not.
  CHECK(place_rows(Rows{row("a", {}, {1}), row("b", {}, {})}) == In{false, true});
  Rows without = {row("a", {}, {1}), row("b", {}, {})};
  without[1].barred = true;
  CHECK(place_rows(without) == In{true, false});
  // Rows that refer to each other come in together.
  CHECK(place_rows(Rows{row("a", {1}, {}), row("b", {0}, {})}) == In{true, true});
  // A deleted row stays for the sake of its child, and makes way for one that lives.
  Rows kept = {row("dead", {}, {}), row("child", {0}, {})};
  kept[0].dead = true;
  CHECK(place_rows(kept) == In{true, true});
  kept.push_back(row("rival", {}, {}));
  kept[0].beaten_by = {2};
  CHECK(place_rows(kept) == In{false, false, true});
  kept[0].beaten_by.clear();
  kept[1].beaten_by = {2};
  CHECK(place_rows(kept) == In{false, false, true});
}

TEST_CASE("placement: of a circle the least name comes in, with what it needs",
          "[placement][unit]") {
  using In = std::vector<bool>;
  const auto circle = [](const char* a, const char* b, const char* c, const char* d) {
    return place_rows(Rows{row(a, {3}, {}), row(b, {}, {0}), row(c, {1}, {}), row(d, {}, {2})});
  };
  CHECK(circle("1", "2", "3", "4") == In{true, false, false, true});
  CHECK(circle("2", "1", "3", "4") == In{false, true, true, false});
  CHECK(circle("2", "3", "1", "4") == In{false, true, true, false});
  CHECK(circle("2", "3", "4", "1") == In{true, false, false, true});
  // A child that goes before its own parent keeps neither out.
  CHECK(place_rows(Rows{row("parent", {}, {1}), row("child", {0}, {})}) == In{true, false});
  CHECK(place_rows(Rows{row("parent", {}, {1}), row("a child", {0}, {})}) == In{true, false});
}

TEST_CASE("placement: as the reference has it, in any order", "[placement][property]") {
  uint64_t circles = 0;
  for (uint64_t seed = 0; seed < 20'000; ++seed) {
    Prng random(seed);
    const bool hard = seed % 4 == 0;
    const Rows rows = random_rows(&random, hard);
    INFO("seed " << seed);
    Mask sure = 0, possible = fitting(rows, 0);
    for (Mask last = ~sure; last != sure;) {
      last = sure;
      sure = fitting(rows, possible);
      possible = fitting(rows, sure);
    }
    const Certainty found = find_certain(rows);
    REQUIRE(mask_of(found.sure) == sure);
    REQUIRE(mask_of(found.possible) == possible);

    const Mask in = mask_of(place_rows(rows));
    circles += sure != possible;
    REQUIRE((in & sure) == sure);
    REQUIRE((in & ~possible) == 0);
    REQUIRE(stands(rows, in));
    for (size_t i = 0; i < rows.size(); ++i) {
      bool has_rival = false;
      for (size_t j = 0; j < rows.size(); ++j) {
        const auto& before_i = rows[i].beaten_by;
        const auto& before_j = rows[j].beaten_by;
        const bool rivals = std::count(before_i.begin(), before_i.end(), j) > 0 ||
                            std::count(before_j.begin(), before_j.end(), i) > 0;
        has_rival = has_rival || (has(in, j) && rivals);
      }
      if (has(in, i)) REQUIRE_FALSE(has_rival);
      // None is out that would fit in alone.
      if (!hard && !has(in, i) && !has_rival) REQUIRE_FALSE(stands(rows, in | Mask{1} << i));
    }

    std::vector<size_t> place(rows.size());
    std::iota(place.begin(), place.end(), size_t{0});
    random.shuffle(&place);
    const std::vector<bool> again = place_rows(shuffled(rows, place));
    for (size_t i = 0; i < rows.size(); ++i)
      REQUIRE(again[place[i]] == has(in, i));
  }
  CHECK(circles > 200);
}
