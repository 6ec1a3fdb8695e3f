// See oracle.h.
#include "sqlite_ext/simulate/oracle.h"

#include <algorithm>

namespace syncline::simulate {

struct Oracle::Look {
  Row* row;
  const SeenRow* before;  // null: it was not there
  const SeenRow* now;     // null: it is gone
  const SeenTable* table;
  const View* view;
  size_t cells;
  // By cell: the new versions that this step brought.
  std::vector<std::vector<size_t>> fresh;
};

namespace {

const std::vector<SeenVersion>& versions(const SeenRow* row, size_t cell) {
  static const std::vector<SeenVersion> none;
  return row == nullptr || cell >= row->cells.size() ? none : row->cells[cell];
}

// Values are compared elsewhere: with what their writer wrote, and with the base row.
bool same_dots(const std::vector<SeenVersion>& a, const std::vector<SeenVersion>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const SeenVersion& x, const SeenVersion& y) {
                      return x.site == y.site && x.seq == y.seq && x.dead == y.dead;
                    });
}

const std::string& base(const SeenRow* row, size_t cell) {
  static const std::string none;
  return row == nullptr || cell >= row->base.size() ? none : row->base[cell];
}

}  // namespace

Oracle::Row& Oracle::row_of(const std::string& table, const std::string& key,
                            const std::string& pk) {
  Row& row = rows_[{table, key}];
  if (row.table.empty()) {
    row.table = table;
    row.pk = pk;
    row.wrote.resize(words_.cells[table].size());
    row.lost.resize(row.wrote.size());
  }
  return row;
}

bool Oracle::retired(const std::string& table, size_t cell) const {
  const auto found = retired_.find(table);
  return found != retired_.end() && cell < found->second.size() && found->second[cell];
}

void Oracle::retire(const std::string& table, const std::string& column) {
  const size_t cell = words_.cell(table, column);
  std::vector<bool>& cells = retired_[table];
  cells.resize(std::max(cells.size(), cell + 1));
  cells[cell] = true;
}

std::string Oracle::named(const Write& write) const {
  return "change " + std::to_string(write.seq) + " of site id " +
         to_hex(words_.sites.id(write.site)).substr(0, 8);
}

std::string Oracle::listed(const std::vector<SeenVersion>& all) const {
  std::string out;
  for (const SeenVersion& v : all) {
    out += (out.empty() ? "" : ", ") + to_hex(words_.sites.id(v.site)).substr(0, 8) + ":" +
           std::to_string(v.seq) + "@" + std::to_string(v.hlc >> kHlcCounterBits) +
           (v.dead ? " deleted" : "") + (v.value.empty() ? "" : " " + v.value);
  }
  return out.empty() ? "nothing" : out;
}

Failure Oracle::wrong(const char* kind, const Look& look, size_t cell,
                      const std::string& what) const {
  std::string place = "table " + look.row->table + ", row " + look.row->pk;
  const std::vector<std::string>& names = words_.cells[look.row->table];
  if (cell > 0 && cell < names.size()) place += ", column " + names[cell];
  return {kind, place + ": " + what};
}

int64_t Oracle::find(const Mind& mind, const Row& row, const SeenVersion& version) const {
  const auto own = mind.own.find({&row, version.site, version.seq});
  if (own != mind.own.end()) return static_cast<int64_t>(own->second);
  // What a copy wrote is not what its original wrote under the same number, even at the same time.
  if (mind.unsettled && version.site == mind.view.self) return -1;
  const auto found = row.dots.find({version.site, version.seq, version.hlc});
  return found == row.dots.end() ? -1 : static_cast<int64_t>(found->second);
}

Oracle::Bits Oracle::writes_of(const Mind& mind, const Row& row, size_t cell,
                               const SeenVersion& version) const {
  if (version.seq == 0) {
    const auto found = mind.melted.find(&row);
    const bool there = found != mind.melted.end() && cell < found->second.size();
    return there ? found->second[cell] : Bits();
  }
  const int64_t number = find(mind, row, version);
  return number < 0 ? Bits() : Bits().set(static_cast<size_t>(number));
}

