"""Bars as SVG, in colours that can be read on a light and on a dark page."""

from html import escape

WIDTH, NAMES, FIGURES = 830, 250, 90
STEP, HEAD, GAP = 20, 28, 14
TEXT, OURS, THEIRS, LIMIT = "#7d8590", "#2f81f7", "#8b949e", "#bf8700"


def bars(groups):
    """A picture of groups of bars: a title, then name, value, whether it is ours, whether it is a limit."""
    height = sum(HEAD + STEP * len(rows) + GAP for _, rows, _ in groups)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="{TEXT}">']
    top = 0
    for title, rows, figure in groups:
        parts.append(f'<text x="0" y="{top + 18}" font-weight="bold">{escape(title)}</text>')
        top += HEAD
        most = max((value for _, value, _, _ in rows), default=1) or 1
        for name, value, is_ours, is_limit in rows:
            length = (WIDTH - NAMES - FIGURES) * value / most
            colour = OURS if is_ours else LIMIT if is_limit else THEIRS
            weight = ' font-weight="bold"' if is_ours else ""
            parts.append(f'<text x="{NAMES - 8}" y="{top + 14}" text-anchor="end"{weight}>{escape(name)}</text>')
            parts.append(f'<rect x="{NAMES}" y="{top + 2}" width="{length:.1f}" height="{STEP - 5}" fill="{colour}"/>')
            parts.append(f'<text x="{NAMES + length + 6:.1f}" y="{top + 14}">{figure(value)}</text>')
            top += STEP
        top += GAP
    return "\n".join([*parts, "</svg>\n"])
