"""What a site of the model of melting makes of a row that comes, or does not come, in a chunk: the
join of its cells, and what is written anew or named anew beside what others have forgotten.
"""
from collections import namedtuple

STAR = "*"  # the version that stands for what stood in a cell when all under M was forgotten
COLS = ("e", "a", "b")  # existence, and two columns

Payload = namedtuple("Payload", "cells ctx star whole")


def vmax(*vectors):
    out = {}
    for vector in vectors:
        for site, seq in vector.items():
            if seq > out.get(site, 0):
                out[site] = seq
    return out


def vmin(a, b):
    return {s: min(q, b[s]) for s, q in a.items() if s in b}


def leq(a, b):
    return all(q <= b.get(s, 0) for s, q in a.items())


def under(dot, vector):
    return dot == STAR or dot[1] <= vector.get(dot[0], 0)


class Row:
    """State of a row. `star`: column -> (value, the dots it stood for: known to checks only)."""
    __slots__ = ("cells", "ctx", "star")

    def __init__(self):
        self.cells, self.ctx, self.star = {}, {}, {}

    def versions(self):
        return [d for versions in self.cells.values() for d in versions]


class Joining:
    """The part of a site that joins rows."""

    def take_row(self, key, chunk):
        """A row of a chunk; of a full one also a row of ours that it does not have."""
        rules = self.rules
        absent = key not in chunk.rows
        sent = chunk.rows.get(key) or Payload({c: frozenset() for c in COLS}, {}, {}, True)
        there, here = vmax(chunk.knowledge, sent.ctx), self.here(key)
        known = key in self.rows or key in self.values
        news = any(not under(d, here) for v in sent.cells.values() for d in v)
        if not known and not news and not chunk.full and leq(self.M, self.K) and "late" in rules:
            self.join_ghost(key, chunk)
            return
        was = self.see(key)
        image = self.w.image(key, self.cells(key), self.star(key))
        m = vmin(self.M, here) if "m_known" in rules else self.M
        stranger, same = chunk.full and not leq(m, chunk.knowledge), False
        if stranger and "apart" in rules and any(STAR in v for v in self.cells(key).values()):
            same = "apart_equal" in rules and was == self.w.shows(key, sent.cells, sent.star)
            if not same:
                self.give_name(key, self.fresh(key, chunk, "insert", {}), COLS)
        before = {c: set(v) for c, v in self.cells(key).items()}
        gave_way = {c: self.join_cell(key, c, theirs, sent, chunk, here, there,
                                      None if same else m, known)
                    for c, theirs in sent.cells.items()}
        self.join_ghost(key, chunk)
        for c, gone in gave_way.items():
            self.w.lose((key, c), gone)
            if gone:
                self.ghost[key].cells[c] -= gone
        row = self.rows.get(key)
        if row is None:
            return
        row.ctx = vmax(row.ctx, there)
        if not row.versions():
            del self.rows[key]
        elif absent:
            lives = any(not self.w.dead(key, d) for d in row.versions())
            if lives and row.cells != before and "entomb" in rules:
                self.entomb(key, image)
        elif not known:
            if "half" in rules and not all(row.cells.get(c) for c in COLS):
                self.entomb(key, self.w.image(key, sent.cells, sent.star))
        elif chunk.full:
            if "name_delete" in rules:
                self.name_delete(key, chunk, sent)
            self.face(key, chunk, sent, image, was is not None, before, stranger)
        if "back" in rules and key in self.rows and not absent:
            self.name_returned(key, here, sent, before)
        if "met" in rules and known and not absent and key in self.rows:
            self.name_met(key, chunk, sent, before)

    def name_returned(self, key, here, sent, before):
        """Who asked us while we had forgotten the delete takes its old name for seen."""
        row, dead = self.rows[key], self.w.dead
        had = {d for v in before.values() for d in v}
        theirs = {d for v in sent.cells.values() for d in v}
        if any(not dead(key, d) for d in row.versions()):
            self.name_deletes(key, {d for d in row.versions() if dead(key, d) and d in theirs and
                                    d not in had and under(d, here)})

    def join_cell(self, key, c, theirs, sent, chunk, here, there, m, known):
        """The join of one cell. `m`: what STAR may stand for here; None: what theirs does, which
        it gives way to. Returns what gave way."""
        row, rules = self.wake(key), self.rules
        ours, gone = row.cells.get(c, set()), frozenset()
        knows_theirs, known_there = leq(chunk.M, here), m is None or leq(m, there)
        replaced = STAR in theirs and (not knows_theirs or "star_unknown" not in rules)
        out = {d for d in ours if d != STAR and (d in theirs or not under(d, there) or (
            "stands" in rules and STAR in theirs and STAR not in ours and knows_theirs and
            under(d, chunk.M)))}
        out |= {d for d in theirs if d != STAR and (d in ours or not under(d, here))}
        named = {d for d in theirs if d != STAR and m is not None and under(d, m) and
                 d not in ours}
        if not known and "take_dead" in rules:  # our row went: what is named under M stood here
            out |= {d for d in named if known_there or self.w.dead(key, d) or
                    "take_live" not in rules}
        if known and "back_beside" in rules and STAR not in ours and ours <= theirs:
            out |= {d for d in named if self.w.dead(key, d)}  # nothing here has superseded it
        if STAR in ours and m is None:
            out |= theirs - {STAR}
            if STAR in theirs and knows_theirs:
                out.add(STAR)
                row.star[c] = (sent.star[c][0], row.star[c][1] | sent.star[c][1])
            else:
                gone = row.star[c][1] - out
                if STAR in theirs:
                    gone -= sent.star[c][1]
        elif STAR in ours and replaced:
            if "star_named" in rules:
                out |= named
        elif STAR in ours:
            if named and STAR not in theirs and "named" in rules:
                out |= named
            elif STAR in theirs or not known_there:
                out.add(STAR)
        if replaced and STAR not in out:
            out.add(STAR)
            row.star[c] = sent.star[c]
        row.cells[c] = out
        return gone

    # What gets a version of ours.

    @staticmethod
    def read(row, c, versions):
        """The versions, STAR read as what it stood for."""
        return (versions - {STAR}) | (row.star[c][1] if STAR in versions else frozenset())

    def fresh(self, key, chunk, kind, values):
        """A version of now, later than all that the sender may have forgotten."""
        if "floor" in self.rules:
            self.clock = max(self.clock, self.w.latest(chunk.M))
        return self.new_version(key, kind, values)

    def give_name(self, key, dot, cols):
        """STAR becomes `dot` in these cells."""
        row, ghost = self.wake(key), self.ghost.setdefault(key, Row())
        for c in cols:
            if STAR not in row.cells.get(c, ()):
                continue
            value, stood = row.star[c]
            self.w.writes[key, dot][2][c] = value
            self.w.wrote((key, c), dot, stood)
            row.cells[c] = (row.cells[c] - {STAR}) | {dot}
            ghost.cells[c] = (ghost.cells.get(c, set()) - stood) | {dot}

    def entomb(self, key, image):
        """The row was deleted there so long ago that no tombstone is left, and changed here."""
        row = self.rows[key]
        dot = self.new_version(key, "delete", image, clock=0)
        self.put(key, dot, {c: {d for d in self.ghost_of(key, c) - row.cells[c]
                                if self.w.dead(key, d)} for c in COLS}, dict(row.cells))

    def name_delete(self, key, chunk, sent):
        """A tombstone that the sender may drop gets a name beside what they do not know."""
        row, w = self.rows[key], self.w
        theirs = {d for v in sent.cells.values() for d in v}
        all_here = set(row.versions())
        fading = {d for d in all_here & theirs if w.dead(key, d) and under(d, chunk.M)}
        if not any(not w.dead(key, d) for d in all_here - theirs):
            return
        self.name_deletes(key, fading)

    def waited_for(self, m, site):
        return site in m and site not in self.retired

    def name_met(self, key, chunk, sent, before):
        """A version comes beside a tombstone under our M, which did not wait for its site."""
        row, dead = self.rows[key], self.w.dead
        had = {d for v in before.values() for d in v}
        came = {d for v in sent.cells.values() for d in v if not dead(key, d)} - had
        if any(d in came and (chunk.full or (not under(d, self.M) and
                                             not self.waited_for(self.M, d[0])))
               for d in row.versions()):
            self.name_deletes(key, {d for d in row.versions() if dead(key, d) and
                                    under(d, self.M)})

    def name_risen(self, m):
        """M comes to cover a tombstone, and did not wait for the site of what is beside it."""
        dead = self.w.dead
        joined = bool(self.M) and not set(m) <= set(self.M)  # maybe from those of two groups
        for key in sorted(self.rows):
            versions = set(self.rows[key].versions())
            unseen = [d for d in versions if not dead(key, d) and
                      (joined or (not under(d, m) and not self.waited_for(m, d[0])))]
            if unseen:
                self.name_deletes(key, {d for d in versions if dead(key, d) and under(d, m) and
                                        not under(d, self.M)})

    def name_deletes(self, key, deletes):
        row, w = self.rows[key], self.w
        for d in sorted(deletes):
            _, clock, values = w.writes[key, d]
            cells = [c for c in COLS if d in row.cells[c]]
            beside = {c: row.cells[c] - {d} for c in cells}
            dot = self.new_version(key, "delete", values, clock)
            self.put(key, dot, {c: {d} for c in cells}, beside)

    def face(self, key, chunk, sent, image, lived, before, stranger):
        """Where what has melted there stands beside what they do not know, ours is written anew."""
        row, rules = self.rows[key], self.rules
        if not before or not any(STAR in v for v in sent.cells.values()):
            return
        later = "face_later" in rules and not leq(chunk.M, self.M)
        faced = [c for c in COLS if STAR in row.cells[c] and (later or STAR not in before[c]) and
                 row.cells[c] - sent.cells[c]]
        if not faced:
            return
        shown = self.w.shows(key, sent.cells, sent.star)
        if lived:
            if "face" in rules:
                self.write_beside(key, chunk, sent, faced, "update", image, stranger)
        elif shown == image and "redelete" in rules:
            dot = self.fresh(key, chunk, "delete", image)
            self.put(key, dot, {c: self.ghost_of(key, c) | self.meaning(key, c) for c in COLS})
        elif shown not in (None, image) and "redelete_beside" in rules:
            self.write_beside(key, chunk, sent, COLS, "delete", image, stranger)

    def write_beside(self, key, chunk, sent, cols, kind, values, stranger):
        """What is shown here takes the place of our versions of these cells; theirs stay beside
        it, and what has melted of theirs gets a name."""
        row = self.rows[key]
        if "face_name" in self.rules:
            name = self.fresh(key, chunk, "insert", {})
        dot = self.fresh(key, chunk, kind, {c: values.get(c) for c in COLS})
        beside = {c: row.cells[c] & sent.cells[c] for c in cols}
        ours = {c: self.read(row, c, row.cells[c] - sent.cells[c]) for c in cols}
        self.put(key, dot, ours, beside)
        if "face_name" in self.rules:
            self.give_name(key, name, COLS if stranger and "stranger_all" in self.rules else cols)