// What stood in the cells of rows that have melted now. Where all have seen it, no name comes to be
// missing in any other way.
void Oracle::melt(Mind* mind, const View& view) {
  for (const auto& [name, old] : mind->view.tables) {
    const SeenTable& table = view.tables.at(name);
    for (const auto& [key, before] : old.rows) {
      const auto now = table.rows.find(key);
      const Row& row = row_of(name, key, before.pk);
      std::vector<Bits> held(row.wrote.size());
      bool any = now == table.rows.end();
      for (size_t cell = 0; cell < held.size(); ++cell) {
        for (const SeenVersion& v : versions(&before, cell))
          held[cell] |= writes_of(*mind, row, cell, v);
        if (now == table.rows.end()) continue;
        for (const SeenVersion& v : versions(&now->second, cell))
          any = any || v.seq == 0;
      }
      if (any) mind->melted[&row] = std::move(held);
    }
  }
}

size_t Oracle::add(Mind* mind, Row* row, Write write, const std::set<Hlc>& clocks) {
  const size_t number = row->writes.size();
  for (size_t cell = 0; cell < row->wrote.size(); ++cell) {
    if (write.whole || write.cell == cell) row->wrote[cell].set(number);
  }
  mind->own[{row, write.site, write.seq}] = number;
  for (const Hlc hlc : clocks) {
    if (!mind->unsettled) row->dots[{write.site, write.seq, hlc}] = number;
  }
  row->writes.push_back(std::move(write));
  if (row->writes.size() > kWritesMax / 2 - 8) full_ = true;
  return number;
}

// Own writes that were not sent stand under the new id now. Each is another write, that says the
// same again: who has the old one does not know that this one replaces anything of it.
void Oracle::relabel(Mind* mind, const View& view) {
  const SiteIndex old = mind->view.self;
  mind->unsettled = false;
  std::map<Row*, std::map<size_t, size_t>> renamed;
  std::vector<std::tuple<Row*, uint64_t, size_t>> moved;
  for (const auto& [place, number] : mind->own) {
    const auto& [row, site, seq] = place;
    if (site != old || seq <= view.shared) continue;
    moved.emplace_back(const_cast<Row*>(static_cast<const Row*>(row)), seq, number);
  }
  std::sort(moved.begin(), moved.end(), [](const auto& a, const auto& b) {
    return std::tie(std::get<0>(a)->table, std::get<0>(a)->pk, std::get<1>(a)) <
           std::tie(std::get<0>(b)->table, std::get<0>(b)->pk, std::get<1>(b));
  });
  for (const auto& [row, seq, number] : moved) {
    mind->own.erase({row, old, seq});
    Write again = row->writes[number];
    again.site = view.self;
    const std::map<size_t, size_t>& others = renamed[row];
    const auto rename = [&](Bits* bits) {
      for (const auto& [from, to] : others) {
        if (!(*bits)[from]) continue;
        bits->reset(from);
        bits->set(to);
      }
    };
    rename(&again.row_past);
    for (size_t cell = 0; cell < again.past.size(); ++cell) {
      rename(&again.past[cell]);
      again.cover[cell] |= again.past[cell] | Bits().set(number);
    }
    overflowed_ = overflowed_ || row->writes.size() >= kWritesMax;
    if (overflowed_) return;
    renamed[row][number] = add(mind, row, std::move(again), {});
  }
  // Found by others under its clock: entered when it is seen.
}

