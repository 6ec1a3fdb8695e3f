"""The model of melting (tests/model/melting_model.py): its rules hold over random runs, and a run
goes wrong without each rule for which one is known.

    tests/model/melting_model.py --seeds 5000 --first 1000    # more runs
    tests/model/melting_model.py --break all                  # what each rule is for
"""
import os
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/support")
sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/model")
from harness import main, test  # noqa: E402
from melting_model import RULES, SEEN, outcome  # noqa: E402

FIRST = int(os.environ.get("SYNCLINE_SEED", "0"))


@test("melting: with all rules nothing is lost, claimed, undone or left over in 300 runs")
def _(_t):
    bad = {}
    for seed in range(FIRST, FIRST + 300):
        what = outcome(seed, frozenset(RULES))
        if what != "holds":
            bad.setdefault(what, seed)
    assert not bad, f"a seed of each: {bad}"


@test("melting: a run goes wrong without each rule that has one")
def _(_t):
    held = [name for name, seed in SEEN.items()
            if outcome(seed, frozenset(set(RULES) - {name})) == "holds"]
    assert not held, f"nothing went wrong without {held}: find seeds with --break"


main()
