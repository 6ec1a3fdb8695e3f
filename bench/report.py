"""The table on the terminal, report.json, report.md and its plots."""
import json
import re
import statistics

import figures
import plot

UNITS = {"x": "x", "B": "B", "ms": "ms", "us": "us", "/s": "/s", "MiB": "MiB", "^": ""}


def summary(samples, key):
    """median, least, greatest, median of the ratio of processor times."""
    values = samples.values[key]
    cpu = samples.cpu.get(key)
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values),
            "samples": len(values), "cpu": statistics.median(cpu) if cpu else None}


def title_of(text, options):
    return text.format(big=f"{options.sizes[-1]:,}", small=f"{options.sizes[0]:,}")


def groups(samples, options):
    """[(group, against, [(figure, summary)])], without what was not measured."""
    out = []
    for name, against in figures.GROUPS.items():
        rows = [(f, summary(samples, f.key)) for f in figures.FIGURES.values()
                if f.group == name and f.key in samples.values]
        if rows:
            out.append((title_of(name, options), title_of(against, options), rows))
    return out


def judge(samples, budget):
    """(measured, allowed, met) as texts of a row of the budget table; None if nothing is known.

    A limit is a number, another figure's key, or a negative number: then no less is wanted."""
    measured, allowed, met = [], [], True
    for key, limit in budget.parts:
        value = samples.median(key)
        if isinstance(limit, str):
            limit = samples.median(limit)
        if value is None or limit is None:
            return None
        measured.append(plot.number(value))
        allowed.append(plot.number(abs(limit)))
        met = met and (value >= -limit if limit < 0 else value <= limit)
    unit = UNITS[figures.FIGURES[budget.parts[0][0]].unit]
    return f"{'; '.join(measured)} {unit}", f"{'; '.join(allowed)} {unit}", "yes" if met else "no"


def budgets(samples):
    rows = [(budget.what, judge(samples, budget)) for budget in figures.BUDGETS]
    return [(what, *judged) for what, judged in rows if judged]


def print_tables(samples, options, out):
    for name, against, rows in groups(samples, options):
        print(f"\n{name}\n  ({against})", file=out)
        print(f"  {'':<60} {'median':>9} {'least':>9} {'greatest':>9} {'cpu':>7}", file=out)
        for figure, s in rows:
            numbers = [plot.number(s[k]) for k in ("median", "least", "greatest")]
            cpu = plot.number(s["cpu"]) if s["cpu"] else ""
            print(f"  {figure.title:<60} {numbers[0]:>9} {numbers[1]:>9} {numbers[2]:>9} {cpu:>7} "
                  f"{figure.unit if figure.unit != '^' else ''}", file=out)
    print(f"\n{'budget':<62} {'measured':>24} {'allowed':>22}  met", file=out)
    for what, measured, allowed, met in budgets(samples):
        print(f"{what:<62} {measured:>24} {allowed:>22}  {met}", file=out)
    for line in samples.skipped:
        print(f"skipped: {line}", file=out)


def file_name(name):
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") + ".svg"


def write_plots(samples, options, folder):
    """Returns {group: file name}."""
    for old in folder.glob("*.svg"):
        old.unlink()
    made = {}
    for name, _, rows in groups(samples, options):
        if len(rows) < 2 or len({f.unit for f, _ in rows}) > 1:
            continue
        mark = 1 if rows[0][0].unit in ("x", "^") else None
        made[name] = file_name(name)
        (folder / made[name]).write_text(plot.bars(
            f"{name} ({rows[0][0].unit})" if rows[0][0].unit != "^" else name,
            [(f.title, s["median"], s["least"], s["greatest"]) for f, s in rows], mark),
            encoding="utf-8")
    titles = dict(figures.SCALES)
    for engine in ("sqlite", "postgres"):
        series = {titles[what]: sorted((rows, min(t)) for rows, t in sizes.items())
                  for (e, what), sizes in samples.points.items() if e == engine}
        if series:
            (folder / f"scaling_{engine}.svg").write_text(
                plot.lines(f"Scaling: {engine}", series, "seconds"), encoding="utf-8")
            made[f"scaling {engine}"] = f"scaling_{engine}.svg"
    return made


def write_markdown(samples, options, machine, folder):
    plots = write_plots(samples, options, folder)
    lines = ["# Syncline: benchmark report", "",
             f"Workload W1: {options.rows:,} rows of six columns with random UUID keys (see "
             "bench/README.md). Every ratio is against the same work without Syncline, in the same "
             f"run; medians of {options.repetitions} repetitions that alternate the two. `cpu` is "
             "the same of processor time, which other work on the machine disturbs less.", "",
             "| | |", "|---|---|"]
    lines += [f"| {key.replace('_', ' ')} | {value} |" for key, value in machine.items()]
    if options.quick or machine["busy_cores_at_start"] > machine["cores"] / 4:
        lines += ["", "**Do not quote these figures.** " + (
            "The sizes are those of a trial run." if options.quick else
            "Other work was going on when the run began.")]
    lines += ["", "## Budgets", "", "| what | measured | allowed | met |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(row)} |" for row in budgets(samples)]
    for name, against, rows in groups(samples, options):
        lines += ["", f"## {name}", "", f"Against: {against}.", "",
                  "| | median | least | greatest | cpu |", "|---|--:|--:|--:|--:|"]
        for figure, s in rows:
            unit = UNITS[figure.unit]
            cells = [f"{plot.number(s[k])} {unit}".strip() for k in ("median", "least", "greatest")]
            cells.append(plot.number(s["cpu"]) if s["cpu"] else "")
            lines.append(f"| {figure.title} | {' | '.join(cells)} |")
        if name in plots:
            lines += ["", f"![{name}]({plots[name]})"]
    for name, path in plots.items():
        if name.startswith("scaling "):
            lines += ["", f"![{name}]({path})"]
    if samples.skipped:
        lines += ["", "## Left out", ""] + [f"- {line}" for line in samples.skipped]
    (folder / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_json(samples, options, machine, folder):
    content = {
        "machine": machine,
        "options": vars(options),
        "figures": {f.key: {"group": title_of(f.group, options), "title": f.title, "unit": f.unit,
                            **summary(samples, f.key), "values": samples.values[f.key]}
                    for f in figures.FIGURES.values() if f.key in samples.values},
        "budgets": [dict(zip(("what", "measured", "allowed", "met"), row))
                    for row in budgets(samples)],
        "scaling": {f"{engine} {what}": sizes for (engine, what), sizes in samples.points.items()},
        "skipped": samples.skipped,
    }
    (folder / "report.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def write(samples, options, machine, folder, out):
    """Everything at once; folder exists."""
    print_tables(samples, options, out)
    write_markdown(samples, options, machine, folder)
    write_json(samples, options, machine, folder)
