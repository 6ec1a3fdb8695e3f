"""One site of the model of melting: its state, the chunks it makes and takes, and what it forgets.

melting_model.py says what is modelled, names the rules, and runs several sites against each other.
"""
from collections import namedtuple

STAR = "*"  # the version that stands for what stood in a cell when all under M was forgotten
COLS = ("e", "a", "b")  # existence, and two columns
LAST = 1 << 30  # after every key

Token = namedtuple("Token", "sender serial number pos start full")
Chunk = namedtuple("Chunk", "sender since start knowledge M full after upto last token follows "
                            "rows registry retired acks ghost gone")
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


class World:
    """What exists once: every write ever made, and true causality as bit masks a cell."""

    def __init__(self):
        self.writes, self.bit, self.past, self.dots = {}, {}, {}, {}
        self.lost = {}  # cell -> mask of what went, lawfully, with a site
        self.hlc = {}  # dot -> its clock

    def wrote(self, cell, dot, replaced):
        dots = self.dots.setdefault(cell, [])
        self.bit[cell, dot] = 1 << len(dots)
        dots.append(dot)
        self.past[cell, dot] = self.covered(cell, replaced)

    def covered(self, cell, held):
        mask = 0
        for dot in held:
            mask |= self.past[cell, dot] | self.bit[cell, dot]
        return mask

    def lose(self, cell, dots):
        self.lost[cell] = self.lost.get(cell, 0) | self.covered(cell, dots)

    def latest(self, vector):
        """The greatest clock of what is under a vector: its entries carry that of their dot."""
        return max((self.hlc[dot] for dot in vector.items() if dot in self.hlc), default=0)

    def all(self, cell):
        return (1 << len(self.dots[cell])) - 1

    def dead(self, key, dot):
        return dot != STAR and self.writes[key, dot][0] == "delete"

    def order(self, key, dot):
        return (-1, (-1, -1)) if dot == STAR else (self.writes[key, dot][1], dot)

    def value(self, key, dot, col, star):
        return star[col][0] if dot == STAR else self.writes[key, dot][2].get(col)

    def shows(self, key, cells, star):
        """The visible row: alive if any version is, each column as its last live writer has it."""
        if not any(not self.dead(key, d) for versions in cells.values() for d in versions):
            return None
        out = {}
        for col in COLS[1:]:
            live = [d for d in cells.get(col, ()) if not self.dead(key, d)]
            best = max(live or cells.get(col, ()), key=lambda d: self.order(key, d), default=None)
            out[col] = "missing" if best is None else self.value(key, best, col, star)
        return out


class Row:
    """State of a row. `star`: column -> (value, the dots it stood for: known to checks only)."""
    __slots__ = ("cells", "ctx", "star")

    def __init__(self):
        self.cells, self.ctx, self.star = {}, {}, {}

    def versions(self):
        return [d for versions in self.cells.values() for d in versions]