Failure Oracle::observe(Mind* mind, View view, Cause cause) {
  if (overflowed_) {  // it has lost count of some row: only what sites say themselves is checked
    mind->view = std::move(view);
    mind->unsettled = mind->unsettled && cause != Cause::identity;
    return {};
  }
  if (cause == Cause::identity) relabel(mind, view);
  if (cause == Cause::melting) melt(mind, view);
  if (view.folded != mind->view.folded) mind->beside.clear();
  mind->unfolded = cause == Cause::local;
  const bool grew = view.knowledge != mind->view.knowledge || view.contexts != mind->view.contexts;
  for (const auto& [name, table] : view.tables) {
    for (const auto& [key, now] : table.rows) {
      const SeenTable& old = mind->view.tables[name];
      const auto before = old.rows.find(key);
      Row& row = row_of(name, key, now.pk);
      Look look{&row, before == old.rows.end() ? nullptr : &before->second, &now, &table, &view,
                row.wrote.size(), {}};
      const bool same = look.before != nullptr && *look.before == now && cause != Cause::identity;
      if (same && !grew) continue;
      look.fresh.resize(look.cells);
      if (!same) {
        const bool held = look.before != nullptr && look.before->held;
        const bool writes = cause == Cause::local || cause == Cause::decision;
        if (writes && held) mind->beside.insert(&row);
        if (Failure broken = learn(mind, &look, cause)) return broken;
        if (cause == Cause::local) {
          if (Failure broken = check_capture(*mind, look)) return broken;
        }
      }
      if (Failure broken = check_row(mind, look)) return broken;
    }
  }
  for (const auto& [name, old] : mind->view.tables) {
    for (const auto& [key, before] : old.rows) {
      const auto table = view.tables.find(name);
      if (table != view.tables.end() && table->second.rows.count(key) != 0) continue;
      if (cause == Cause::melting && !before.stored && !before.held) continue;
      return {cause == Cause::local ? "capture" : "lost",
              "table " + name + ", row " + before.pk + ": it is gone, and no version says so"};
    }
  }
  mind->view = std::move(view);
  return {};
}

// Whether a version was held, and stands beside what the application wrote over it.
bool Oracle::stays(const Mind& mind, const Look& look, size_t cell, const SeenVersion& version) {
  if (mind.beside.count(look.row) == 0) return false;
  const std::vector<SeenVersion>& now = versions(look.now, cell);
  return std::any_of(now.begin(), now.end(), [&](const SeenVersion& v) {
    return v.site == version.site && v.seq == version.seq;
  });
}

// A unique value whose version has melted is written anew, as it stands, where a row claims it that
// may be the earlier one; a delete that was forgotten, where it meets what did not see it.
bool Oracle::says_again(const Look& look, size_t cell, const SeenVersion& version) {
  if (version.dead) return look.before == nullptr || !look.before->stored;
  const std::vector<SeenVersion>& before = versions(look.before, cell);
  return look.before != nullptr && look.before->stored &&
         base(look.before, cell) == version.value &&
         std::all_of(before.begin(), before.end(), [](const auto& v) { return v.seq == 0; });
}

