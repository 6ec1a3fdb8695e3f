"""Executable model of melting: dropping the state of rows that every site has seen.

Sites write, exchange in pieces that are broken off, come late, twice or never, and forget what all
have. Each keeps a ghost beside its state, which never melts and is moved by the plain join on the
same chunks; nothing that decides reads it. After every step:

  safety       every write that nothing later supersedes stands somewhere, by name or as what melted
  claims       no site knows of a version without holding it, or one that follows it
  older, lost  no cell lacks a version that the ghost's has; no row that lives there is missing here
  half         a row that is there has all its cells
  dead         a row whose delete is known lives again only beside the delete, in conflict with it
  exact        until a site that was active has a full exchange, all cells equal the ghost's

and after a calm phase all sites show the same rows, and only rows with several versions have state.

Regimes: calm; clone (new sites, with rows of their own); retire (ids that are given up and come
back as others); restore (old backups under a new id); two (networks that never met); mutual (two
sites that retire each other); strangers (sites of which none has heard of another); all.

--break NAME leaves one rule out and looks for a run that shows what it is for; --with NAME adds one
that is no rule yet. A run in which nobody can say anything any more counts as stuck, not as wrong.
"""
import argparse
import copy
import itertools
import random
import sys
from collections import Counter

from melting_join import COLS, STAR, leq, under
from melting_site import LAST, Site, World

KEYS = 3
RULES = {
    "full": "whoever does not cover our M gets a full exchange",
    "anew": "if M outgrows the receiver's vector meanwhile, a new exchange begins, a full one",
    "silent": "a site that does not cover its own M sends nothing",
    "refuse": "no delta is taken from a sender that does not cover our M",
    "stale": "a chunk that brings nothing new changes nothing",
    "whole": "whose M is not covered by its own knowledge may ask for a full exchange",
    "cut": "when a full exchange ends, M is cut to what the sender or we know",
    "one_full": "a full chunk ends full exchanges with others",
    "apart_only": "a full chunk of a sender that lags behind our M is refused",
    "range": "a row within the range of a full chunk and not in it is gone at the sender",
    "entomb": "where something unsent is left of a row that is gone there, a tombstone of ours "
              "stands beside it",
    "late": "of a row that left no trace, what is known and comes late makes no row anew",
    "apart": "what strangers have forgotten gets a name where it differs",
    "apart_equal": "and only where it differs",
    "raise_first": "M grows with the first chunk of a full exchange",
    "m_known": "STAR stands for what is under M and known of its row",
    "whole_dead": "a row with tombstones beside live versions travels whole",
    "take_dead": "a version under M that is named for a row without trace is what stood there",
    "take_live": "a live one only from a sender who knows all of our M",
    "star_named": "where their STAR takes the place of ours, so does what they name under our M",
    "star_travels": "STAR travels beside other versions",
    "stands": "a version that their STAR stands for survives",
    "named": "our STAR survives if they name a version under our M",
    "face": "what we show beside a STAR of theirs is written anew, later than all it stands for",
    "face_later": "so is what stands beside a STAR of ours, if their M is not under ours",
    "face_name": "the STAR that it stands beside gets a name",
    "stranger_all": "of a stranger, in all cells of the row",
    "floor": "what is written anew is later than all under their M",
    "redelete": "an unsent delete of a row that still looks as it did is written anew",
    "redelete_beside": "of a row that does not, beside it",
    "name_delete": "a tombstone under their M gets a name beside live versions they do not know",
    "half": "where a part of a row comes back whose forgotten delete the sender had not heard of, "
            "a tombstone of ours stands beside it",
    "back": "a delete that comes back where its row had left no trace, beside versions that live, "
            "gets a name of ours",
    "met": "so does one under our M beside which a live version comes of a site that this M did "
           "not wait for",
    "risen": "and one that comes under our M with another's, beside such a version",
    "star_unknown": "their STAR is added only if it stands for what is not known here",
    "retired": "nothing is exchanged with a retired id",
    "registry_first": "the registry is taken over before the rows",
    "begin": "knowledge grows to what the sender knew when the exchange began",
    "ack_last": "acknowledgements are heard with the last chunk",
    "ack_begin": "the sender's own is what it knew when the exchange began",
    "ack_covered": "others' acknowledgements count only when all of it is known here",
    "no_ack": "a site without acknowledgement holds M",
    "waited": "M names every site of which a change is known",
    "covers": "M rises only to what covers it",
    "alone": "no tombstone melts at a site that has never heard of another",
    "still": "nothing melts at a site that does not cover its own M",
    "base_first": "no row melts before its table's baseline",
    "no_context": "a row with a context does not melt",
    "plain": "a row with several versions in a cell does not melt",
}
# Not rules yet: each ends a run that goes wrong with those above.
PROPOSED = {
    "back_beside": "so does one under M that stands there beside all that stands here",
    "order": "of two strangers it is the one with the greater id who goes over to the other first",
}
REGIMES = ("calm", "clone", "retire", "restore", "two", "mutual", "strangers", "all")
LAWLESS = ("two", "mutual", "strangers")  # a delete may be undone: nobody can tell it
# Each has begun to go over to another, and none says anything before it is through.
STUCK = "stuck"


