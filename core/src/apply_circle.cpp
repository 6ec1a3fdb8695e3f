// Rows that wait for each other in a circle, over unique keys and foreign keys. Let in one by one,
// as apply_held.cpp does it, they end as they came; so where a held row goes before one that is
// stored, all that depends on it is looked at together, and placement.h says which are in.
//
// Only the host can tell whether two rows claim one unique value: collations, partial indexes and
// indexes over expressions are its own. So the rows are taken out of the base table, tried in pairs
// there, and put where they belong. All this is inside the transaction of the run.
#include <algorithm>

#include "apply_run.h"
#include "syncline/placement.h"

namespace syncline {
namespace {

// Beyond these the rows stay as they came in, one by one. The work grows with the square.
constexpr size_t kRowsMax = 64;
constexpr size_t kHeldMax = 10'000;
// Rounds of looking at the held rows; each takes at least one stored row out, or is the last.
constexpr int kRoundsMax = 200;

}  // namespace

class ApplyRun::Circle {
 public:
  explicit Circle(ApplyRun* run) : run_(*run) {}
  // `held`: all rows that are held or whose references are reset. *stored grows by those let in.
  Status settle(const std::set<RowName>& held, size_t* stored);
  bool changed() const { return changed_; }

 private:
  enum class Part : uint8_t {
    barred,   // out for good
    blocked,  // out unless what it waits for is
    open,     // not stored, and not looked at
    fits,     // not stored; it would be, but for what it needs or what it threatens
    outside,  // stored, and nothing threatens it
    member,   // in or out: that is the question
  };

  struct Row {
    RowName name;
    const TableInfo* table = nullptr;
    RowBatch batch;
    Work work;  // as it was found
    Part part = Part::barred;
    bool was_in = false, dead = false, resets = false, needs_known = false, asked = false;
    std::vector<Row*> needs, keeps, waits_for, beaten_by;
    std::string unique_reason, foreign_reason;

    RowRef ref() const { return {name.first, name.second, {}}; }
  };

  Status find(const RowName& name, Row** out);
  Status find_needs(Row* row);
  Status explore(const std::set<RowName>& held);
  void ask(Row* row);
  bool reopen();
  Status examine(Row* row);
  Status clear_way(Row* row, const StoreOutcome& outcome);
  void admit();
  void enter(Row* row);
  Status threaten(Row* row);
  Status compare_all();
  Status check_needs(Row* row);
  Status compare(Row* a, Row* b);
  Status goes_before(const Row& a, const Row& b, const std::vector<ColumnNumber>& claimed,
                     bool* yes);
  std::vector<bool> decide() const;
  Status place(const std::vector<bool>& in, bool* done);
  Status put_in(const Row& row, StoreOutcome* outcome);
  Status take_out(const Row& row);
  void note(const Row& row, const std::vector<bool>& in);
  bool is_in(const Row* row, const std::vector<bool>& in) const;