// Finds the versions that nobody has seen yet, and what they replaced.
Failure Oracle::learn(Mind* mind, Look* look, Cause cause) {
  std::map<uint64_t, std::vector<size_t>> found;  // new: seq, in order -> cells
  for (size_t cell = 0; cell < look->cells; ++cell) {
    for (const SeenVersion& v : versions(look->now, cell)) {
      const int64_t known = find(*mind, *look->row, v);
      if (v.seq == 0 && writes_of(*mind, *look->row, cell, v).any()) continue;
      if (known >= 0) {
        if (!mind->unsettled) {
          look->row->dots.emplace(std::tuple(v.site, v.seq, v.hlc), static_cast<size_t>(known));
        }
        continue;
      }
      const bool may_write = cause != Cause::arrival && cause != Cause::identity &&
                             cause != Cause::melting;
      const bool own = v.site == look->view->self;
      if (!own || !(may_write || says_again(*look, cell, v))) {
        return wrong("invented", *look, cell, "a version that nobody wrote stands there");
      }
      if (v.hlc == 0 && cause != Cause::before) {
        return wrong("capture", *look, cell, "it appeared, and the log says nothing of it");
      }
      found[v.seq].push_back(cell);
    }
  }
  std::vector<Bits> past(look->cells), cover(look->cells);
  Bits here;
  for (size_t cell = 0; cell < look->cells; ++cell) {
    Bits held;
    for (const SeenVersion& v : versions(look->before, cell)) {
      if (!stays(*mind, *look, cell, v)) held |= writes_of(*mind, *look->row, cell, v);
    }
    if (look->before == nullptr) held = writes_of(*mind, *look->row, cell, SeenVersion());
    for (size_t w = 0; w < look->row->writes.size(); ++w) {
      if (!held[w]) continue;
      past[cell] |= look->row->writes[w].past[cell] | Bits().set(w);
      cover[cell] |= look->row->writes[w].cover[cell] | Bits().set(w);
    }
    here |= past[cell];
  }
  for (const auto& [seq, cells] : found) {
    overflowed_ = overflowed_ || look->row->writes.size() >= kWritesMax;
    if (overflowed_) return {};
    Write write;
    write.site = look->view->self;
    write.seq = seq;
    write.cell = cells.front();
    write.whole = write.cell == 0;  // the existence of a row is written by whole writes only
    write.past = past;
    write.cover = cover;
    write.row_past = here;
    write.values.resize(look->cells);
    // A write is later than all that it replaces, so its clock may differ from cell to cell.
    std::set<Hlc> clocks;
    for (const size_t cell : cells) {
      for (const SeenVersion& v : versions(look->now, cell)) {
        if (v.seq != seq || v.site != write.site) continue;
        write.values[cell] = v.value;
        write.dead = v.dead;
        clocks.insert(v.hlc);
      }
    }
    const bool whole = write.whole;
    const size_t number = add(mind, look->row, std::move(write), clocks);
    for (size_t cell = 0; cell < look->cells; ++cell) {
      const bool wrote = whole || std::find(cells.begin(), cells.end(), cell) != cells.end();
      if (!wrote) continue;
      look->row->wrote[cell].set(number);
      look->fresh[cell].push_back(number);
      past[cell].set(number);
      cover[cell].set(number);
    }
    here.set(number);
  }
  return {};
}

// What the base table shows has changed where there is a new version, and only there; and a local
// write replaces all versions of its cell.
Failure Oracle::check_capture(const Mind& mind, const Look& look) const {
  const bool was = look.before != nullptr && look.before->stored;
  if (was != look.now->stored && look.fresh[0].empty()) {
    return wrong("capture", look, 0, look.now->stored ? "it was inserted without a version"
                                                      : "it was deleted without a version");
  }
  for (size_t cell = 1; cell < look.cells; ++cell) {
    const std::vector<SeenVersion>& now = versions(look.now, cell);
    const bool moved = was && look.now->stored && base(look.before, cell) != base(look.now, cell);
    if (look.fresh[cell].empty()) {
      if (moved) return wrong("capture", look, cell, "it was changed without a version");
      if (look.before != nullptr && !same_dots(now, versions(look.before, cell))) {
        return wrong("capture", look, cell, "its versions changed though nobody wrote it: " +
                                                listed(versions(look.before, cell)) + ", then " +
                                                listed(now));
      }
      continue;
    }
    const SeenVersion* written = nullptr;
    size_t others = 0;
    for (const SeenVersion& v : now) {
      if (find(mind, *look.row, v) == static_cast<int64_t>(look.fresh[cell].back())) {
        written = &v;
      } else if (!stays(mind, look, cell, v)) {
        ++others;
      }
    }
    if (written == nullptr || others > 0) {
      return wrong("capture", look, cell, "a write did not replace what stood there: " +
                                              listed(versions(look.before, cell)) + ", then " +
                                              listed(now));
    }
    const bool key = std::find(look.table->key.begin(), look.table->key.end(), cell) !=
                     look.table->key.end();
    if (look.now->stored && !key && look.table->columns[cell] && !written->dead &&
        written->value != base(look.now, cell)) {
      return wrong("capture", look, cell, "its version says " + written->value +
                                              ", the row " + base(look.now, cell));
    }
  }
  return {};
}

