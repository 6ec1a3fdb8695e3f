// Applying where metadata has melted: versions that get a name of ours, since their own says
// nothing, or may be taken for seen where they are not. docs/merge_rules.md, "Melting", has the
// rules.
#include <algorithm>
#include <map>

#include "apply_run.h"
#include "syncline/membership.h"

namespace syncline {

// May something have melted here that the sender has not seen?
bool ApplyRun::is_stranger(const RowState& row) const {
  const Known there{&header_->knowledge, nullptr, &header_->melted};
  const Known here{&site_.knowledge, context(row.context), &site_.melted};
  return !there.covers_of(here);
}

// Melted versions in the cells that `where` names become `named`.
void ApplyRun::give_name(const Version& named, const std::function<bool(ColumnNumber)>& where,
                         RowState* row) const {
  for (Version& v : row->rest) {
    if (v.melted() && where(kRowNote)) v = named;
  }
  for (CellVersion& c : row->cells) {
    if (c.version.melted() && where(c.column)) c.version = named;
  }
  sort_versions(row);
}

// Two groups of sites that did not know of each other have both melted: what stands here without a
// dot is not what the sender stands for. It gets a dot of ours, unless both show the same: then
// *same is true, and what stands here gives way.
Status ApplyRun::name_melted(const TableInfo& table, const RowChange* theirs, Work* work,
                             bool* same) {
  *same = false;
  RowState& row = work->before;
  const auto melted = [](const Version& v) { return v.melted(); };
  if (!is_stranger(row) || !any_version(row, melted)) return {};
  if (theirs != nullptr) {
    ShownRow ours_shown, theirs_shown;
    show_row(row, table, site_.sites, &ours_shown);
    show_row(theirs->state, table, site_.sites, &theirs_shown);
    *same = theirs_shown.alive && same_values(table, ours_shown.values, theirs_shown.values);
    if (*same) return {};
  }
  Version named;
  SYNCLINE_TRY(fresh_version(table, work->local->key, &named));
  give_name(named, [](ColumnNumber) { return true; }, &row);
  work->news = true;
  return {};
}

// A delete that the sender may forget without a trace came to stand beside versions that it does
// not know. It gets a name of ours: whoever hears only of what the sender forgot takes the old one
// for seen, and would miss it there.
Status ApplyRun::name_delete(const TableInfo& table, const RowState& theirs, Work* work) {
  const RowState& row = work->after;
  const auto unseen = [&](const Version& v) {
    return !v.dead && !theirs.holds(kRowNote, v.site, v.seq);
  };
  const auto fading = [&](const Version& v) {
    return v.dead && header_->melted.knows(v) && theirs.holds(kRowNote, v.site, v.seq);
  };
  if (!any_version(row, fading) || !any_version(row, unseen)) return {};
  return name_deletes(table, fading, work);
}

// A row comes back of which nothing is left here. If only a part of it does, since the rest of what
// the sender shows was deleted and forgotten here, then the delete was not known there. If a delete
// comes that was forgotten here, beside versions that live, it gets a name of ours: who asked us in
// between takes the old one for seen, and has not heard of it.
Status ApplyRun::take_returned(const TableInfo& table, const RowChange& theirs, Work* work) {
  const RowState& row = work->after;
  if (theirs.whole && row.rest.empty() && !row.empty()) {
    SYNCLINE_TRY(entomb(table, theirs.state, work));
  }
  const auto returned = [&](const Version& v) {
    return v.dead && site_.knowledge.knows(v) && theirs.state.holds(kRowNote, v.site, v.seq);
  };
  const auto lives = [](const Version& v) { return !v.dead; };
  if (!any_version(row, returned) || !any_version(row, lives)) return {};
  return name_deletes(table, returned, work);
}

// Gives deletes dots of ours; they keep their time.
Status ApplyRun::name_deletes(const TableInfo& table,
                              const std::function<bool(const Version&)>& which, Work* work) {
  RowState& row = work->after;
  std::map<std::pair<SiteIndex, uint64_t>, Version> names;
  const auto rename = [&](Version* v) -> Status {
    if (!which(*v)) return {};
    const auto [name, made] = names.try_emplace({v->site, v->seq});
    if (made) SYNCLINE_TRY(new_tombstone(table, work->local->key, v->hlc, &name->second));
    *v = name->second;
    return {};
  };
  for (Version& v : row.rest)
    SYNCLINE_TRY(rename(&v));
  for (CellVersion& c : row.cells)
    SYNCLINE_TRY(rename(&c.version));
  sort_versions(&row);
  row.drop_stale_notes();
  work->news = true;
  return {};
}

// A change comes to stand beside a delete that others may have dropped under our melt vector, and
// its site is none that this waited for: they may get it from that site alone, and have taken the
// delete for seen.
Status ApplyRun::name_met_delete(const TableInfo& table, const RowState& theirs, Work* work) {
  const VersionVector& under = site_.melted;
  const auto fading = [&](const Version& v) { return v.dead && under.knows(v); };
  const auto came = [&](const Version& v) {
    const auto same = [&](const Version& x) { return x.same_dot(v); };
    const bool late = header_->full || (!under.knows(v) && !waited_for(under, v.site));
    return !v.dead && late && any_version(theirs, same) && !any_version(work->before, same);
  };
  if (!any_version(work->after, fading) || !any_version(work->after, came)) return {};
  return name_deletes(table, fading, work);
}

// Did a melt vector rise to this only when the site was known to know as much?
bool ApplyRun::waited_for(const VersionVector& under, SiteIndex site) const {
  return under.seq(site) > 0 &&
         find_retirement(site_.settings, site_.sites.id(site)) == nullptr;
}

// The same where the melt vector of the sender, which becomes ours with the last chunk, comes to
// cover the delete. If it names sites that ours does not, it may have been put together from those
// of two groups: then it says of nobody that he was waited for.
Status ApplyRun::name_melting_deletes(const ChunkHeader& header) {
  if (header.full || !header.last || !update_.melted_changed) return {};
  const VersionVector &under = header.melted, &before = site_.melted;
  bool any = false, joined = false;
  for (SiteIndex s = 0; s < knowledge_after_.size(); ++s) {
    any = any || (knowledge_after_.seq(s) > under.seq(s) && !waited_for(under, s));
    joined = joined || (!before.empty() && under.seq(s) > 0 && before.seq(s) == 0);
  }
  if (!any && !joined) return {};
  const auto unseen = [&](const Version& v) {
    return !v.dead && (joined || (!under.knows(v) && !waited_for(under, v.site)));
  };
  const auto fading = [&](const Version& v) {
    return v.dead && under.knows(v) && !before.knows(v);
  };
  for (const TableInfo& table : tables_) {
    SYNCLINE_TRY(rewrite_contested(table, [&](Work* work, bool* touched) -> Status {
      *touched = any_version(work->before, fading) && any_version(work->before, unseen);
      return *touched ? name_deletes(table, fading, work) : Status();
    }));
  }
  return {};
}

}  // namespace syncline
