"""Policies, conflicts and decisions on SQLite: the bodies that both engines share, and what is
SQLite's own."""
import json
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/support")
from conflict_cases import CASES  # noqa: E402
from harness import main  # noqa: E402
from pairs import on_pairs  # noqa: E402

for case_name, case_body in CASES:
    on_pairs(case_name, pairs=("SQLite-SQLite",))(case_body)

main()