Failure Oracle::check_row(Mind* mind, const Look& look) {
  std::vector<Bits>& covered = mind->covered[look.row];
  covered.assign(look.cells, Bits());
  std::vector<Bits> replaced(look.cells);
  for (size_t cell = 0; cell < look.cells; ++cell) {
    Bits held;
    for (const SeenVersion& v : versions(look.now, cell)) {
      const Bits writes = writes_of(*mind, *look.row, cell, v);
      if (writes.none()) return wrong("invented", look, cell, "nobody wrote a version there");
      held |= writes;
      for (size_t w = 0; w < look.row->writes.size(); ++w) {
        if (!writes[w]) continue;
        replaced[cell] |= look.row->writes[w].past[cell];
        covered[cell] |= look.row->writes[w].cover[cell];
      }
      if (v.seq == 0) continue;
      const Write& write = look.row->writes[static_cast<size_t>(find(*mind, *look.row, v))];
      if (write.dead != v.dead) return wrong("invented", look, cell, "a delete became a write");
      if (v.dead || cell == 0 || v.value.empty() || cell >= write.values.size()) continue;
      if (retired(look.row->table, cell)) continue;
      if (!write.values[cell].empty() && write.values[cell] != v.value) {
        return wrong("invented", look, cell,
                     named(write) + " wrote " + write.values[cell] + ", here it is " + v.value);
      }
    }
    covered[cell] |= held;
    if ((held & replaced[cell]).any()) {
      return wrong("exactness", look, cell, "a version stands beside one that replaced it: " +
                                                listed(versions(look.now, cell)));
    }
    replaced[cell] |= held;
  }
  if (Failure broken = check_claims(look, replaced, *mind)) return broken;
  return check_shown(look, replaced, mind->beside.count(look.row) != 0);
}

Failure Oracle::check_claims(const Look& look, const std::vector<Bits>& covered,
                             const Mind& mind) const {
  const Known* context = nullptr;
  const auto found = look.view->contexts.find(look.now->context);
  if (look.now->context != 0 && found != look.view->contexts.end()) context = &found->second;
  const auto known = [&](SiteIndex site) {
    const auto here = look.view->knowledge.find(site);
    uint64_t seq = here == look.view->knowledge.end() ? 0 : here->second;
    if (context == nullptr) return seq;
    const auto more = context->find(site);
    return more == context->end() ? seq : std::max(seq, more->second);
  };
  for (const auto& [dot, number] : look.row->dots) {
    const auto& [site, seq, hlc] = dot;
    // A copy's own unsent dots are not those that others have under that id.
    if (mind.unsettled && site == look.view->self) continue;
    const Write& write = look.row->writes[number];
    bool some = false;
    size_t missing = 0, cells = 0;
    for (size_t cell = 0; cell < look.cells; ++cell) {
      if (!look.row->wrote[cell][number]) continue;
      ++cells;
      if (covered[cell][number]) {
        some = true;
      } else {
        missing = cell + 1;
      }
    }
    if (missing == 0 || cells == 0) continue;
    if (seq <= known(site)) {
      return wrong("claims", look, missing - 1,
                   "knowledge covers " + named(write) + ", but it is not here: " +
                       listed(versions(look.now, missing - 1)));
    }
    if (some) return wrong("half", look, missing - 1, named(write) + " is here in part only");
  }
  return {};
}

