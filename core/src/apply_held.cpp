// Rows that a constraint keeps out of the base table. A held row is whole: all its versions and
// values stand in its state, and an open conflict says why. Which rows are stored is a function of
// the versions known: of two rows that claim one unique key the one with the greater version is
// stored, and a row is stored only while the rows its foreign keys name are.
#include <algorithm>
#include <utility>

#include "apply_run.h"

namespace syncline {
namespace {

// Rounds of trying held rows again. Each lets in at least one row, or is the last; most exchanges
// need one or two. The bound is for the unforeseen: what is left waits for the next exchange.
constexpr int kRoundsMax = 1000;

// Passes of rounds: each follows one link of a chain of deleted rows that are kept for one another.
constexpr int kPassesMax = 20;

// An assignment of a value to a column whose policy counts it, or joins it to others, is not
// without effect: such a value cannot be written anew.
bool has_notes(const TableInfo& table, const std::vector<ColumnNumber>& columns) {
  return std::any_of(columns.begin(), columns.end(), [&](ColumnNumber c) {
    const auto& policy = table.columns[c].policy;
    return policy && policy->needs_notes();
  });
}

bool has_value_column(const TableInfo& table, const std::vector<ColumnNumber>& columns) {
  return std::any_of(columns.begin(), columns.end(),
                     [&](ColumnNumber c) { return !table.is_key(c); });
}

}  // namespace

int compare_claims(const Version& a, const Version& b, const SiteTable& sites) {
  if (a.seq != 0 && b.seq != 0) return compare_versions(a, b, sites);
  const auto age = [](const Version& v) { return v.seq == 0 ? 1 : v.hlc == 0 ? 0 : 2; };
  return age(a) - age(b);
}

size_t ApplyRun::Waiting::add(const std::vector<RowRef>& refs) {
  size_t added = 0;
  for (const RowRef& ref : refs)
    added += add({ref.table, ref.key});
  return added;
}

size_t ApplyRun::Waiting::add(const RowName& row) {
  if (!rows.insert(row).second) return 0;
  order.push_back(row);
  return 1;
}

Status ApplyRun::retry(std::span<const RowRef> removed) {
  SYNCLINE_TRY(load());
  removed_.assign(removed.begin(), removed.end());
  SYNCLINE_TRY(settle_foreign_keys());
  std::vector<RowRef> held;
  SYNCLINE_TRY(port_.list_held(&held));
  size_t stored = 0;
  SYNCLINE_TRY(try_held(held, &stored));
  SYNCLINE_TRY(record());
  report_.applied = stored;
  report_.quarantined = held_here_.size();
  report_.complete = true;
  // What stayed for the sake of what waited or was missing may melt now.
  return melt_anew();
}

const TableInfo* ApplyRun::table_by_number(uint32_t number) const {
  for (const TableInfo& table : tables_) {
    if (table.number == number) return &table;
  }
  return nullptr;
}

Status ApplyRun::fetch_one(const TableInfo& table, const std::string& key, RowBatch* batch,
                           Work* work) {
  Arena arena;
  std::vector<Value> values;
  SYNCLINE_TRY(decode_key(key, &arena, &values));
  const RowKey row_key(values);
  SYNCLINE_TRY(port_.fetch(table, std::span<const RowKey>(&row_key, 1), batch));
  if (batch->rows.size() != 1) {
    return Status(StatusCode::internal, "fetch of table " + table.name + " lost a row");
  }
  // The host's row may view the key it was asked for.
  batch->rows[0].key = batch->arena.copy(row_key);
  work->local = &batch->rows[0];
  SYNCLINE_TRY(load_row(*work->local, table, &work->before));
  note_view_before({table.number, key}, work->before);
  work->after = work->before;
  return {};
}

// Takes `work` out of the base table, or keeps it out, with all its versions and values.
Status ApplyRun::hold(const TableInfo& table, Work* work, ConflictKind kind,
                      const std::string& reason) {
  // A deleted row that was kept is no row: it goes, and is not kept again by this run.
  const bool dead = !row_lives(work->after, site_.sites, table.on_delete);
  const auto ref = std::make_pair(table.number, encode_key(work->local->key));
  if (dead) given_up_.insert(ref);
  if (held_before_.erase(ref) > 0) {  // let in by this chunk, to see whether its parents are there
    --report_.applied;
    ++report_.unchanged;
  }
  if (kind == ConflictKind::foreign_key && took_place_.count(ref) > 0) in_vain_.insert(ref);
  work->after.held = !dead;
  work->after.kept = false;
  work->nulls.clear(), work->defaults.clear();
  const RowWrite write = plan_write(table, work);
  std::vector<StoreOutcome> outcomes;
  SYNCLINE_TRY(port_.store(table, std::span<const RowWrite>(&write, 1), &outcomes));
  if (outcomes.size() != 1 || !outcomes[0].stored) {
    return Status(StatusCode::internal, "a row of table " + table.name + " could not be set aside");
  }
  wrote_ = true;
  if (table.referred && write.base == BaseAction::erase) {
    removed_.push_back({table.number, encode_key(write.key), {}});
  }
  if (!dead) refused_.push_back({table.number, encode_key(write.key), reason});
  note_held(table, write.key, !dead, kind, reason, &work->shown);
  return {};
}

void ApplyRun::note_held(const TableInfo& table, RowKey key, bool held, ConflictKind kind,
                         const std::string& reason, const ShownRow* shown) {
  ConflictRecord record;
  record.table = &table;
  record.key = encode_key(key);
  record.pk_json = key_to_json(table, key);
  record.conflict.id = held_conflict_id(table, key);
  record.conflict.kind = kind;
  record.opened = held;
  record.winner_is_local = false;
  record.reason = reason;
  if (!held) record.end.how = "stored";
  if (shown != nullptr) {
    record.conflict.winner_json = row_to_json(table, key, shown->values);
    for (const Version& v : shown->versions) {
      if (record.conflict.winner.seq == 0 ||
          compare_versions(record.conflict.winner, v, site_.sites) < 0) {
        record.conflict.winner = v;
      }
    }
  }
  const auto ref = std::make_pair(table.number, record.key);
  views_.erase(ref);
  if (held) {
    held_here_.insert(ref);
  } else {
    held_here_.erase(ref);
  }
  records_.push_back(std::move(record));
}

void ApplyRun::note_free(const TableInfo& table, RowKey key, const RowState& row) {
  note_held(table, key, false, ConflictKind::constraint, {}, nullptr);
  ConflictEnd end = conflict_end(Conflict(), row, site_.sites);
  if (end.how == "decision") records_.back().end = std::move(end);
}

// The end of a chunk: rows refused on the way may fit now that their neighbours are in (two rows
// that swap a unique value); at the end of an exchange so may all that were held before.
Status ApplyRun::settle() {
  SYNCLINE_TRY(settle_foreign_keys());
  std::vector<RowRef> refs = refused_;
  if (header_ == nullptr || header_->last) {  // or policies have changed
    std::vector<RowRef> held;
    SYNCLINE_TRY(port_.list_held(&held));
    refs.insert(refs.begin(), held.begin(), held.end());
  }
  size_t stored = 0;
  return refs.empty() && views_.empty() ? Status() : try_held(refs, &stored);
}

Status ApplyRun::hold_refs(std::vector<RowRef> refs, ConflictKind kind) {
  std::sort(refs.begin(), refs.end());
  for (size_t i = 0; i < refs.size(); ++i) {
    if (i > 0 && refs[i].table == refs[i - 1].table && refs[i].key == refs[i - 1].key) continue;
    const TableInfo* table = table_by_number(refs[i].table);
    if (table == nullptr) continue;
    RowBatch batch;
    Work work;
    SYNCLINE_TRY(fetch_one(*table, refs[i].key, &batch, &work));
    if (!work.local->stored) continue;
    SYNCLINE_TRY(hold(*table, &work, kind, refs[i].reason));
  }
  return {};
}

// Stores what fits now, in rounds: a row let in lets in its children, and one that is displaced
// frees what else it claimed. `stored` counts the rows that were let in. Rows that are kept or
// reset are looked at until no more of them change: whether one is may follow from another that
// was looked at later.
Status ApplyRun::try_held(const std::vector<RowRef>& refs, size_t* stored) {
  refused_.clear();
  Waiting waiting;
  waiting.add(refs);
  // What could not be kept or take a place for want of a row that came in since is tried anew, but
  // not within one pass: a row whose parent comes and goes would drive out its rival each time. It
  // may even be the rival that its parent depends on.
  bool again = true;
  for (int pass = 0; pass < kPassesMax && again; ++pass) {
    const size_t before = waiting.rows.size();
    const auto views_at_start = views_;
    for (const auto& row : views_)
      waiting.add(row);
    given_up_.clear(), took_place_.clear(), in_vain_.clear();
    put_back_ = false;
    bool progress = true;
    for (int round = 0; round < kRoundsMax && progress; ++round) {
      const size_t stored_before = *stored;
      SYNCLINE_TRY(try_each(&waiting, stored));
      // A chain of rows that refer to each other comes in at once here, link by link there.
      SYNCLINE_TRY(try_together(&waiting, stored));
      progress = *stored > stored_before;
    }
    SYNCLINE_TRY(reconsider_kept_circles());
    SYNCLINE_TRY(reconsider_adjusted());
    waiting.add(std::exchange(refused_, {}));
    again = waiting.rows.size() < before || views_ != views_at_start;
  }
  const bool all_known = header_ == nullptr || header_->last;
  return all_known ? settle_circles(waiting, stored) : Status();
}

Status ApplyRun::try_each(Waiting* waiting, size_t* stored) {
  for (const auto& row : std::exchange(waiting->order, {})) {
    const TableInfo* table = table_by_number(row.first);
    bool in = false;
    if (table != nullptr) SYNCLINE_TRY(try_one(*table, row.second, &in));
    if (in) {
      waiting->rows.erase(row);
      ++*stored;
    } else {
      waiting->order.push_back(row);
    }
    SYNCLINE_TRY(port_.check_interrupt());
  }
  SYNCLINE_TRY(settle_foreign_keys());
  waiting->add(std::exchange(refused_, {}));
  return {};
}

// Rows that refer to each other, in a circle or a long chain, fit together.
Status ApplyRun::try_together(Waiting* waiting, size_t* stored) {
  together_ = true;
  for (const auto& row : std::exchange(waiting->order, {})) {
    const TableInfo* table = table_by_number(row.first);
    bool in = false;
    if (table != nullptr && table->refers && table->referred) {
      SYNCLINE_TRY(try_one(*table, row.second, &in));
    }
    if (in) {
      waiting->rows.erase(row);
      ++*stored;
    } else {
      waiting->order.push_back(row);
    }
  }
  together_ = false;
  SYNCLINE_TRY(settle_foreign_keys());
  *stored -= std::min(*stored, waiting->add(std::exchange(refused_, {})));
  return {};
}

Status ApplyRun::try_one(const TableInfo& table, const std::string& key, bool* stored) {
  *stored = false;
  if (!table.present) return {};
  RowBatch batch;
  Work work;
  SYNCLINE_TRY(fetch_one(table, key, &batch, &work));
  if (work.before.kept || work.before.adjusted) return reconsider(table, &work, stored);
  if (work.local->stored) {  // a local write brought it in, and the fold took over
    note_free(table, work.local->key, work.before);
    *stored = true;
    return {};
  }
  return release(table, &work, stored);
}

// Tries to put a held row into the base table, in the place of rivals that are less than it.
Status ApplyRun::release(const TableInfo& table, Work* work, bool* stored) {
  std::vector<RowRef> losers;
  for (int attempt = 0; attempt < 2; ++attempt) {
    work->after.held = false;
    RowWrite write;
    StoreOutcome outcome;
    SYNCLINE_TRY(store_one(table, work, &write, &outcome));
    if (outcome.stored) {
      note_free(table, write.key, work->after);
      *stored = true;
      if (together_) {
        written_.push_back({table.number, encode_key(write.key), {}});
        return {};
      }
      return write.base == BaseAction::insert
                 ? keep_only_with_parents(table, write.key, losers, stored)
                 : Status();
    }
    bool won = false;
    if (outcome.kind == ConflictKind::unique && together_) {
      // Let in a moment ago, to see whether its parents come; so might this row have been.
      for (const RowRef& other : written_) {
        const auto& rivals = outcome.rivals;
        if (other.table != table.number) continue;
        if (std::find(rivals.begin(), rivals.end(), other.key) == rivals.end()) continue;
        contenders_.insert({table.number, encode_key(write.key)});
      }
    }
    if (outcome.kind == ConflictKind::unique && attempt == 0 && !together_) {
      SYNCLINE_TRY(displace(table, *work, outcome, &losers, &won));
    }
    if (!won) {  // still held; the reason may be another one by now
      note_held(table, write.key, true, outcome.kind, outcome.reason, &work->shown);
      return {};
    }
  }
  return {};
}

// A row that is to be held for want of a parent takes nobody's place.
Status ApplyRun::keep_only_with_parents(const TableInfo& table, RowKey key,
                                        const std::vector<RowRef>& losers, bool* stored) {
  if (!table.refers) return {};
  const RowRef row{table.number, encode_key(key), {}};
  std::vector<RowRef> dangling;
  SYNCLINE_TRY(port_.find_dangling(std::span<const RowRef>(&row, 1), {}, &dangling));
  if (dangling.empty()) return {};
  SYNCLINE_TRY(settle_child(dangling[0]));
  RowBatch batch;
  Work work;
  SYNCLINE_TRY(fetch_one(table, row.key, &batch, &work));
  *stored = work.local->stored;
  if (*stored) return {};
  for (const RowRef& loser : losers) {
    given_up_.erase({loser.table, loser.key});  // a deleted one may be kept again
    bool back = false;
    SYNCLINE_TRY(try_one(table, loser.key, &back));
    if (!back) continue;
    // It never left: to count it as let in would drive it out again in the next round, without end.
    std::erase_if(refused_, [&](const RowRef& ref) {
      return ref.table == loser.table && ref.key == loser.key;
    });
  }
  return {};
}

// Two rows, one unique key: the greater version of the key's cells is stored; of two that were
// there before tracking began, or whose versions have melted, the one with the lesser primary key;
// so it is where a policy keeps notes, since nobody could tell of such a claim when it had melted.
Status ApplyRun::displace(const TableInfo& table, const Work& work, const StoreOutcome& outcome,
                          std::vector<RowRef>* losers, bool* won) {
  const Version mine = claim(table, work, outcome.claimed);
  const std::string own_key = encode_key(work.local->key);
  const auto self = std::make_pair(table.number, own_key);
  if (in_vain_.count(self) > 0) return {};
  bool lost = false;
  std::string melted;  // a rival of which we cannot tell
  for (const std::string& key : outcome.rivals) {
    RowBatch batch;
    Work rival;
    SYNCLINE_TRY(fetch_one(table, key, &batch, &rival));
    show_row(rival.before, table, site_.sites, &rival.shown);
    const Version theirs = claim(table, rival, outcome.claimed);
    bool unsure = theirs.seq == 0 && mine.seq != 0 && mine.hlc != 0;
    if (unsure) SYNCLINE_TRY(may_be_earlier(mine, &unsure));
    if (unsure && rival.shown.alive && has_value_column(table, outcome.claimed)) {
      melted = key;
      continue;
    }
    // A deleted row that is kept makes way for any that lives.
    const int order = compare_claims(theirs, mine, site_.sites);
    if (rival.shown.alive && (order > 0 || (order == 0 && key < own_key))) {
      lost = true;
      continue;
    }
    contenders_.insert(self);
    losers->push_back({table.number, key, outcome.reason});
  }
  const bool renews = !lost && !melted.empty();
  if (lost || renews) losers->clear();
  if (renews) {
    RowBatch batch;
    Work rival;
    SYNCLINE_TRY(fetch_one(table, melted, &batch, &rival));
    show_row(rival.before, table, site_.sites, &rival.shown);
    return renew_claim(table, mine, outcome.claimed, &rival);
  }
  *won = !losers->empty();
  if (*won) took_place_.insert(self);
  return hold_refs(*losers, ConflictKind::unique);
}

// May `claim` be earlier than one that has melted here? Not one that comes of a site known to have
// seen what melted here: it said so before it made the claim. One that was here already has waited,
// or shows again under a new policy: it is later for sure if its clock is.
Status ApplyRun::may_be_earlier(const Version& claim, bool* yes) {
  if (site_.knowledge.knows(claim)) {
    *yes = false;
    for (SiteIndex s = 0; s < site_.melted.size(); ++s) {
      *yes = *yes || (site_.melted.seq(s) > 0 && site_.melted.entry(s).hlc >= claim.hlc);
    }
    return {};
  }
  std::vector<Acknowledgement> heard;
  SYNCLINE_TRY(port_.load_acknowledgements({&claim.site, 1}, &heard));
  *yes = heard.empty() || !site_.melted.covered_by(heard[0].vector);
  return {};
}

// Of a claim that has melted nobody knows any more whether it was later than one of a site that
// joined or came back: the row that everybody has keeps its place, and where all of a sender's
// changes are in, by a write of now.
Status ApplyRun::renew_claim(const TableInfo& table, const Version& other,
                             const std::vector<ColumnNumber>& columns, Work* row) {
  if (header_ == nullptr || !header_->last) return {};
  Version fresh;
  SYNCLINE_TRY(port_.new_dot(table, row->local->key, &fresh));
  fresh.hlc = std::max(fresh.hlc, other.hlc + 1);
  update_.hlc_max = std::max(update_.hlc_max, fresh.hlc);
  for (const ColumnNumber c : columns) {
    if (table.is_key(c)) continue;
    const Value& shown = row->shown.values[c];
    row->after.write_cell(c, fresh, converted_.copy(std::span<const Value>(&shown, 1))[0]);
  }
  row->after.drop_stale_notes();
  row->news = true;
  RowWrite write;
  StoreOutcome unchanged;
  return store_one(table, row, &write, &unchanged);
}

Version ApplyRun::claim(const TableInfo& table, const Work& work,
                        const std::vector<ColumnNumber>& columns) const {
  Version best;  // seq 0: the value is there since before anything that is known
  if (has_notes(table, columns)) return best;
  const auto see = [&](const Version& v) {
    if (v.seq != 0 && (best.seq == 0 || compare_versions(best, v, site_.sites) < 0)) best = v;
  };
  for (const ColumnNumber c : columns) {
    if (table.is_key(c)) {
      const RowState& row = work.after.empty() ? work.before : work.after;
      for (const Version& v : row.rest)
        see(v);
    } else {
      see(work.shown.versions[c]);
    }
  }
  return best;
}

}  // namespace syncline