  ApplyRun& run_;
  std::map<RowName, Row> rows_;
  std::vector<Row*> candidates_;  // held rows, and deleted ones that these would keep
  std::vector<Row*> members_;     // out of the base table, until they are placed
  bool unsure_ = false;           // too many, or we do not understand: all stays as it was
  bool changed_ = false;
};

Status ApplyRun::settle_circles(const Waiting& waiting, size_t* stored) {
  const bool any = std::any_of(contenders_.begin(), contenders_.end(),
                               [&](const auto& row) { return waiting.rows.count(row) > 0; });
  if (!any || waiting.rows.size() > kHeldMax) return {};
  Circle circle(this);
  SYNCLINE_TRY(circle.settle(waiting.rows, stored));
  SYNCLINE_TRY(settle_foreign_keys());
  if (!circle.changed()) return {};
  // References that are reset show whether what they refer to is there.
  given_up_.clear(), took_place_.clear(), in_vain_.clear();
  for (const auto& row : std::set<RowName>(views_)) {
    const TableInfo* table = table_by_number(row.first);
    bool in = false;
    if (table != nullptr) SYNCLINE_TRY(try_one(*table, row.second, &in));
  }
  return settle_foreign_keys();
}

Status ApplyRun::Circle::settle(const std::set<RowName>& held, size_t* stored) {
  SYNCLINE_TRY(explore(held));
  if (!unsure_) SYNCLINE_TRY(compare_all());
  std::vector<bool> before, in;
  for (const Row* row : members_)
    before.push_back(row->was_in);
  bool done = false;
  if (!unsure_) {
    in = decide();
    SYNCLINE_TRY(place(in, &done));
    unsure_ = !done;
  }
  if (unsure_) {
    in = before;
    SYNCLINE_TRY(place(in, &done));
    if (!done) return Status(StatusCode::internal, "rows do not fit where they were");
  }
  changed_ = in != before;
  for (size_t i = 0; i < members_.size(); ++i) {
    const Row& row = *members_[i];
    if (in[i] && row.table->refers) run_.written_.push_back(row.ref());
    if (!in[i] && row.was_in && row.table->referred) run_.removed_.push_back(row.ref());
    if (in[i] && !row.was_in) ++*stored;
    if (!unsure_) note(row, in);
  }
  return {};
}

// The row as it is found here first.
Status ApplyRun::Circle::find(const RowName& name, Row** out) {
  const auto [at, added] = rows_.try_emplace(name);
  Row& row = at->second;
  *out = &row;
  if (!added) return {};
  row.name = name;
  row.table = run_.table_by_number(name.first);
  if (row.table == nullptr || !row.table->present) return {};
  SYNCLINE_TRY(run_.fetch_one(*row.table, name.second, &row.batch, &row.work));
  if (row.work.before.empty()) return {};
  ShownRow& shown = row.work.shown;
  show_row(row.work.before, *row.table, run_.site_.sites, &shown);
  for (size_t k = 0; k < row.table->key.size(); ++k) {  // state keeps no values of key columns
    shown.values[row.table->key[k]] = row.work.local->key[k];
  }
  row.dead = !shown.alive;
  row.was_in = row.work.local->stored;
  row.part = row.was_in ? Part::outside : Part::open;
  return {};
}

// What it needs, over foreign keys, as judge() in apply_foreign.cpp has it.
Status ApplyRun::Circle::find_needs(Row* row) {
  if (row->needs_known || row->part == Part::barred) return {};
  row->needs_known = true;
  LocalRow shown = *row->work.local;
  shown.values = row->work.shown.values;
  Work as_shown;
  as_shown.local = &shown;
  for (const ForeignKeyInfo& key : row->table->foreign_keys) {
    const TableInfo* table = run_.table_by_number(key.parent);
    std::string encoded;
    if (table == nullptr || !parent_key(*table, *row->table, as_shown, key, &encoded)) continue;
    const RowName name{key.parent, encoded};
    if (name == row->name) continue;
    Row* parent = nullptr;
    SYNCLINE_TRY(find(name, &parent));
    const bool reset =
        key.on_delete == ForeignAction::set_null || key.on_delete == ForeignAction::set_default;
    const bool in_key = std::any_of(key.columns.begin(), key.columns.end(),
                                    [&](ColumnNumber c) { return row->table->is_key(c); });
    if (parent->dead && reset && !in_key) {
      row->resets = true;
      continue;
    }
    row->needs.push_back(parent);
    if (parent->dead && key.on_delete == ForeignAction::restrict) row->keeps.push_back(parent);
  }
  return {};
}

void ApplyRun::Circle::ask(Row* row) {
  if (row->asked || row->part != Part::open) return;
  row->asked = true;
  candidates_.push_back(row);
}

// Each held row threatens the stored ones it goes before, whether or not it will come in: that may
// depend on them. What is found is what would be found on a site where other rows are stored.
Status ApplyRun::Circle::explore(const std::set<RowName>& held) {
  for (const RowName& name : held) {
    Row* row = nullptr;
    SYNCLINE_TRY(find(name, &row));
    if (!row->dead) ask(row);
  }
  for (int round = 0; !unsure_; ++round) {
    for (size_t i = 0; i < candidates_.size() && !unsure_; ++i) {
      if (candidates_[i]->part != Part::open) continue;
      SYNCLINE_TRY(examine(candidates_[i]));
      SYNCLINE_TRY(run_.port_.check_interrupt());
    }
    if (!reopen()) break;
    unsure_ = unsure_ || round == kRoundsMax || candidates_.size() > kHeldMax;
  }
  admit();
  return {};
}

// What rows wait for may have been threatened since, or be a deleted row that could be kept.
bool ApplyRun::Circle::reopen() {
  const auto moves = [](const Row* row) { return row->part == Part::member || row->asked; };
  bool any = false;
  for (Row* row : candidates_) {
    if (row->part == Part::blocked &&
        std::any_of(row->waits_for.begin(), row->waits_for.end(), moves)) {
      row->part = Part::open;
    }
    any = any || row->part == Part::open;
  }
  return any;
}

// Would this row fit in? Stored ones that it goes before are threatened.
Status ApplyRun::Circle::examine(Row* row) {
  SYNCLINE_TRY(find_needs(row));
  row->waits_for.clear();
  for (Row* parent : row->keeps)
    ask(parent);
  for (Row* parent : row->needs) {
    if (!parent->dead) ask(parent);
    if (parent->part == Part::barred) row->part = Part::barred;
    if (parent->part == Part::open && !parent->asked) row->waits_for.push_back(parent);
  }
  if (row->part == Part::barred) return {};
  while (row->waits_for.empty() && !unsure_) {
    StoreOutcome outcome;
    SYNCLINE_TRY(put_in(*row, &outcome));
    if (outcome.stored) {
      row->part = Part::fits;
      return take_out(*row);
    }
    if (outcome.kind != ConflictKind::unique || outcome.rivals.empty()) {
      row->part = Part::barred;
      return {};
    }
    SYNCLINE_TRY(clear_way(row, outcome));
  }
  row->part = Part::blocked;
  return {};
}

Status ApplyRun::Circle::clear_way(Row* row, const StoreOutcome& outcome) {
  for (size_t i = 0; i < outcome.rivals.size() && !unsure_; ++i) {
    Row* rival = nullptr;
    SYNCLINE_TRY(find({row->name.first, outcome.rivals[i]}, &rival));
    if (rival->part == Part::member) continue;  // on account of another rival, just now
    unsure_ = unsure_ || rival->part != Part::outside;
    bool first = false;
    SYNCLINE_TRY(goes_before(*rival, *row, outcome.claimed, &first));
    if (first) {
      row->waits_for.push_back(rival);
    } else if (!unsure_) {
      SYNCLINE_TRY(threaten(rival));
    }
  }
  return {};
}

// Of the held rows that fit in, those whose parents do.
void ApplyRun::Circle::admit() {
  const auto may_be = [](const Row* row) { return row->part >= Part::fits; };
  for (bool changed = true; changed;) {
    changed = false;
    for (Row* row : candidates_) {
      if (row->part != Part::fits || std::all_of(row->needs.begin(), row->needs.end(), may_be))
        continue;
      row->part = Part::blocked;
      changed = true;
    }
  }
  for (Row* row : candidates_) {
    if (row->part == Part::fits) enter(row);
  }
}

void ApplyRun::Circle::enter(Row* row) {
  row->part = Part::member;
  members_.push_back(row);
  unsure_ = unsure_ || members_.size() > kRowsMax;
}

// Takes a stored row out of the base table, and with it all that depends on it there.
Status ApplyRun::Circle::threaten(Row* row) {
  if (row->part != Part::outside) return {};
  enter(row);
  SYNCLINE_TRY(find_needs(row));
  SYNCLINE_TRY(take_out(*row));
  for (Row* parent : row->needs) {  // one that is kept may have been so for the sake of this row
    if (parent->dead && !unsure_) SYNCLINE_TRY(threaten(parent));
  }
  const RowRef ref = row->ref();
  std::vector<RowRef> children;
  if (row->table->referred) SYNCLINE_TRY(run_.port_.find_dangling({}, {&ref, 1}, &children));
  for (size_t i = 0; i < children.size() && !unsure_; ++i) {
    Row* child = nullptr;
    SYNCLINE_TRY(find({children[i].table, children[i].key}, &child));
    SYNCLINE_TRY(find_needs(child));
    const bool needs = std::any_of(child->needs.begin(), child->needs.end(),
                                   [](const Row* r) { return r->part == Part::member; });
    if (needs) {
      SYNCLINE_TRY(threaten(child));
    } else {  // only its reference is reset; or it refers in a way that we cannot read
      unsure_ = unsure_ || !row->dead;
    }
  }
  return {};
}

// All members are out: which of them cannot be in together?
Status ApplyRun::Circle::compare_all() {
  for (size_t i = 0; i < members_.size() && !unsure_; ++i) {
    StoreOutcome outcome;
    SYNCLINE_TRY(put_in(*members_[i], &outcome));
    unsure_ = !outcome.stored;
    if (unsure_) return {};
    SYNCLINE_TRY(check_needs(members_[i]));
    for (size_t j = i + 1; j < members_.size() && !unsure_; ++j) {
      if (members_[j]->table == members_[i]->table) {
        SYNCLINE_TRY(compare(members_[i], members_[j]));
      }
    }
    SYNCLINE_TRY(take_out(*members_[i]));
    SYNCLINE_TRY(run_.port_.check_interrupt());
  }
  return {};
}

// Does the host see the same foreign keys as we do?
Status ApplyRun::Circle::check_needs(Row* row) {
  if (!row->table->refers) return {};
  const RowRef ref = row->ref();
  std::vector<RowRef> dangling;
  SYNCLINE_TRY(run_.port_.find_dangling({&ref, 1}, {}, &dangling));
  const bool lacks = std::any_of(row->needs.begin(), row->needs.end(),
                                 [](const Row* r) { return r->part != Part::outside; });
  unsure_ = unsure_ || (dangling.empty() ? lacks : !lacks && !row->resets);
  if (!dangling.empty()) row->foreign_reason = dangling[0].reason;
  return {};
}

// `a` is in.
Status ApplyRun::Circle::compare(Row* a, Row* b) {
  StoreOutcome outcome;
  SYNCLINE_TRY(put_in(*b, &outcome));
  if (outcome.stored) return take_out(*b);
  const auto& rivals = outcome.rivals;
  if (outcome.kind != ConflictKind::unique ||
      std::find(rivals.begin(), rivals.end(), a->name.second) == rivals.end()) {
    unsure_ = true;
    return {};
  }
  bool first = false;
  SYNCLINE_TRY(goes_before(*a, *b, outcome.claimed, &first));
  (first ? b : a)->beaten_by.push_back(first ? a : b);
  a->unique_reason = b->unique_reason = outcome.reason;
  return {};
}

// Of two rows that claim one unique value: does `a` have it before `b`?
Status ApplyRun::Circle::goes_before(const Row& a, const Row& b,
                                     const std::vector<ColumnNumber>& claimed, bool* yes) {
  *yes = !a.dead;
  if (a.dead != b.dead) return {};
  const Version one = run_.claim(*a.table, a.work, claimed);
  const Version other = run_.claim(*b.table, b.work, claimed);
  // What has melted may have been later than what comes now: apply_held.cpp writes it anew.
  for (const auto& [melted, late] : {std::pair(&one, &other), std::pair(&other, &one)}) {
    bool earlier = melted->seq == 0 && late->seq != 0 && late->hlc != 0;
    if (earlier) SYNCLINE_TRY(run_.may_be_earlier(*late, &earlier));
    unsure_ = unsure_ || earlier;
  }
  const int order = compare_claims(one, other, run_.site_.sites);
  *yes = order > 0 || (order == 0 && a.name.second < b.name.second);
  return {};
}

std::vector<bool> ApplyRun::Circle::decide() const {
  std::vector<PlacementRow> rows(members_.size());
  const auto positions = [&](const std::vector<Row*>& from, std::vector<size_t>* to, bool* barred) {
    for (Row* row : from) {
      const auto at = std::find(members_.begin(), members_.end(), row);
      if (at != members_.end()) {
        to->push_back(static_cast<size_t>(at - members_.begin()));
      } else if (row->part != Part::outside) {
        *barred = true;
      }
    }
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& row = *members_[i];
    rows[i].name = held_conflict_id(*row.table, row.work.local->key);
    rows[i].dead = row.dead;
    positions(row.needs, &rows[i].needs, &rows[i].barred);
    positions(row.keeps, &rows[i].keeps, &rows[i].barred);
    positions(row.beaten_by, &rows[i].beaten_by, &rows[i].barred);
  }
  return place_rows(rows);
}

// Puts the rows in that are to be; if one of them does not fit, none.
Status ApplyRun::Circle::place(const std::vector<bool>& in, bool* done) {
  *done = true;
  for (size_t i = 0; i < members_.size() && *done; ++i) {
    StoreOutcome outcome;
    if (in[i]) SYNCLINE_TRY(put_in(*members_[i], &outcome));
    *done = outcome.stored;
  }
  for (size_t i = 0; i < members_.size() && !*done; ++i)
    SYNCLINE_TRY(take_out(*members_[i]));
  return {};
}

Status ApplyRun::Circle::put_in(const Row& row, StoreOutcome* outcome) {
  RowBatch batch;
  Work work;
  SYNCLINE_TRY(run_.fetch_one(*row.table, row.name.second, &batch, &work));
  *outcome = StoreOutcome();
  if (work.local->stored) return {};
  work.after.held = false;
  work.after.kept = row.dead;
  RowWrite write;
  return run_.store_one(*row.table, &work, &write, outcome);
}

Status ApplyRun::Circle::take_out(const Row& row) {
  RowBatch batch;
  Work work;
  SYNCLINE_TRY(run_.fetch_one(*row.table, row.name.second, &batch, &work));
  if (!work.local->stored) return {};
  work.after.held = !row.dead;
  work.after.kept = false;
  RowWrite write;
  StoreOutcome outcome;
  SYNCLINE_TRY(run_.store_one(*row.table, &work, &write, &outcome));
  if (outcome.stored) return {};
  return Status(StatusCode::internal,
                "a row of table " + row.table->name + " could not be taken out");
}

bool ApplyRun::Circle::is_in(const Row* row, const std::vector<bool>& in) const {
  const auto at = std::find(members_.begin(), members_.end(), row);
  return at == members_.end() ? row->part == Part::outside
                              : in[static_cast<size_t>(at - members_.begin())];
}

// What is on record about a row: the same on every site, whatever was there before.
void ApplyRun::Circle::note(const Row& row, const std::vector<bool>& in) {
  const bool stays = is_in(&row, in);
  const RowKey key = row.work.local->key;
  const auto there = [&](const Row* other) { return is_in(other, in); };
  if (!stays && !row.dead) {
    const bool unique = std::any_of(row.beaten_by.begin(), row.beaten_by.end(), there) ||
                        std::all_of(row.needs.begin(), row.needs.end(), there);
    run_.note_held(*row.table, key, true, unique ? ConflictKind::unique : ConflictKind::foreign_key,
                   unique ? row.unique_reason : row.foreign_reason, &row.work.shown);
  } else if (stays == row.was_in) {
    return;
  } else if (stays && row.dead) {
    run_.note_kept(*row.table, key, row.work.shown);
  } else {
    run_.note_free(*row.table, key, row.work.before);
  }
}

}  // namespace syncline