class Run:
    def __init__(self, seed, rules, regime=None, steps=120):
        self.rnd = random.Random(seed)
        self.w, self.rules, self.ids = World(), rules, itertools.count(1)
        self.regime = regime or REGIMES[seed % len(REGIMES)]
        self.sites, self.bag, self.saved, self.left = [], [], {}, steps
        self.exact = self.regime in ("calm", "clone")
        self.busy = self.rnd.choice([.06, .12, .24])  # how much is written
        self.young = set()  # sites that have joined nobody yet

    def site(self, rows=True):
        s = Site(next(self.ids), self.rules, self.w)
        if rows and self.rnd.random() < .5:
            keys = self.rnd.sample(range(KEYS), self.rnd.randint(0, KEYS))
            s.enable({k: {c: self.rnd.randrange(3) for c in COLS[1:]} for k in keys})
        self.sites.append(s)
        return s

    def begin(self):
        first = self.site()
        if self.regime == "two":
            other = self.site()
            for net in (first, other):
                for _ in range(self.rnd.randint(2, 12)):
                    self.write(net)
                    if self.rnd.random() < .4:
                        net.maintain()
            return
        for _ in range(self.rnd.choice([1, 2, 2, 3])):
            self.site()
        if self.regime == "strangers":
            return
        for s in self.sites:
            s.registry = {x.id for x in self.sites}

    # Events.

    def write(self, s):
        key, rnd = self.rnd.randrange(KEYS), self.rnd
        now, pick = s.see(key), lambda: rnd.randrange(3)
        if now is None:
            s.write(key, "insert", COLS, {c: pick() for c in COLS[1:]})
        elif rnd.random() < .6:
            cols = rnd.sample(COLS[1:], rnd.choice([1, 1, 2]))
            s.write(key, "update", cols, {c: pick() for c in cols})
        else:
            s.write(key, "delete", COLS, dict(now))

    def maintain(self, s):
        if s not in self.young:
            s.maintain(self.rnd.choice([0, 1, LAST, LAST, LAST]))

    def told(self, a, b):
        """True if one of the two is retired as the other knows; it takes a new id."""
        if "retired" not in self.rules:
            return False
        out = False
        for x, y in ((a, b), (b, a)):
            if x.id in y.retired or x.id in x.retired:
                x.renew(next(self.ids))
                out = True
        return out

    def exchange(self, a, b, limit, pieces, calm=False):
        """b asks a for what it lacks."""
        rnd, whole = self.rnd, False
        for _ in range(pieces):
            if self.told(a, b):
                return
            chunk = a.produce(b.K, b.incoming.get(a.id), limit, whole)
            if chunk is None:
                return
            if not calm and rnd.random() < .3:
                self.bag.append(chunk)
            if not calm and rnd.random() < .1:
                return
            if chunk.full and not chunk.follows and (b not in self.young or b.incoming):
                self.exact = False  # it had been active: what it wrote may face a STAR
            self.raise_clock(b, chunk)
            if not b.apply(chunk):
                b.incoming.pop(a.id, None)
                if whole or leq(b.M, b.K) or "whole" not in self.rules:
                    return
                whole = True
                continue
            if chunk.last:
                self.young.discard(b)
                if rnd.random() < .5:
                    old = a.acks.get(b.id, {})
                    a.acks[b.id] = {s: max(old.get(s, 0), chunk.start.get(s, 0))
                                    for s in {*old, *chunk.start}}
                return
            if not calm and rnd.random() < .3:
                self.write(rnd.choice(self.sites))
            if not calm and rnd.random() < .2:
                self.maintain(rnd.choice(self.sites))

    def raise_clock(self, b, chunk):
        for key, sent in chunk.rows.items():
            for versions in sent.cells.values():
                for d in versions:
                    if d != STAR:
                        b.clock = max(b.clock, self.w.writes[key, d][1])

    def lose(self):
        """A site went: what nobody else holds is lost, lawfully."""
        for cell in self.w.dots:
            mask = self.held(cell)
            self.w.lost[cell] = self.w.lost.get(cell, 0) | (self.w.all(cell) & ~mask)

    def held(self, cell):
        key, col = cell
        mask = 0
        for s in self.sites:
            mask |= self.w.covered(cell, self.stands(s, key, col))
        return mask

    @staticmethod
    def stands(s, key, col):
        return s.meaning(key, col) | s.gone.get(key, {}).get(col, set())

    def copy(self, s):
        return copy.deepcopy(s, {id(self.w): self.w, id(self.rules): self.rules})

    def happen(self, what):
        rnd = self.rnd
        if what == "clone" and len(self.sites) < 5:
            s = self.site()
            self.young.add(s)
            for _ in range(rnd.choice([0, 1, 2, 4])):
                self.write(s)
        elif what == "retire" and len(self.sites) > 1:
            a, b = rnd.sample(self.sites, 2)
            if a.id not in a.retired:
                a.retired.add(b.id)
                if rnd.random() < .1 and len(self.sites) > 2:
                    self.sites.remove(b)
                    self.lose()
        elif what == "mutual":
            a, b = rnd.sample(self.sites, 2)
            a.retired.add(b.id)
            b.retired.add(a.id)
        elif what == "restore":
            s = rnd.choice(self.sites)
            if s.id in self.saved:
                old = self.copy(self.saved[s.id])
                self.sites[self.sites.index(s)] = old
                old.renew(next(self.ids))
                if rnd.random() < .5:
                    old.retired.discard(s.id)  # nobody has been told
                self.lose()

    def step(self):
        rnd, chance = self.rnd, self.rnd.random()
        often = {"calm": {}, "two": {}, "strangers": {},
                 "mutual": {"mutual": .02}, "clone": {"clone": .05},
                 "retire": {"retire": .03}, "restore": {"restore": .03},
                 "all": {"clone": .03, "retire": .02, "restore": .02}}[self.regime]
        for what, p in often.items():
            if rnd.random() < p:
                self.happen(what)
                return
        if chance < .1 and self.bag:
            b, chunk = rnd.choice(self.sites), rnd.choice(self.bag[-12:])
            if chunk.full:
                self.exact = False
            self.raise_clock(b, chunk)
            b.apply(chunk)
        elif chance < .13:
            s = rnd.choice(self.sites)
            self.saved[s.id] = self.copy(s)
        elif chance < .13 + self.busy:
            self.write(rnd.choice(self.sites))
        elif chance < .28 + self.busy:
            self.maintain(rnd.choice(self.sites))
        elif len(self.sites) > 1:
            a, b = rnd.sample(self.sites, 2)
            self.exchange(a, b, rnd.choice([1, 1, 2, 10]), rnd.choice([1, 2, 99, 99]))

    # Checks.

    def check(self):
        w = self.w
        for cell in w.dots:
            if w.all(cell) & ~self.held(cell) & ~w.lost.get(cell, 0):
                return "safety"
        for s in self.sites:
            if s.stamp != s.checked:
                bad = self.check_site(s)
                if bad:
                    return bad
                s.checked = s.stamp
        return None

    def check_site(self, s):
        w = self.w
        for key in range(KEYS):
            ghost = s.ghost.get(key)
            cells = s.cells(key)
            extra = False
            if s.base == STAR and key in s.values and key in s.rows:
                return "twice"
            for c in COLS:
                if (key, c) not in w.dots:
                    continue
                mine = s.meaning(key, c)
                stands = self.stands(s, key, c)
                mask = w.covered((key, c), stands)
                here = s.here(key)
                for d in w.dots[key, c]:
                    if under(d, here) and not w.bit[(key, c), d] & mask and \
                            not w.bit[(key, c), d] & w.lost.get((key, c), 0):
                        return "claims"
                want = ghost.cells.get(c, set()) if ghost else set()
                if w.covered((key, c), want) & ~mask & ~w.lost.get((key, c), 0):
                    return "older than the ghost"
                if cells and not cells.get(c):
                    return "half a row"
                if not mine <= want:
                    extra = True
                    if self.exact:
                        return "false concurrency"
                if self.exact and want - stands:
                    return "cell differs"
            real = s.see(key)
            shown = w.shows(key, ghost.cells, {}) if ghost else None
            if self.regime not in LAWLESS and real is not None and shown is None:
                images = [w.writes[key, d][2] for d in cells.get("e", ()) if w.dead(key, d)]
                if not images or real in images:
                    return "back from the dead"
            if real is None and shown is not None:
                return "row lost"
            if self.exact and not extra and real != shown and \
                    not any(STAR in v and len(v) > 1 for v in cells.values()):
                return "view differs"
        return None

    def settle(self):
        """Everyone exchanges and melts until nothing is left to do."""
        for _ in range(5):
            for _ in range(2):
                for a, b in itertools.permutations(self.sites, 2):
                    self.exchange(a, b, 3, 100, calm=True)
            alive = {s.id for s in self.sites}
            first = self.sites[0]
            first.retired |= {s for s in first.registry if s not in alive}
            for s in self.sites:
                s.maintain()
                bad = self.check()
                if bad:
                    return bad
        return None

    def leftovers(self):
        w, first = self.w, self.sites[0]
        if all(not leq(s.M, s.K) for s in self.sites):
            return STUCK
        for key in range(KEYS):
            if any(s.see(key) != self.sites[0].see(key) for s in self.sites):
                return "convergence"
            if any(self.conflicts(s, key) != self.conflicts(first, key) for s in self.sites):
                return "conflicts differ"
        for s in self.sites:
            if not leq(s.M, s.K):
                return "unfinished"
            if s.base != STAR:
                return "baseline left"
            for key, row in s.rows.items():
                dead = [w.dead(key, d) for d in row.versions()]
                many = any(len(v) > 1 for v in row.cells.values())
                if set(row.ctx) & first.retired:
                    continue  # an exchange with an id that was given up never ended
                if row.ctx or all(dead) or not (any(dead) or many):
                    return "state left"
        return None

    def conflicts(self, s, key):
        """How many versions of each cell live, and whether one is a delete, if one lives."""
        dead = self.w.dead
        return {c: (sum(not dead(key, d) for d in v), any(dead(key, d) for d in v))
                for c, v in s.cells(key).items() if len(v) > 1 and s.see(key) is not None}

    def result(self):
        self.begin()
        for step in range(self.left):
            self.step()
            bad = self.check() if step % 2 == 0 else None
            if bad:
                return bad
        return self.settle() or self.leftovers() or "holds"


