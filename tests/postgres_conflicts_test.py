#!/usr/bin/env python3
"""Policies, conflicts and decisions with PostgreSQL: the bodies that both engines share on the pairs
that have a PostgreSQL side, and what is PostgreSQL's own: roles, concurrency, NOTIFY, PREPARE."""
import json
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "support"))
from conflict_cases import CASES, clash, decide, field, open_id, policy, start  # noqa: E402
from harness import SqlError, main, raises, test  # noqa: E402
from pairs import create, equal, on_pairs, quote, rows, run, sync  # noqa: E402

for case_name, case_body in CASES:
    on_pairs(case_name, pairs=("SQLite-PostgreSQL", "PostgreSQL-PostgreSQL"))(case_body)

main()