class Site:
    def __init__(self, ident, rules, world):
        self.id, self.rules, self.w = ident, rules, world
        self.seq, self.clock, self.serial = 0, 0, 0
        self.K, self.M = {}, {}
        self.rows, self.values = {}, {}  # rows with state; values of rows without
        self.registry, self.retired, self.acks = {ident}, set(), {}
        self.incoming = {}  # sender -> token of an unfinished exchange
        self.stamp, self.checked = 0, -1  # grows with every change; when it was checked last
        self.ghost, self.gone = {}, {}  # for checks: never melts; what rows without trace stand for
        self.base = self.dot()

    def dot(self):
        self.seq += 1
        self.K[self.id] = self.seq
        return (self.id, self.seq)

    # What stands here.

    def cells(self, key):
        if key in self.rows:
            return self.rows[key].cells
        return {c: {self.base} for c in COLS} if key in self.values else {}

    def star(self, key):
        return self.rows[key].star if key in self.rows else self.values.get(key, {})

    def see(self, key):
        return self.w.shows(key, self.cells(key), self.star(key))

    def meaning(self, key, col):
        """The versions of a cell, STAR read as what it stood for."""
        versions = self.cells(key).get(col, set())
        out = versions - {STAR}
        if STAR in versions:
            out |= self.star(key)[col][1]
        return out

    def here(self, key):
        return vmax(self.K, self.rows[key].ctx) if key in self.rows else self.K

    # Local writes.

    def wake(self, key):
        """The row's state, made if there is none."""
        if key not in self.rows:
            row = Row()
            if key in self.values:
                row.cells = self.cells(key)
                row.star = self.values.pop(key) if self.base == STAR else {}
                self.values.pop(key, None)
            self.rows[key] = row
        return self.rows[key]

    def enable(self, rows):
        """The table had rows before it was tracked: they have no state, only the baseline."""
        for key, values in rows.items():
            self.w.writes[key, self.base] = ("insert", 0, values)
            self.ghost[key] = ghost = Row()
            for c in COLS:
                self.w.wrote((key, c), self.base, ())
                ghost.cells[c] = {self.base}
            self.values[key] = {c: (values.get(c), frozenset([self.base])) for c in COLS}

    def write(self, key, kind, cols, values, replaces=None):
        """`replaces(col)`: the versions that the ghost loses; by default all it has."""
        dot = self.dot()
        self.stamp += 1
        self.clock += 1
        self.w.writes[key, dot], self.w.hlc[dot] = (kind, self.clock, values), self.clock
        meant = {c: self.meaning(key, c) for c in cols}
        row, ghost = self.wake(key), self.ghost.setdefault(key, Row())
        for c in cols:
            had = ghost.cells.get(c, set())
            lost = had | meant[c] if replaces is None else replaces(c)
            self.w.wrote((key, c), dot, lost)
            row.cells[c] = {dot}
            ghost.cells[c] = (had - lost) | {dot}

    def renew(self, ident):
        """Goes on under a new id."""
        self.retired.add(self.id)
        self.id, self.seq = ident, 0
        self.registry.add(ident)

    # Sending.

    def produce(self, since, token, limit, whole=False):
        """The next chunk for a holder of `since`, or None if this site must not send."""
        if "silent" in self.rules and not leq(self.M, self.K):
            return None
        full = whole or ("full" in self.rules and not leq(self.M, since))
        if token and (token.sender != self.id or not leq(token.start, self.K) or
                      (full and not token.full and "anew" in self.rules)):
            token = None
        if token is None:
            self.serial += 1
            token, follows = Token(self.id, self.serial, 0, -1, dict(self.K), full), None
        else:
            follows = token
            full = token.full or full
        keys = sorted(k for k in {*self.rows, *self.values} if k > token.pos)
        rows, pos, last = {}, token.pos, True
        for key in keys:
            payload = self.payload(key, since, full)
            if payload is None:
                continue
            if len(rows) == limit:
                last = False
                break
            rows[key], pos = payload, key
        upto = LAST if last else pos
        to = Token(self.id, token.serial, token.number + 1, upto, token.start, full)
        inside = [k for k in {*self.ghost, *self.gone} if token.pos < k <= upto]
        ghost = {k: ({c: frozenset(v) for c, v in self.ghost[k].cells.items()},
                     dict(self.ghost[k].ctx)) for k in inside if k in self.ghost and
                 (full or any(not under(d, since) for d in self.ghost[k].versions()))}
        gone = {k: {c: set(v) for c, v in self.gone[k].items()} for k in inside if k in self.gone}
        acks = {s: dict(v) for s, v in self.acks.items()}
        return Chunk(self.id, dict(since), token.start, dict(self.K), dict(self.M), full, token.pos,
                     upto, last, to, follows, rows, set(self.registry), set(self.retired), acks,
                     ghost, gone)

    def payload(self, key, since, full):
        cells, star = self.cells(key), self.star(key)
        fresh = {c for c, v in cells.items() if any(not under(d, since) for d in v)}
        if not full and not fresh:
            return None
        versions = [d for v in cells.values() for d in v]
        mixed = any(self.w.dead(key, d) for d in versions)
        whole = full or ("whole_dead" in self.rules and mixed) or fresh == set(cells)
        sent = {c: frozenset(v) for c, v in cells.items() if whole or c in fresh}
        if "star_travels" not in self.rules and not full:
            sent = {c: v - {STAR} for c, v in sent.items()}
        ctx = dict(self.rows[key].ctx) if key in self.rows else {}
        return Payload(sent, ctx, {c: star[c] for c, v in sent.items() if STAR in v}, whole)

    # Receiving.

    def refuses(self, chunk):
        if "retired" in self.rules and (chunk.sender in self.retired or self.id in chunk.retired):
            return True
        if not leq(chunk.since, self.K):
            return True
        return chunk.follows is not None and self.incoming.get(chunk.sender) != chunk.follows

    def apply(self, chunk):
        """Merges one chunk; False if it was refused and nothing changed."""
        if self.refuses(chunk):
            return False
        if not leq(self.M, chunk.knowledge):
            ctxs = [p.ctx for p in chunk.rows.values()]
            if "stale" in self.rules and leq(vmax(chunk.knowledge, *ctxs), self.K):
                return True
            if "refuse" in self.rules and not chunk.full:
                return False
            if chunk.full and not self.may_join_apart(chunk):
                return False
        self.stamp += 1
        if chunk.last or "registry_first" in self.rules:
            self.registry |= chunk.registry
            self.retired |= chunk.retired
        raised = self.M
        if chunk.full and ("raise_first" in self.rules or chunk.last):
            raised = vmax(self.M, chunk.M)
        if chunk.full and "one_full" in self.rules:
            self.incoming = {s: t for s, t in self.incoming.items()
                             if s == chunk.sender or not t.full}
        keys = set(chunk.rows)
        if chunk.full and "range" in self.rules:
            keys |= {k for k in {*self.rows, *self.values} if chunk.after < k <= chunk.upto}
        ghosts = set(chunk.ghost)
        for key in sorted(keys):
            self.take_row(key, chunk)
            ghosts.discard(key)
        for key in ghosts:
            self.join_ghost(key, chunk)
        self.M = raised
        for key, cells in chunk.gone.items():
            mine = self.gone.setdefault(key, {})
            for c, dots in cells.items():
                mine[c] = mine.get(c, set()) | dots
        if chunk.last:
            self.finish(chunk)
        else:
            self.incoming[chunk.sender] = chunk.token
            if "ack_last" not in self.rules:
                self.hear(chunk)
        for rows in (self.rows, self.ghost):
            for row in rows.values():
                row.ctx = {s: q for s, q in row.ctx.items() if q > self.K.get(s, 0)}
        return True

    def may_join_apart(self, chunk):
        """The sender of a full chunk does not cover our M. Is it another network, or are we to
        begin anew, since what we began elsewhere will not end? Else it must ask us first."""
        if "apart_only" not in self.rules or chunk.follows is not None:
            return True
        return not leq(self.M, self.K) or not leq(chunk.M, self.K)

    def finish(self, chunk):
        self.incoming.pop(chunk.sender, None)
        self.K = vmax(self.K, chunk.start if "begin" in self.rules else chunk.knowledge)
        self.hear(chunk)
        if leq(chunk.M, self.K):
            self.M = vmax(self.M, chunk.M)
        if chunk.full and "cut" in self.rules:
            self.M = vmin(self.M, vmax(self.K, chunk.knowledge))

    def hear(self, chunk):
        acks = dict(chunk.acks)
        acks[chunk.sender] = chunk.start if "ack_begin" in self.rules else chunk.knowledge
        for site, vector in acks.items():
            if "ack_covered" in self.rules and not leq(vector, self.K):
                continue
            self.acks[site] = vmax(self.acks.get(site, {}), vector)

    def join_ghost(self, key, chunk):
        if key not in chunk.ghost:
            return
        cells, ctx = chunk.ghost[key]
        ghost = self.ghost.setdefault(key, Row())
        here, there = vmax(self.K, ghost.ctx), vmax(chunk.knowledge, ctx)
        for c, theirs in cells.items():
            ours = ghost.cells.get(c, set())
            ghost.cells[c] = {d for d in ours if d in theirs or not under(d, there)} | \
                             {d for d in theirs if d in ours or not under(d, here)}
        ghost.ctx = vmax(ghost.ctx, there)

    def take_row(self, key, chunk):
        sent = chunk.rows.get(key) or Payload({c: frozenset() for c in COLS}, {}, {}, True)
        absent = key not in chunk.rows
        there, here = vmax(chunk.knowledge, sent.ctx), self.here(key)
        before, known = self.see(key), key in self.rows or key in self.values
        news = any(not under(d, here) for v in sent.cells.values() for d in v)
        if not known and not absent and not news and leq(chunk.M, here):
            self.join_ghost(key, chunk)
            return
        m = vmin(self.M, here) if "m_known" in self.rules else self.M
        stars = any(STAR in v for v in self.cells(key).values())
        apart = chunk.full and stars and not leq(m, chunk.knowledge) and "apart" in self.rules
        shown = self.w.shows(key, sent.cells, sent.star)
        if apart and before is not None and not ("apart_equal" in self.rules and before == shown):
            self.write(key, "insert", COLS, dict(before), lambda c: self.meaning(key, c))
            apart = False
        faced = set()  # cells where versions of ours stand beside a STAR of theirs
        for c, theirs in sent.cells.items():
            if self.join_cell(key, c, theirs, sent, chunk, here, there, m, known, apart):
                faced.add(c)
        self.join_ghost(key, chunk)
        row = self.rows.get(key)
        if row is None:
            return
        row.ctx = vmax(row.ctx, there)
        if not row.versions():
            del self.rows[key]
        elif absent and not row.cells.get("e") and "rewrite" in self.rules:
            self.write(key, "insert", COLS, dict(before))
        elif faced and before is None:
            images = [self.w.writes[key, d][2] for d in row.versions() if self.w.dead(key, d)]
            if shown in images and "redelete" in self.rules:
                self.write(key, "delete", COLS, dict(shown))
        elif faced and "face" in self.rules:
            self.write_beside(key, [c for c in COLS if c in faced], before, sent)

    def write_beside(self, key, cols, values, sent):
        """What is shown here, in place of our versions of these cells; theirs stay beside it."""
        row = self.rows[key]
        theirs = {c: row.cells[c] & sent.cells[c] for c in cols}
        ours = {c: row.cells[c] - theirs[c] for c in cols}
        self.write(key, "update", cols, {c: values.get(c) for c in cols}, lambda c: ours[c])
        for c in cols:
            row.cells[c] |= theirs[c]

    def join_cell(self, key, c, theirs, sent, chunk, here, there, m, known, apart):
        """The join of one cell; True if a STAR of theirs came to stand beside versions of ours."""
        row, rules = self.wake(key), self.rules
        ours = row.cells.get(c, set())
        knows_theirs, known_there = leq(chunk.M, here), leq(m, there)
        out = {d for d in ours if d != STAR and (d in theirs or not under(d, there) or (
            "stands" in rules and STAR in theirs and STAR not in ours and knows_theirs and
            under(d, chunk.M)))}
        out |= {d for d in theirs if d != STAR and (d in ours or not under(d, here))}
        named = {d for d in theirs if d != STAR and under(d, m) and d not in ours}
        if not known and "take_dead" in rules:  # our row went: what is named under M stood here
            out |= named
        if STAR in ours:
            if apart:
                keep = STAR in theirs or named
            elif knows_theirs:
                keep = STAR in theirs or not known_there or named
            else:
                keep = STAR not in theirs and (not known_there or named)
            if keep and named and STAR not in theirs and "named" in rules:
                out |= named
            elif keep and (STAR in theirs or not known_there or "named" in rules):
                out.add(STAR)
            if apart and STAR in theirs:
                row.star[c] = (sent.star[c][0], row.star[c][1] | sent.star[c][1])
            elif apart:
                self.w.lose((key, c), row.star[c][1])
        beside = bool(out - theirs)
        new = STAR in theirs and STAR not in out and \
            (not knows_theirs or "star_unknown" not in rules)
        if new:
            out.add(STAR)
            row.star[c] = sent.star[c]
        row.cells[c] = out
        return new and beside

    # Forgetting.

    def maintain(self):
        if "retired" in self.rules and self.id in self.retired:
            return
        self.stamp += 1
        self.acks[self.id] = dict(self.K)
        group = [s for s in self.registry if s not in self.retired and s != self.id]
        if "no_ack" not in self.rules:
            group = [s for s in group if s in self.acks]
        low = dict(self.K)
        for s in group:
            low = vmin(low, self.acks.get(s, {}))
        self.M = vmax(self.M, low)
        if "still" in self.rules and not leq(self.M, self.K):
            return
        if self.base != STAR:
            if not under(self.base, self.M):
                if "base_first" in self.rules:
                    return
            else:
                self.base = STAR
        for key in list(self.rows):
            self.melt(key)

    def melt(self, key):
        row, w = self.rows[key], self.w
        versions = row.versions()
        if (row.ctx and "no_context" in self.rules) or \
                not all(under(d, self.M) for d in versions):
            return
        dead = [w.dead(key, d) for d in versions]
        plain = all(dead) or (not any(dead) and all(len(v) == 1 for v in row.cells.values()))
        if not plain and "plain" in self.rules:
            return
        now = self.see(key)
        stood = {c: frozenset(self.meaning(key, c)) for c in COLS}
        del self.rows[key]
        if now is None:
            gone = self.gone.setdefault(key, {})
            for c in COLS:
                gone[c] = gone.get(c, set()) | stood[c]
        else:
            self.values[key] = {c: (now.get(c), stood[c]) for c in COLS}