# Rules and a seed that goes wrong without them.
SEEN = {"full": 1, "named": 1, "stands": 1, "begin": 0, "apart": 12, "range": 21,
        "base_first": 111, "entomb": 122, "refuse": 135, "whole_dead": 202}


def outcome(seed, rules, regime=None, steps=120):
    """What became of one run; a broken rule may leave a state that the model has no words for."""
    if rules >= frozenset(RULES):
        return Run(seed, rules, regime, steps).result()
    try:
        return Run(seed, rules, regime, steps).result()
    except (KeyError, TypeError, AttributeError) as error:
        return f"error {type(error).__name__}"


def caught(name, seeds, regime=None, steps=120):
    """The first seed that shows what the rule is for, and how; None if none does."""
    rules = frozenset(set(RULES) - {name})
    for seed in seeds:
        what = outcome(seed, rules, regime, steps)
        if what not in ("holds", STUCK):
            return seed, what
    return None


def main():
    args = argparse.ArgumentParser(description=__doc__,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--seeds", type=int, default=300)
    args.add_argument("--first", type=int, default=0)
    args.add_argument("--with", dest="more", choices=PROPOSED, action="append", default=[])
    args.add_argument("--steps", type=int, default=120)
    args.add_argument("--regime", choices=REGIMES)
    args.add_argument("--break", dest="broken", choices=[*RULES, "all"])
    opt = args.parse_args()
    rules = frozenset([*RULES, *opt.more])
    seeds = range(opt.first, opt.first + opt.seeds)
    if opt.broken:
        for name in RULES if opt.broken == "all" else [opt.broken]:
            found = caught(name, seeds, opt.regime, opt.steps)
            print(f"without {name} ({RULES[name]}): " +
                  (f"seed {found[0]}: {found[1]}" if found else "not caught"), flush=True)
        return
    results, example = Counter(), {}
    for seed in seeds:
        what = outcome(seed, rules, opt.regime, opt.steps)
        results[what] += 1
        example.setdefault(what, seed)
    print(dict(results), {k: v for k, v in example.items() if k != "holds"} or "")
    sys.exit(not set(results) <= {"holds", STUCK})


if __name__ == "__main__":
    main()
