#!/usr/bin/env python3
"""Breaks each rule of the merge once in a copy of the core, to see that a test notices.

The rules are those of the exchange and of rows (docs/merge_rules.md), then a few of our own. A
mutation is a piece of source and what replaces it; the copy is built, and the unit tests and the
simulator run until one fails. A mutation that no test notices is a gap in the tests: exit 1.

  scripts/mutate.py                all of them: about half an hour on two cores
  scripts/mutate.py begin relog    those whose name contains one of the words
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ["merge_test", "fold_test", "row_state_test", "conflicts_test", "apply_test",
         "apply_fill_test",
         "exporter_test", "policy_test", "session_test", "horizon_test", "placement_test",
         "circle_test", "simulation_test"]
SEEDS = os.environ.get("SYNCLINE_SEEDS", "300")

# (rule, file in core/src, source, replacement)
MUTATIONS = [
    # --- of the exchange: when knowledge grows, and what it means
    ("claim_at_end: knowledge grows with the last chunk only", "apply.cpp",
     "if (header.last) knowledge_after_.merge(header.start);",
     "knowledge_after_.merge(header.start);"),
    ("claim_start: to what the sender knew when the exchange began", "apply.cpp",
     "if (header.last) knowledge_after_.merge(header.start);",
     "if (header.last) knowledge_after_.merge(header.knowledge);"),
    ("context: a row of an unfinished exchange keeps what its sender knew", "apply_rows.cpp",
     "} else if (!known.covered_by(knowledge_after_)) {",
     "} else if (false) {"),
    ("context_stays: until knowledge covers it", "apply_rows.cpp",
     "work->after.context = context_for(work->before.context, row.context);",
     "work->after.context = context_for(work->before.context, row.context);\n"
     "  if (!has_news(work->after, site_.knowledge)) work->after.context = 0;"),
    ("context_stays: contexts go when knowledge covers them", "apply.cpp",
     "if (vector.covered_by(knowledge_after_)) update_.contexts_gone.push_back(id);",
     "if (!vector.empty()) update_.contexts_gone.push_back(id);"),
    ("relay_context: a relay sends the context along", "exporter.cpp",
     "out.context = &context->second;", "out.context = nullptr;"),
    ("whole_cell: a cell travels with all its versions", "exporter.cpp",
     "if (fresh) cells[kept++] = cells[i];",
     "if (fresh && !since_.knows(cells[i].version)) cells[kept++] = cells[i];"),
    ("row_together: all changed cells of a row travel in one chunk", "exporter.cpp",
     "if (fresh) cells[kept++] = cells[i];",
     "if (fresh && (kept == 0 || cells[0].column == cells[i].column)) cells[kept++] = cells[i];"),
    ("own_knowledge: what is known and gone does not come back", "merge.cpp",
     "if (!ours.has(v) && !here_.has(v))", "if (!ours.has(v))"),
    ("their_knowledge: what the sender knows and lacks, it superseded", "merge.cpp",
     "if (theirs.has(v) || !there_.has(v))", "if (theirs.has(v) || true)"),
    ("gap: a chunk that does not follow is refused", "apply.cpp",
     "if (*stale || follows) return {};", "if (*stale || !header.exchange.empty()) return {};"),
    ("chain: the predecessor is told by the exact token", "apply.cpp",
     "hash128(incoming_.token) == header.predecessor", "done.number == header.number"),
    ("since_every: every chunk is held against our knowledge", "apply.cpp",
     "if (!header.since.covered_by(site_.knowledge)) {",
     "if (header.number == 0 && !header.since.covered_by(site_.knowledge)) {"),
    ("since: the first chunk is held against our knowledge", "apply.cpp",
     "if (!header.since.covered_by(site_.knowledge)) {",
     "if (header.number > 0 && !header.since.covered_by(site_.knowledge)) {"),
    ("incarnation: a token of another incarnation is void", "exporter.cpp",
     "from_.sender == site_.sites.id(site_.self) && from_.order == order &&",
     "from_.order == order &&"),
    ("epoch: a token from another order of tables is void", "exporter.cpp",
     "from_.order == order &&", ""),
    ("vector_per_chunk: a row refers to the knowledge of its own chunk", "apply.cpp",
     "SYNCLINE_TRY(record());\n  if (header.last)",
     "for (const auto& [id, vector] : site_.contexts) {\n"
     "    VersionVector newest = vector;\n    newest.merge(header.knowledge);\n"
     "    update_.contexts_new.emplace_back(id, newest);\n  }\n"
     "  SYNCLINE_TRY(record());\n  if (header.last)"),
    ("begin: knowledge is indexed where its exchange began", "apply.cpp",
     "update_.begin = incoming_.open && header.number > 0 ? incoming_.begin : site_.position;",
     "update_.begin = site_.position;"),
    ("relog: a row with news is noted anew even if held already", "apply_rows.cpp",
     "write.relay = work->news || !same_versions(work->before, work->after);",
     "write.relay = !same_versions(work->before, work->after);"),
    # --- of rows: insert, delete, image
    ("delete_all: a delete writes every cell", "fold.cpp",
     "      row_.write_all(v, values);",
     "      const auto cells = row_.cells;\n      row_.write_all(v, values);\n"
     "      if (dead) row_.cells = cells;"),
    ("insert_all: an insert writes every cell", "fold.cpp",
     "      row_.write_all(v, values);",
     "      const auto cells = row_.cells;\n      row_.write_all(v, values);\n"
     "      if (!dead) row_.cells = cells;"),
    ("unknown_columns: both write the cells of columns not known here", "fold.cpp",
     "      row_.write_all(v, values);",
     "      const auto cells = row_.cells;\n      row_.write_all(v, values);\n"
     "      for (const CellVersion& c : cells) {\n"
     "        if (!table_.columns[c.column].present) row_.cells.push_back(c);\n      }"),
    ("image_parked: the image holds parked columns", "fold.cpp",
     "values[c] = keeps_parked ? parked_[c] : Value();", "values[c] = Value();"),
    ("image_merged: a cell of tombstones shows the image", "row_state.cpp",
     "out->values[c] = cell.value(best);",
     "if (!cell.version(best).dead) out->values[c] = cell.value(best);"),
    ("update_wins: a live version beats a tombstone", "row_state.cpp",
     "a.dead != b.dead ? a.dead :", "a.dead != b.dead ? b.dead :"),
    ("delete_wins: a tombstone beats a live version", "row_state.cpp",
     "if (on_delete == OnDelete::delete_wins) return false;", ""),
    # --- our own
    ("hlc: a write never sorts before what it replaces", "fold.cpp",
     "return std::max(hlc, replaced.hlc + (replaced.site == self ? 0 : 1));",
     "return replaced.site == self ? hlc : hlc;"),
    ("order: versions are ordered by id, not by local number", "types.cpp",
     "if (order != 0) return order < 0 ? -1 : 1;",
     "if (order != 0) return a.site < b.site ? -1 : 1;"),
    ("beside: an insert over a held row supersedes nothing held", "fold.cpp",
     "if (!row_.held || event.decides) {\n      row_.write_all",
     "if (!row_.held || !values.empty()) {\n      row_.write_all"),
    ("parked: values without a place in the base table are kept", "row_state.cpp",
     "!table_.columns[column].present) return value;", "column > 1000000) return value;"),
    ("default: a column without a value goes back to its default", "apply_rows.cpp",
     "value.is(ValueKind::absent) ? defaulted || newly_shown(table, *work, c)",
     "value.is(ValueKind::absent) ? defaulted"),
    ("foreign keys: no dangling row is stored", "apply_foreign.cpp",
     "SYNCLINE_TRY(port_.find_dangling(written, removed, &dangling));",
     "if (written.size() > 99) SYNCLINE_TRY(port_.find_dangling(written, removed, &dangling));"),
    ("foreign keys: a row without its parent takes nobody's place", "apply_held.cpp",
     "if (!table.refers) return {};", "if (!losers.empty() || !table.refers) return {};"),
    ("circle: rows that refer to each other fit together", "apply_held.cpp",
     "table->refers && table->referred", "table->refers && table->number == 0"),
    ("waiting: rows that wait for each other are looked at together", "apply_held.cpp",
     "return all_known ? settle_circles", "return all_known && stored == nullptr ? settle_circles"),
    ("waiting: which comes in follows from its name, not from its place", "placement.cpp",
     "return rows[a].name < rows[b].name;", "return a < b;"),
    ("unique: the greater claim is stored", "apply_held.cpp",
     "(order > 0 ||", "(order < 0 ||"),
    ("held: rows are tried again when an exchange ends", "apply_held.cpp",
     "if (header_ == nullptr || header_->last) {",
     "if (header_ == nullptr || header_->number > 1000) {"),
    ("conflicts: a later write that saw both closes it", "apply_rows.cpp",
     "if (missing(after, c)) note(c, false);", ""),
    # --- of policies, foreign keys and settings
    ("foreign keys: a parent stays for a row that would not let it go", "apply_foreign.cpp",
     "fate->parents.push_back({parent->number, encoded, {}});", "fate->hold = true;"),
    ("foreign keys: SET NULL clears what is shown", "apply_rows.cpp",
     "work->shown.values[c] = Value::null();", ";"),
    ("foreign keys: what was reset is looked at again when its parent is back", "apply_held.cpp",
     "SYNCLINE_TRY(reconsider_adjusted());", ""),
    ("foreign keys: what was kept or reset is looked at again", "apply_held.cpp",
     "if (work.before.kept || work.before.adjusted) return reconsider(table, &work, stored);", ""),
    ("notes: a version keeps its note through the join", "merge.cpp",
     "join_notes(ours, theirs.state, out);", ";"),
    ("notes: the fold makes them", "fold.cpp",
     "make_note(*table_.columns[column].policy, in, &note);", ""),
    ("settings: the later one wins", "settings.cpp",
     "if (!later_setting(setting, at->second)) return false;", ""),
    ("settings: rows are shown anew under a new policy", "apply.cpp",
     "SYNCLINE_TRY(recompute_rows());", ""),
    ("settings: a conflict that the new policy has not is closed", "apply_rows.cpp",
     "table_before_ != nullptr ? *table_before_ : table;", "table;"),
    ("identity: a chunk that knows changes we never made is refused", "apply.cpp",
     "SYNCLINE_TRY(port_.recognises(own, &yes));\n  if (yes) return {};",
     "SYNCLINE_TRY(port_.recognises(own, &yes));\n  return {};"),
    ("identity: a vector that knows changes we never made is refused", "exporter.cpp",
     "SYNCLINE_TRY(port_.recognises(own, &yes));\n    if (yes) return {};",
     "SYNCLINE_TRY(port_.recognises(own, &yes));\n    return {};"),
    ("drift: a version from the future is refused", "apply.cpp",
     "if (ms <= site_.now_ms + options_.drift_ms_max) return {};",
     "if (ms <= site_.now_ms * 2 + options_.drift_ms_max) return {};"),
    ("fill_known: of a filled row only what its own sender knew is known", "apply_rows.cpp",
     "open_context(table.baseline_context));",
     "open_context(work->after.context) || work->after.context == 0);"),
    ("liar: a version that its sender does not claim to know is refused", "apply_rows.cpp",
     "if (!there.has(v)) {", "if (!there.has(v) && v.seq == 0) {"),
    # --- of melting
    ("melt_horizon: nothing melts above what every member has", "horizon.cpp",
     "out.vector = any ? least(out.vector, heard->vector) : VersionVector();", ""),
    ("melt_unheard: a member of whom nothing was heard holds the horizon", "horizon.cpp",
     "out.vector = any ? least(out.vector, heard->vector) : VersionVector();",
     "if (any) out.vector = least(out.vector, heard->vector);"),
    ("melt_covered: an acknowledgement counts once all of it is known here", "horizon.cpp",
     "if (nobody || !vector.covered_by(bound)) return;", "if (nobody) return;"),
    ("melt_plain: so does one with several versions of a cell", "horizon.cpp",
     "if (row.cells[i].column == row.cells[i - 1].column) return false;", ""),
    ("melt_contended: and all beside a row that is held", "horizon.cpp",
     "for (const RowRef& row : held) contended_.insert(row.table);", "(void)held;"),
    ("melt_notes: and those whose later writes name it in a note", "horizon.cpp",
     "if (table.columns[c].policy && table.columns[c].policy->needs_notes()) return false;", ""),
    ("melt_full: who does not know what is melted gets every row", "exporter.cpp",
     "const bool full = !site_.melted.covered_by(since_);", "const bool full = false;"),
    ("melt_ranges: what a full exchange does not name is gone", "apply_full.cpp",
     "if (there > range.after && !beyond) missing.push_back(row.key);", ""),
    ("melt_behind: a delta of someone behind is refused", "apply_full.cpp",
     "if (site_.melted.covered_by(header.knowledge)) return {};", "return {};"),
    ("melt_whole: nothing leaves before a full exchange is whole", "exporter.cpp",
     "if (site_.melted.covered_by(site_.knowledge)) return {};", "return {};"),
    ("melt_retired: a retired site is refused", "apply_full.cpp",
     "if (find_retirement(all, header.sender) != nullptr) {", "if (false) {"),
    ("melt_entomb: an unsent update of a row that is gone keeps the row whole", "apply_full.cpp",
     "SYNCLINE_TRY(entomb(table, work->before, work));", ""),
    ("melt_face: versions beside what melted are written anew", "apply_full.cpp",
     "if (columns.empty()) return {};\n  ShownRow was;", "return {};\n  ShownRow was;"),
    ("melt_redelete: an unsent delete is done anew", "apply_full.cpp",
     "if (!shown.alive) return {};\n  const bool seen", "return {};\n  const bool seen"),
    ("melt_beside: so it is beside a row that has changed", "apply_full.cpp",
     "if (!seen) return write_beside(table, theirs, was, all, work);", "if (!seen) return {};"),
    ("melt_apart: what two groups melted apart gets a name", "apply_names.cpp",
     "if (!is_stranger(row) || !any_version(row, melted)) return {};", "return {};"),
    ("melt_fading: a delete that its sender may forget gets a name beside unseen rows",
     "apply_names.cpp",
     "if (!any_version(row, fading) || !any_version(row, unseen)) return {};", "return {};"),
    ("melt_filling: a live row stays while its table's baseline is known further", "horizon.cpp",
     "|| (filling && lives(row))", ""),
    ("melt_half: no half of a row comes back", "apply_names.cpp",
     "if (theirs.whole && row.rest.empty() && !row.empty()) {", "if (false) {"),
    ("melt_returned: a delete that comes back gets a name", "apply_names.cpp",
     "if (!any_version(row, returned) || !any_version(row, lives)) return {};", "return {};"),
    ("melt_risen: so does one that others may have dropped without waiting for who wrote beside it",
     "apply_names.cpp", "if (!any && !joined) return {};",
     "return {};"),
    ("melt_met: and one beside which comes what such a site wrote", "apply_names.cpp",
     "if (!any_version(work->after, fading) || !any_version(work->after, came)) return {};",
     "return {};"),
    ("melt_joined: also where the vectors of two groups have come together", "apply_names.cpp",
     "(!before.empty() && under.seq(s) > 0 && before.seq(s) == 0)", "false"),
    ("melt_name_beside: what stands beside a version that is written anew gets a name",
     "apply_full.cpp",
     "give_name(named, [&](ColumnNumber c) { return stranger || anew(c); }, &row);", ""),
    ("melt_referred: a row that late rows refer to leaves a tombstone when it is swept",
     "apply_full.cpp",
     "return table.referred ? remember_referred(table, touched_works) : Status();", "return {};"),
    ("melt_late: a forgotten delete is told anew where a late row refers to it",
     "apply_foreign.cpp", "if (forgetful.empty()) return {};", "return {};"),
    ("melt_place: of two claims the one that all have stays, by a write of now",
     "apply_held.cpp", "return renew_claim(table, mine, outcome.claimed, &rival);", "return {};"),
    ("melt_member: a member's claim is the later", "apply_held.cpp",
     "*yes = heard.empty() || !site_.melted.covered_by(heard[0].vector);", "*yes = true;"),
    ("melt_again: one that a policy shows again may be the earlier", "apply_held.cpp",
     "site_.melted.entry(s).hlc >= claim.hlc", "false"),
    ("melt_parked: tombstones stay while rows wait for their table", "horizon.cpp",
     "if ((parked_ || alone_) && !lives(row)) continue;",
     "if (alone_ && !lives(row)) continue;"),
    ("melt_alone: tombstones stay until another site has been heard of", "horizon.cpp",
     "if ((parked_ || alone_) && !lives(row)) continue;",
     "if (parked_ && !lives(row)) continue;"),
    ("melt_stands: a version may be what stands there without a name", "merge.cpp",
     "(melted_there && we_know_ && !ours.has_melted() && there_.melted->knows(v))", "false"),
    ("melt_name: what stood there gets its name back", "merge.cpp",
     "named = true;", "out->pop_back();"),
    ("melt_way: what has no name gives way to an equal row that has one", "merge.cpp",
     "gives_way || (stood", "(stood"),
    ("melt_trace: a row without a trace is not taken back from who may not know its delete",
     "merge.cpp", "v.dead || they_know_;", "true;"),
    ("melt_noted: an entry for what is in row state already folds to nothing", "fold.cpp",
     "if (std::none_of(events_.begin(), events_.end(), noted)) return;", "return;"),
]


def run(command, cwd, **more):
    return subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False, **more)


class Copy:
    """A copy of the tree with its own build."""

    def __init__(self, folder):
        self.tree = Path(folder) / "tree"
        self.build = Path(folder) / "build"
        for name in ("bench", "core", "cmake", "fuzz", "tests", "peers", "sqlite_ext"):
            shutil.copytree(ROOT / name, self.tree / name)
        for name in ("CMakeLists.txt", "VERSION"):
            shutil.copy(ROOT / name, self.tree / name)
        done = run(["cmake", "-S", str(self.tree), "-B", str(self.build), "-DSYNCLINE_TESTS=ON",
                    "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1 -w"], ROOT)
        if done.returncode != 0:
            sys.exit("mutate: cmake failed:\n" + done.stdout)
        listed = run(["cmake", "--build", str(self.build), "--target", "help"], ROOT).stdout
        self.tests = [test for test in TESTS if test in listed.split()]

    def make(self):
        done = run(["cmake", "--build", str(self.build), "-j2", "--target", *self.tests], ROOT)
        return done.returncode == 0, done.stdout

    def first_failure(self):
        """The name of the first test that fails, and its first line that says why; or None."""
        environment = dict(os.environ, SYNCLINE_SEEDS=SEEDS, SYNCLINE_STOP="1")
        for test in self.tests:
            try:
                done = run([str(self.build / "tests" / test)], ROOT, env=environment, timeout=600)
            except subprocess.TimeoutExpired:
                return test, "it never ends"
            if done.returncode != 0:
                lines = [line.strip() for line in done.stdout.splitlines()]
                why = [line for line in lines if "fails: " in line or "not " in line]
                names = [line for line in lines if ": " in line and "FAILED" not in line]
                return test, (why or names or [f"exit {done.returncode}"])[0][:100]
        return None


def main():
    words = sys.argv[1:]
    chosen = [m for m in MUTATIONS if not words or any(word in m[0] for word in words)]
    missed = 0
    with tempfile.TemporaryDirectory(prefix="syncline-mutate-") as folder:
        copy = Copy(folder)
        made, log = copy.make()
        failure = copy.first_failure() if made else ("the build", log[-2000:])
        if failure is not None:
            sys.exit(f"mutate: the unbroken tree fails: {failure[0]}: {failure[1]}")
        for rule, name, source, replacement in chosen:
            path = copy.tree / "core" / "src" / name
            before = path.read_text(encoding="utf-8")
            if before.count(source) != 1:
                print(f"STALE   {rule}: {name} has its source {before.count(source)} times")
                missed += 1
                continue
            began = time.time()
            path.write_text(before.replace(source, replacement), encoding="utf-8")
            made, log = copy.make()
            failure = copy.first_failure() if made else None
            path.write_text(before, encoding="utf-8")
            if not made:
                print(f"BROKEN  {rule}: does not compile: {log[-600:]}")
                missed += 1
            elif failure is None:
                print(f"MISSED  {rule} ({time.time() - began:.0f} s)")
                missed += 1
            else:
                print(f"caught  {rule}: {failure[0]}: {failure[1]}")
            sys.stdout.flush()
    print(f"{len(chosen) - missed} caught, {missed} not")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
