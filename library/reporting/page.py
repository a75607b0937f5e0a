"""HTML pages, each a self-contained file without scripts that loads nothing.

All content of a page passes `text`, which escapes it unless it is `Html`. So a class name or a
config value never becomes markup.
"""

import base64
import html
import string
from collections.abc import Iterable, Sequence
from typing import Any

_VOID = ("img", "wbr")


class Html(str):
    """A string that is already markup."""

    __slots__ = ()


def text(value: Any) -> Html:
    """Returns a value as markup: escaped, unless it already is markup."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def join(parts: Iterable[Any], separator: str = "") -> Html:
    """Joins values to markup; each value is escaped, unless it already is markup."""
    return Html(separator.join(text(part) for part in parts))


def tag(name: str, *content: Any, **attributes: str) -> Html:
    """Returns an HTML element; the attribute `class` is given as `class_`."""
    written = "".join(f' {k.rstrip("_")}="{text(v)}"' for k, v in attributes.items() if v)
    return Html(
        f"<{name}{written}>" if name in _VOID else f"<{name}{written}>{join(content)}</{name}>"
    )


def section(heading: str, *content: Any) -> Html:
    """Returns a section of a page, or an empty text if it has no content."""
    body = join(part for part in content if part)
    return tag("section", tag("h2", heading), body) if body else Html("")


def table(
    header: Sequence[str], rows: Iterable[Sequence[Any]], numeric: Sequence[int] = ()
) -> Html:
    """Returns a table; the columns in `numeric` are aligned to the right."""

    def row(cells, name):
        kinds = ("n" if i in numeric else "" for i in range(len(cells)))
        return tag("tr", *(tag(name, cell, class_=kind) for cell, kind in zip(cells, kinds)))

    body = tag("tbody", *(row(cells, "td") for cells in rows))
    head = tag("thead", row(header, "th")) if header else ""
    return tag("div", tag("table", head, body), class_="wide")


def pairs(items: Iterable[tuple[str, Any]]) -> Html:
    """Returns a list of names and values."""
    return tag("dl", *(join((tag("dt", name), tag("dd", value))) for name, value in items))


def code(content: Any) -> Html:
    """Returns a block of preformatted text."""
    return tag("pre", tag("code", content))


def figure(png: bytes, caption: str, *, kind: str = "chart", scale: float = 1.0) -> Html:
    """Returns an image that the page itself contains.

    Args:
      png: the content of the PNG file.
      caption: text below the image.
      kind: "chart" is inverted on dark screens; "photos" keep their colours.
      scale: CSS pixels for each pixel; the image is never wider than the page.
    """
    data = base64.b64encode(png).decode()
    # The header chunk of a PNG begins with the width, at byte 16.
    width = max(1, round(scale * int.from_bytes(png[16:20], "big")))
    image = tag(
        "img", class_=kind, width=str(width), alt=caption, src=f"data:image/png;base64,{data}"
    )
    return tag("figure", image, tag("figcaption", caption) if caption else "")


def bars(items: Sequence[tuple[str, float, str]]) -> Html:
    """Returns a table of names, bars whose lengths show the values, and the values as text."""
    longest = max((value for _, value, _ in items), default=0) or 1
    rows = []
    for name, value, written in items:
        width = f"width:{100 * max(value, 0) / longest:.2f}%"
        bar = tag("span", class_="bar", style=width)
        rows.append((name, tag("div", bar, class_="track"), written))
    return table((), rows, numeric=(2,))


def render(title: str, *content: Any, width: str = "narrow") -> str:
    """Returns a whole page, of width "narrow" for text or "broad" for wide tables."""
    page = string.Template(_PAGE)
    main = tag("main", join(content, "\n"), class_=width)
    return page.substitute(title=text(title), style=_STYLE, body=main)


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body>
$body
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #23272b; --muted: #62686e;
  --line: #e2e5e8; --wash: #f5f6f7; --accent: #0072b2; --bad: #b34700; --good: #00714f; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 36px 24px 64px; }
main.broad { max-width: 1600px; }
h1 { font-size: 28px; line-height: 1.2; font-weight: 650; margin: 0 0 4px;
  letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 17px; font-weight: 650; margin: 0 0 12px; }
h3 { font-size: 14px; font-weight: 600; margin: 20px 0 8px; }
p { margin: 0 0 10px; }
.under, figcaption, .note { color: var(--muted); }
.under { overflow-wrap: anywhere; }
section { border-top: 1px solid var(--line); margin-top: 30px; padding-top: 22px; }
.stats { display: flex; flex-wrap: wrap; gap: 12px 44px; margin: 26px 0 6px; }
.stat .name { color: var(--muted); font-size: 13px; }
.stat .value { font-size: 34px; line-height: 1.2; font-weight: 600; letter-spacing: -0.02em;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.good { color: var(--good); } .bad { color: var(--bad); }
pre { margin: 0; padding: 12px 14px; background: var(--wash); border-radius: 6px;
  font: 12.5px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; }
pre + pre { margin-top: 8px; }
pre .key { color: var(--muted); }
pre .set { font-weight: 700; color: var(--accent); }
pre .mark { color: var(--accent); }
figure { margin: 0 0 18px; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption { font-size: 13px; margin-top: 6px; }
.row { display: flex; flex-wrap: wrap; gap: 8px 28px; align-items: flex-start; }
.row figure { flex: 1 1 380px; min-width: 0; }
.wide { overflow-x: auto; margin-bottom: 12px; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums;
  min-width: 50%; }
th, td { text-align: left; padding: 5px 18px 5px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--muted); font-weight: 500; vertical-align: bottom; }
th.n, td.n { text-align: right; white-space: nowrap; }
tbody tr:hover { background: var(--wash); }
td:has(.track) { width: 60%; vertical-align: middle; }
.track { background: var(--wash); border-radius: 2px; height: 10px; }
.bar { display: block; background: var(--accent); border-radius: 2px; height: 10px;
  min-width: 1px; }
main.broad table { font-size: 13px; }
main.broad th, main.broad td { padding-right: 12px; }
main.broad .wide { max-height: 90vh; overflow: auto; }
main.broad thead th { position: sticky; top: 0; z-index: 1; background: var(--paper); }
main.broad thead th:first-child { left: 0; z-index: 2; }
main.broad td:first-child { position: sticky; left: 0; background: var(--paper); }
.run { min-width: 130px; max-width: 260px; overflow-wrap: anywhere; }
summary { cursor: pointer; white-space: nowrap; }
details dl { margin: 6px 0 0; font-size: 12.5px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 22px; margin: 0 0 12px;
  font-size: 13.5px; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
a { color: var(--accent); }
@media screen and (max-width: 700px) {
  main { padding: 20px 14px 40px; }
  figure { overflow-x: auto; }
  /* Letters of a figure that is as narrow as the page could not be read. */
  figure img { max-width: 640px; }
}
@media screen and (prefers-color-scheme: dark) {
  :root { --paper: #1a1a1a; --ink: #dadcde; --muted: #9a9fa4; --line: #34373a; --wash: #242628;
    --accent: #5bb5ea; --bad: #f0945a; --good: #4cc79c; }
  figure img.chart { filter: invert(0.9) hue-rotate(180deg); }
  figure img.photos { border-radius: 6px; padding: 10px; background: #ffffff; opacity: 0.92; }
}
@media print {
  @page { margin: 14mm; }
  :root { color-scheme: light; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  figure, tr, .stat { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .wide, main.broad .wide { overflow: visible; max-height: none; }
  .bar, .track, pre { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
