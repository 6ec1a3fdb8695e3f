"""Runs of the model of melting that are told step by step: for rules that random runs need too
long to miss, and for what is known to go wrong.
"""
from melting_join import COLS
from melting_model import KEYS, STUCK, Run
from melting_site import LAST, Site


class Scene(Run):
    """Four sites of which none has heard of another, and rows with a key of 0 to 2."""

    def __init__(self, rules):
        super().__init__(0, rules, "strangers")
        self.sites = [Site(next(self.ids), rules, self.w) for _ in range(4)]

    @staticmethod
    def put(s, key, **values):
        if s.see(key) is None:
            s.write(key, "insert", COLS, {"a": 0, "b": 0, **values})
        else:
            s.write(key, "update", list(values), values)

    @staticmethod
    def erase(s, key):
        s.write(key, "delete", COLS, s.see(key))

    def pull(self, s, other, limit=KEYS, pieces=LAST):
        """`s` takes over what `other` has: all of it, or some pieces."""
        for _ in range(pieces):
            chunk = other.produce(s.K, s.incoming.get(other.id), limit)
            if chunk is None:
                return
            self.raise_clock(s, chunk)
            if not s.apply(chunk) or chunk.last:
                return

    def swap(self, s, other):
        self.pull(s, other)
        self.pull(other, s)

    def end(self):
        return self.check() or self.settle() or self.leftovers() or "holds"


def delete_meets_unseen(run):
    """A tombstone that a can drop from now on reaches b, which has a row of its own there."""
    a, b, c, d = run.sites
    run.put(a, 1, a=1)
    run.put(a, 2)
    run.swap(c, a)
    run.put(b, 1, a=2)
    run.pull(d, b)
    run.erase(a, 1)
    for _ in range(2):
        run.swap(c, a)
    a.maintain(0)
    run.pull(b, a)
    a.maintain()
    run.pull(d, a)
    run.pull(a, d)


def delete_again(run):
    """c deletes what it has of both; d cannot tell whether that delete saw what a has forgotten."""
    a, _, c, d = run.sites
    run.put(a, 1, a=1)
    a.maintain()
    run.put(c, 1, a=2)
    run.pull(c, a)
    run.erase(c, 1)
    run.pull(d, c)
    run.put(a, 2)
    run.pull(c, a)
    a.maintain()
    run.pull(d, a)


def delete_unsent(run):
    """c deletes a row as it is, and cannot tell whether it has seen what a has forgotten."""
    a, _, c, _ = run.sites
    run.put(a, 1, a=1)
    run.pull(c, a)
    run.erase(c, 1)
    run.put(a, 2)
    a.maintain()
    run.pull(c, a)
    return lambda: run.sites[0].see(1) is None


def melted_twice(run):
    """What a changes and forgets again is not what it had forgotten first."""
    a, b, c, _ = run.sites
    run.put(a, 1, a=1)
    run.put(c, 1, a=2)
    run.pull(b, a)
    a.maintain()
    run.pull(c, a)
    a.clock = c.clock + 100
    run.put(a, 1, a=0)
    run.pull(b, a)
    a.maintain()
    run.pull(c, a)


def forgotten_delete(run, changed=False):
    """d, of which nobody has heard, still has the row, and has to send all: a does not know c."""
    a, b, c, d = run.sites
    run.put(a, 1, a=1)
    for _ in range(2):
        run.swap(b, a)
    run.pull(d, a)
    c.maintain()
    run.pull(d, c)
    run.erase(a, 1)
    for _ in range(2):
        run.swap(b, a)
    a.maintain()
    if changed:
        run.put(d, 1, b=2)
    run.pull(a, d)
    return lambda: run.sites[0].see(1) is None


def carried_by_hand(run):
    """b has the delete of a, who has not heard of b; c comes later, and is told all the same."""
    a, b, c, _ = run.sites
    run.put(a, 1, a=1)
    run.erase(a, 1)
    run.put(b, 1, a=2)
    run.pull(b, a)
    a.maintain()
    run.put(c, 1, a=0)
    run.swap(c, a)
    return lambda: run.conflicts(run.sites[0], 1)["e"] == (2, True)


def half_a_row(run):
    """As in forgotten_delete, and d has changed the row."""
    forgotten_delete(run, changed=True)


def forgotten_by_one(run):
    """Of a and b, b has deleted a row; a has forgotten that, b not."""
    a, b, _, _ = run.sites
    run.put(a, 1, a=1)
    for _ in range(2):
        run.swap(a, b)
    run.erase(b, 1)
    for _ in range(2):
        run.swap(a, b)
    a.maintain()


def delete_forgotten_elsewhere(run):
    """b has the delete beside a row of c, who then hears from a, where it left no trace."""
    forgotten_by_one(run)
    a, b, c, _ = run.sites
    run.put(c, 1, a=2)
    run.pull(b, c)
    run.pull(c, a)


def row_given_beside(run):
    """As in delete_forgotten_elsewhere, and a gets the row from c before it hears of b."""
    delete_forgotten_elsewhere(run)
    a, b, c, _ = run.sites
    run.pull(a, c)
    run.pull(b, a)


def row_of_a_stranger(run):
    """b has heard what a may have dropped, and a has a piece from c, who has forgotten something,
    too."""
    forgotten_by_one(run)
    a, b, c, _ = run.sites
    run.pull(b, a)
    run.put(c, 2)
    c.maintain()
    run.put(c, 1, a=2)
    run.pull(a, c, 1, 1)
    run.pull(b, c)
    run.pull(a, b)


def delete_given_back(run):
    """As in delete_forgotten_elsewhere, and b gives both to a and goes for good."""
    delete_forgotten_elsewhere(run)
    a, b, c, d = run.sites
    run.pull(a, b)
    run.sites = [a, c, d]


def both_begin(run):
    """Two that never met begin with each other in the same moment."""
    a, b, c, d = run.sites
    run.sites = [a, b]
    for s in run.sites:
        for key in range(KEYS):
            run.put(s, key, a=s.id)
        s.maintain()
    of_a, of_b = a.produce(b.K, None, 1), b.produce(a.K, None, 1)
    a.apply(of_b)
    b.apply(of_a)


# Scenes, and the rules without which they go wrong.
SCENES = {
    delete_meets_unseen: ("name_delete",),
    delete_again: ("face_name", "redelete_beside"),
    delete_unsent: ("redelete",),
    melted_twice: ("face",),
    forgotten_delete: ("range", "take_live"),
    carried_by_hand: ("alone",),
    half_a_row: ("half",),
    delete_given_back: ("back",),
    row_given_beside: ("risen",),
    row_of_a_stranger: ("met",),
}
# What goes wrong with all rules: the rule that would mend it, and how it ends without.
KNOWN = {
    both_begin: ("order", STUCK),
}


def play(scene, rules):
    """How it ends; a scene may return a check of what is to be shown then."""
    run = Scene(rules)
    good = scene(run)
    what = run.end()
    return what if what != "holds" or good is None or good() else "undone"
