"""The README's commands, run from top to bottom as a reader would, in one scratch folder, and their
output compared with what the README shows.

A comment that readers do not see, on the line before a fenced block, says what the block is:

    <!-- run: sqlite app.db -->   run by sqlite3 on that file (`build` is there for .load)
    <!-- run: psql hub -->        run by psql in that database of a private server
    <!-- run: sh -->              run by sh
    <!-- run: ... error -->       the same, and some statement must fail
    <!-- output -->               what the last block printed; "..." stands for anything
    <!-- skip: reason -->         not run

Every ```sql block of README.md must carry one of these. Files under docs/ may, too.
"""
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0] + "/support")
from harness import ROOT, Cluster, Skip, main, test  # noqa: E402

FENCE = re.compile(r"(?m)^(?:<!-- (run|output|skip)(?:: ?([^\n]*?))? -->\n)?```(\w*)[^\n]*\n"
                   r"(.*?)^```$", re.S)


class Block:
    def __init__(self, found, page):
        self.action, self.words = found[1], (found[2] or "").split()
        self.language, self.text = found[3], found[4]
        self.where = f"{page.name}:{found.string.count(chr(10), 0, found.start()) + 1}"


def blocks(page):
    return [Block(found, page) for found in FENCE.finditer(page.read_text(encoding="utf-8"))]


def run(block, folder, environment):
    """Runs a block; returns what it printed."""
    words = [w for w in block.words if w != "error"]
    if words[0] == "sqlite":
        command = ["sqlite3", "-batch", *([] if "error" in block.words else ["-bail"]), words[1]]
    elif words[0] == "psql":
        stop = [] if "error" in block.words else ["-v", "ON_ERROR_STOP=1"]
        command = ["psql", "-X", "-q", *stop, "-d", words[1], "-f", "-"]
    elif words[0] == "sh":
        command = ["sh", "-e"]
    else:
        raise AssertionError(f"{block.where}: unknown runner {words[0]}")
    done = subprocess.run(command, cwd=folder, env=environment, input=block.text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    failed = done.returncode != 0 or re.search(r"(?mi)^(psql:.*|Parse |Runtime )?error",
                                               done.stdout)
    if bool(failed) != ("error" in block.words):
        raise AssertionError(f"{block.where}: {'did not fail' if not failed else 'failed'}\n"
                             f"{block.text}\n{done.stdout}")
    return done.stdout


def tidy_output(text):
    lines = [line.rstrip() for line in text.strip("\n").split("\n")]
    return "\n".join(line for line in lines if line)


def compare(block, printed):
    pattern = ".*?".join(re.escape(p) for p in tidy_output(block.text).split("..."))
    if not re.fullmatch(pattern, tidy_output(printed), re.S):
        raise AssertionError(f"{block.where}: shown\n{block.text}\nbut printed\n{printed}")


def walk(page, t):
    """Runs a page; returns how many blocks were run and how many outputs compared."""
    found = [b for b in blocks(page) if b.action]
    environment = dict(os.environ)
    if any(b.words[:1] == ["psql"] or "postgresql:" in b.text for b in found):
        environment = dict(Cluster().env)  # its own: the page chooses database names
    (t.folder / "build").symlink_to(ROOT / os.environ.get("BUILD", "build"))
    ran = compared = 0
    printed = None
    for block in found:
        if block.action == "run":
            printed = run(block, t.folder, environment)
            ran += 1
        elif block.action == "output":
            assert printed is not None, f"{block.where}: no block was run before it"
            compare(block, printed)
            compared += 1
    return ran, compared


@test("readme: its commands run and print what it shows")
def _(t):
    page = ROOT / "README.md"
    assert page.is_file(), "there is no README.md"
    ran, compared = walk(page, t)
    assert ran >= 2 and compared >= 1, f"{ran} blocks run, {compared} outputs compared"


@test("readme: every sql block says how it is run")
def _(_t):
    page = ROOT / "README.md"
    assert page.is_file(), "there is no README.md"
    bare = [b.where for b in blocks(page) if b.language == "sql" and not b.action]
    assert not bare, f"not marked: {', '.join(bare)}"


def register(page):
    @test(f"readme: the commands of docs/{page.name} run")
    def _(t):
        if not any(b.action == "run" for b in blocks(page)):
            raise Skip("nothing marked to run")
        walk(page, t)


for marked in sorted(pathlib.Path(ROOT / "docs").glob("*.md")):
    if "<!-- run:" in marked.read_text(encoding="utf-8"):
        register(marked)

if __name__ == "__main__":
    main()
