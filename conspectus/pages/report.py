"""The report of a run: one HTML page that needs nothing else."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

import xarray as xr

import fusion
import volumes
from conspectus.meter import Cost
from conspectus.project import Picture, Project
from fusion import provenance
from fusion.errors import ConspectusError

_LARGEST: Final = 4e6
"""Bytes of the page within a report, which can still be mailed."""
_STYLE: Final = """
:root { color-scheme: light; --ink: #1c2733; --soft: #5b6875; --line: #dde3e9; --accent: #2b5fd9; }
* { box-sizing: border-box; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: #f5f7f9; }
main { max-width: 1040px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; }
p.about { color: var(--soft); max-width: 44rem; margin: 0 0 1.6rem; }
figure { margin: 0 0 1.6rem; background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 1rem; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .6rem; }
figcaption b { color: var(--ink); }
.scroll { overflow-x: auto; background: #fff; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { text-align: left; padding: .5rem .9rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-weight: 600; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { background: #fff; border: 1px solid var(--line); border-radius: 8px; padding: 1rem;
  overflow-x: auto; font-size: .8rem; }
summary { cursor: pointer; color: var(--accent); }
"""


def page(title: str, about: str, project: Project, costs: Sequence[Cost], picture: Path) -> str:
    """Return the report as HTML: picture, findings, further pictures, cost of each step, provenance."""
    fused = project["fused"]
    first = Picture("The fused dataset", picture.read_bytes(), _axes(project))
    record = json.dumps(provenance.read(fused), indent=1)
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="about">{escape(about.strip())}</p>',
        _figure(first),
        _live(fused),
        "<h2>Findings</h2>",
        _table(("quantity", "value", "note"), ([escape(cell) for cell in row] for row in project.findings)),
        "<h2>Pictures</h2>" if project.pictures else "",
        *(_figure(item) for item in project.pictures),
        "<h2>Datasets</h2>",
        _table(("name", "variables", "frame"), _nodes(project)),
        "<h2>Time and memory</h2>",
        _table(("step", "time", "peak memory"), _costs(costs)),
        "<h2>Provenance</h2>",
        f"<details><summary>Inputs, steps, parameters and versions</summary><pre>{escape(record)}</pre></details>",
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    content = "\n".join(filter(None, body))
    body_html = f"<body><main>{content}</main></body>"
    return f'<!doctype html><html lang="en"><head>{head}<style>{_STYLE}</style></head>{body_html}</html>\n'


def _live(fused: xr.Dataset) -> str:
    """Return the page of the fused dataset in a frame of its own, or why there is none."""
    try:
        return volumes.show(fused, largest=_LARGEST)._repr_html_()
    except ConspectusError as error:
        return f"<p>No page to explore: {escape(str(error))}.</p>"


def _axes(project: Project) -> str:
    fused = project["fused"]
    sizes = " × ".join(str(size) for dim, size in fused.sizes.items() if dim in ("z", "y", "x"))
    return (
        f"{sizes} on physical axes in µm; saved as the group fused of specimen.nc, and for other programs as fused.nc."
    )


def _figure(picture: Picture) -> str:
    data = b64encode(picture.png).decode()
    caption = f"<figcaption><b>{escape(picture.title)}.</b> {escape(picture.caption)}</figcaption>"
    return f'<figure><img alt="{escape(picture.title)}" src="data:image/png;base64,{data}">{caption}</figure>'


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>'


def _nodes(project: Project) -> Iterable[Sequence[str]]:
    for name, ds in project.nodes.items():
        variables = (f"{key} {tuple(variable.sizes.items())}" for key, variable in ds.data_vars.items())
        yield escape(name), "<br>".join(map(escape, variables)), escape(fusion.get_pose(ds)[1])


def _costs(costs: Sequence[Cost]) -> Iterable[Sequence[str]]:
    yield from ((escape(cost.step), f"{cost.seconds:.2f} s", f"{cost.peak:.0f} MB") for cost in costs)
    yield "<b>together</b>", f"{sum(c.seconds for c in costs):.2f} s", f"{max(c.peak for c in costs):.0f} MB"
