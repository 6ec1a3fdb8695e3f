"""Small SVG plots without a library: bars of ratios, and lines over sizes on logarithmic axes."""
import math
from xml.sax.saxutils import escape

WIDTH = 720
LABELS = 330           # left of the bars
ROW = 22
COLOURS = ("#1f6feb", "#cf222e", "#1a7f37", "#9a6700", "#8250df")
GREY = "#57606a"


def number(value):
    """Three significant digits, without exponents for what is measured here."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def svg(height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">\n'
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n'
            + "\n".join(parts) + "\n</svg>\n")


def text(x, y, content, anchor="start", colour="#1f2328", extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{extra}>'
            f"{escape(content)}</text>")


def bars(title, rows, mark=None):
    """rows: [(label, median, least, greatest)]; `mark` draws a line, as at 1 for ratios."""
    top, height = 34, 34 + ROW * len(rows) + 12
    greatest = max([row[3] for row in rows] + [mark or 0]) or 1
    scale = (WIDTH - LABELS - 70) / greatest
    parts = [text(8, 20, title, extra=' font-weight="bold"')]
    for i, (label, middle, least, most) in enumerate(rows):
        y = top + i * ROW
        parts.append(text(LABELS - 8, y + 13, label, "end"))
        parts.append(f'<rect x="{LABELS}" y="{y + 2}" width="{max(middle * scale, 1):.1f}" '
                     f'height="{ROW - 8}" fill="{COLOURS[0]}"/>')
        parts.append(f'<path d="M{LABELS + least * scale:.1f} {y + 9}H{LABELS + most * scale:.1f}" '
                     f'stroke="{GREY}" stroke-width="2"/>')
        parts.append(text(LABELS + most * scale + 6, y + 13, number(middle)))
    if mark:
        x = LABELS + mark * scale
        parts.append(f'<path d="M{x:.1f} {top - 4}V{height - 8}" stroke="{GREY}" '
                     'stroke-dasharray="3 3"/>')
    return svg(height, parts)


def lines(title, series, unit):
    """series: {label: [(rows, value)]}, both axes logarithmic."""
    left, top, right, bottom = 60, 40, 190, 40
    height = 300
    points = [p for values in series.values() for p in values]
    logs_x = [math.log10(p[0]) for p in points]
    logs_y = [math.log10(p[1]) for p in points]
    low_x, high_x = math.floor(min(logs_x)), math.ceil(max(logs_x))
    low_y, high_y = math.floor(min(logs_y)), math.ceil(max(logs_y))

    def x_of(value):
        return left + (math.log10(value) - low_x) / max(high_x - low_x, 1) * (WIDTH - left - right)

    def y_of(value):
        return (height - bottom
                - (math.log10(value) - low_y) / max(high_y - low_y, 1) * (height - top - bottom))
    parts = [text(8, 20, title, extra=' font-weight="bold"')]
    for power in range(low_x, high_x + 1):
        x = x_of(10 ** power)
        parts.append(f'<path d="M{x:.1f} {top}V{height - bottom}" stroke="#d0d7de"/>')
        parts.append(text(x, height - bottom + 16, f"{10 ** power:,}", "middle", GREY))
    for power in range(low_y, high_y + 1):
        y = y_of(10.0 ** power)
        parts.append(f'<path d="M{left} {y:.1f}H{WIDTH - right}" stroke="#d0d7de"/>')
        parts.append(text(left - 6, y + 4, number(10.0 ** power), "end", GREY))
    parts.append(text(left, height - 8, f"rows; {unit}", colour=GREY))
    for i, (label, values) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in sorted(values))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}"/>'
                  for x, y in values]
        parts.append(text(WIDTH - right + 10, top + 14 + i * 18, label, colour=colour))
    return svg(height, parts)
