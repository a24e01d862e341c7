"""An SVG of bars, written by hand: a panel a shape, a bar an agent, on a scale of its own.  Its
background is the page's, and its text follows the page from light to dark."""
from xml.sax.saxutils import escape

WIDTH, NAMES, VALUES = 760, 150, 170
BAR, GAP, HEAD, FOOT = 18, 6, 34, 30
COLOURS = ["#8b949e", "#bf8700", "#2f81f7", "#3fb950", "#db61a2", "#a371f7", "#f0883e", "#39c5cf"]

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .panel { font-weight: 600 }
  .quiet { fill: #59636e }
  .spread { stroke: #1f2328; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .spread { stroke: #e6edf3 }
  }
"""


def _text(x, y, text, kind="", anchor="start"):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _bar(y, name, colour, median, low, high, scale, label):
    x, width = NAMES, median * scale
    middle = y + BAR / 2
    return [_text(x - 8, middle + 4.5, name, anchor="end"),
            f'<rect x="{x}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{BAR}" rx="2" fill="{colour}"/>',
            f'<line class="spread" x1="{x + low * scale:.1f}" x2="{x + high * scale:.1f}" '
            f'y1="{middle:.1f}" y2="{middle:.1f}"/>',
            _text(x + max(width, high * scale) + 8, middle + 4.5, label, "quiet")]


def bars(title, note, panels):
    """panels: [(heading, [(agent, median, lowest, highest, label)])]"""
    names = list(dict.fromkeys(row[0] for _, rows in panels for row in rows))
    parts, y = [_text(0, 18, title, "title")], 34.0
    for heading, rows in panels:
        parts.append(_text(0, y + 16, heading, "panel"))
        y += HEAD - 8
        scale = (WIDTH - NAMES - VALUES) / max(row[3] for row in rows)
        for name, median, low, high, label in rows:
            colour = COLOURS[names.index(name) % len(COLOURS)]
            parts += _bar(y, name, colour, median, low, high, scale, label)
            y += BAR + GAP
        y += 8
    parts.append(_text(0, y + 16, note, "quiet"))
    height = y + FOOT
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
            f'height="{height:.0f}" role="img">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n' +
            "\n".join(parts) + "\n</svg>\n")
