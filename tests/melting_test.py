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
from melting_model import RULES, SEEN, STUCK, outcome  # noqa: E402
from melting_scenes import KNOWN, SCENES, play  # noqa: E402

FIRST = int(os.environ.get("SYNCLINE_SEED", "0"))


@test("melting: with all rules nothing is lost, claimed, undone or left over in 300 runs")
def _(_t):
    bad = {}
    for seed in range(FIRST, FIRST + 300):
        what = outcome(seed, frozenset(RULES))
        if what not in ("holds", STUCK):
            bad.setdefault(what, seed)
    assert not bad, f"a seed of each: {bad}"


@test("melting: a random run goes wrong without each rule that has one")
def _(_t):
    held = [name for name, seed in SEEN.items()
            if outcome(seed, frozenset(RULES) - {name}) == "holds"]
    assert not held, f"nothing went wrong without {held}: find seeds with --break"


@test("melting: a run that is told goes wrong without each rule that it was made for")
def _(_t):
    for scene, names in SCENES.items():
        assert play(scene, frozenset(RULES)) == "holds", scene.__name__
        held = [name for name in names if play(scene, frozenset(RULES) - {name}) == "holds"]
        assert not held, f"{scene.__name__}: nothing went wrong without {held}"


@test("melting: what is known to go wrong does, and would not with a rule more")
def _(_t):
    for scene, (name, what) in KNOWN.items():
        assert play(scene, frozenset(RULES)) == what, scene.__name__
        assert play(scene, frozenset([*RULES, name])) == "holds", scene.__name__


main()