// As Truth::expect_alive of the core's simulation.
bool Oracle::expect_alive(const Row& row, const Bits& here, OnDelete on_delete,
                          bool otherwise) const {
  if (on_delete == OnDelete::last_writer) return otherwise;
  const bool update_wins = on_delete == OnDelete::update_wins;
  const auto ended = [&](size_t write, bool by_delete) {
    for (size_t e = 0; e < row.writes.size(); ++e) {
      const Write& later = row.writes[e];
      if (!here[e] || !later.row_past[write]) continue;
      if (by_delete ? later.dead : later.whole && !later.dead) return true;
    }
    return false;
  };
  for (size_t w = 0; w < row.writes.size(); ++w) {
    if (!here[w]) continue;
    if (update_wins && !row.writes[w].dead && !ended(w, true)) return true;
    if (!update_wins && row.writes[w].dead && !ended(w, false)) return false;
  }
  return !update_wins && here.any();
}

Failure Oracle::check_shown(const Look& look, const std::vector<Bits>& covered,
                            bool beside) const {
  if (!look.table->present) return {};
  const SeenRow& now = *look.now;
  const bool alive = (now.stored && !now.kept) || now.held;
  Bits here;
  for (const Bits& bits : covered)
    here |= bits;
  if (alive != expect_alive(*look.row, here, look.table->on_delete, alive)) {
    return wrong("alive", look, 0, alive ? "it is shown, though its delete was the last word"
                                         : "it is hidden, though a write outlives its delete");
  }
  if (!now.stored || now.kept || now.adjusted || beside) return {};
  for (size_t cell = 1; cell < look.cells; ++cell) {
    const bool key = std::find(look.table->key.begin(), look.table->key.end(), cell) !=
                     look.table->key.end();
    if (key || cell >= look.table->columns.size() || !look.table->columns[cell]) continue;
    const std::vector<SeenVersion>& all = versions(&now, cell);
    const bool any_live = std::any_of(all.begin(), all.end(), [](auto& v) { return !v.dead; });
    const SeenVersion* last = nullptr;
    bool unsure = look.table->policies[cell] != PolicyKind::last_writer && all.size() > 1;
    for (const SeenVersion& v : all) {
      if (any_live && v.dead) continue;
      unsure = unsure || v.value.empty();
      const auto rank = [&](const SeenVersion& version) {
        return std::tuple(version.hlc, words_.sites.id(version.site), version.seq);
      };
      if (last == nullptr || rank(*last) < rank(v)) last = &v;
    }
    if (last == nullptr || unsure || last->value == base(&now, cell)) continue;
    return wrong("shown", look, cell,
                 "the row shows " + base(&now, cell) + ", its last version says " + last->value);
  }
  return {};
}

Failure Oracle::check_lost(const std::vector<const Mind*>& minds) const {
  if (overflowed_) return {};
  for (const auto& [place, row] : rows_) {
    for (size_t cell = 0; cell < row.wrote.size(); ++cell) {
      Bits missing = row.wrote[cell] & ~row.lost[cell];
      for (const Mind* mind : minds) {
        const auto found = mind->covered.find(&row);
        if (found != mind->covered.end() && cell < found->second.size()) {
          missing &= ~found->second[cell];
        }
      }
      if (missing.none()) continue;
      size_t write = 0;
      while (!missing[write])
        ++write;
      const std::string column = cell == 0 ? "" : ", column " + words_.cells[row.table][cell];
      return {"lost", "table " + row.table + ", row " + row.pk + column + ": " +
                          named(row.writes[write]) + " stands on no site, and nobody replaced it"};
    }
  }
  return {};
}

void Oracle::forget_lost(const std::vector<const Mind*>& minds) {
  for (auto& [place, row] : rows_) {
    for (size_t cell = 0; cell < row.wrote.size(); ++cell) {
      Bits missing = row.wrote[cell];
      for (const Mind* mind : minds) {
        const auto found = mind->covered.find(&row);
        if (found != mind->covered.end() && cell < found->second.size()) {
          missing &= ~found->second[cell];
        }
      }
      row.lost[cell] = missing;
    }
  }
}

}  // namespace syncline::simulate
