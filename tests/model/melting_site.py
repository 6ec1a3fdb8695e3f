"""One site of the model of melting: its state, the chunks it makes and takes, and what it forgets.
melting_join.py has what it makes of a row that comes.

melting_model.py says what is modelled, names the rules, and runs several sites against each other.
"""
from collections import namedtuple

from melting_join import COLS, STAR, Joining, Payload, Row, leq, under, vmax, vmin

LAST = 1 << 30  # after every key

Token = namedtuple("Token", "sender serial number pos start full")
Chunk = namedtuple("Chunk", "sender since start knowledge M full after upto last token follows "
                            "rows registry retired acks ghost gone")


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
        lives = any(not self.dead(key, d) for versions in cells.values() for d in versions)
        return self.image(key, cells, star) if lives else None

    def image(self, key, cells, star):
        """The same of a deleted row too: as the last delete saw it."""
        out = {}
        for col in COLS[1:]:
            live = [d for d in cells.get(col, ()) if not self.dead(key, d)]
            best = max(live or cells.get(col, ()), key=lambda d: self.order(key, d), default=None)
            out[col] = "missing" if best is None else self.value(key, best, col, star)
        return out


class Site(Joining):
    def __init__(self, ident, rules, world):
        self.id, self.rules, self.w = ident, rules, world
        self.seq, self.clock, self.serial = 0, 0, 0
        self.K, self.M = {}, {}
        self.rows, self.values = {}, {}  # rows with state; values of rows without
        self.registry, self.retired, self.acks = {ident}, set(), {}
        self.incoming = {}  # sender -> token of an unfinished exchange
        self.stamp, self.checked = 0, -1  # grows with every change; when it was checked last
        self.ghost, self.gone = {}, {}  # for checks: never melts; what rows without trace stand for
        self.pos, self.sweeps, self.alone = None, {}, False  # of a pass through the rows
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
        return (versions - {STAR}) | (self.star(key)[col][1] if STAR in versions else frozenset())

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

    def write(self, key, kind, cols, values):
        dot = self.new_version(key, kind, values)
        self.put(key, dot, {c: self.ghost_of(key, c) | self.meaning(key, c) for c in cols})

    def new_version(self, key, kind, values, clock=None):
        """A dot of ours; `clock` if it is not now."""
        dot = self.dot()
        self.stamp += 1
        self.clock += 1
        self.w.hlc[dot] = self.clock
        self.w.writes[key, dot] = (kind, self.clock if clock is None else clock, values)
        return dot

    def put(self, key, dot, lost, beside=None):
        """The version comes to stand in the cells of `lost`, which says what it supersedes, beside
        what `beside` names of each."""
        row, ghost = self.wake(key), self.ghost.setdefault(key, Row())
        for c, gone in lost.items():
            self.w.wrote((key, c), dot, gone)
            row.cells[c] = {dot} | (beside[c] if beside else set())
            ghost.cells[c] = (ghost.cells.get(c, set()) - gone) | {dot}

    def ghost_of(self, key, col):
        return self.ghost[key].cells.get(col, set()) if key in self.ghost else set()

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
        if not leq(self.M, self.K):
            return True
        lesser = "order" not in self.rules or self.id > chunk.sender
        return lesser and not leq(chunk.M, self.K)

    def finish(self, chunk):
        self.incoming.pop(chunk.sender, None)
        self.K = vmax(self.K, chunk.start if "begin" in self.rules else chunk.knowledge)
        self.hear(chunk)
        if leq(chunk.M, self.K):
            if "risen" in self.rules and not chunk.full:
                self.name_risen(chunk.M)
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

    # Forgetting.

    def maintain(self, rows_max=LAST):
        """A pass through the rows, or the next part of one; M rises between two."""
        if "retired" in self.rules and self.id in self.retired:
            return
        if "still" in self.rules and not leq(self.M, self.K):
            return
        self.stamp += 1
        if self.pos is None:
            self.pos = -1
            self.rise()
        self.acks[self.id] = dict(self.K)
        if self.base != STAR:
            if not under(self.base, self.sweeps):
                if "base_first" in self.rules:
                    self.pos = None
                    return
            else:
                self.base = STAR
        for key in sorted(k for k in self.rows if k > self.pos):
            if rows_max == 0:
                return
            rows_max -= 1
            self.pos = key
            self.melt(key)
        self.pos = None

    def rise(self):
        """M rises to what all are known to have."""
        rules = self.rules
        group = [s for s in self.registry if s not in self.retired and s != self.id]
        heard = {s: v for s, v in self.acks.items() if s != self.id}
        self.alone = not group and not heard and not self.retired
        waited = group if "no_ack" in rules else [s for s in group if s in heard]
        low = dict(self.K)
        for s in waited:
            low = vmin(low, heard.get(s, {}))
        if "waited" in rules and any(s in self.K and s not in low for s in [*group, self.id]):
            low = {}  # it names all that it waited for: who reads it can tell
        if "covers" not in rules or leq(self.M, low):
            self.M = vmax(self.M, low)
        self.sweeps = dict(self.M)

    def melt(self, key):
        row, w = self.rows[key], self.w
        versions = row.versions()
        if (row.ctx and "no_context" in self.rules) or \
                not all(under(d, self.sweeps) for d in versions):
            return
        dead = [w.dead(key, d) for d in versions]
        if all(dead) and self.alone and "alone" in self.rules:
            return
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
