"""The HTML of a page: one file whose scripts are known by their hashes, so that nothing else in it can run."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any, Final

from fusion.progress import counted
from volumes.viewer import _planes
from volumes.viewer.content import Content
from volumes.viewer.overlays import Overlay

EXPLORER: Final = (
    "tags.js", "planes.js", "values.js", "spectrum.js", "slices.js", "shader.js", "volume.js", "overlays.js",
    "explorer.js", "specimen.js",
)  # fmt: skip
PICKER: Final = ("tags.js", "planes.js", "landmarks.js", "picture.js", "picker.js")
_CONTROL: Final = re.compile("[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True)
class Packed:
    """One dataset as the page holds it: its header, and its planes as text."""

    header: dict[str, Any]
    planes: dict[str, str]

    @property
    def size(self) -> int:
        """Bytes of the page that it takes."""
        return len(json.dumps(self.header)) + sum(map(len, self.planes.values()))


def packed(content: Content) -> Packed:
    """Return header and planes as text."""
    planes = {name: _planes.packed(plane) for name, plane in counted(content.planes.items(), "page", "planes")}
    header = content.header | {"planes": {name: back for name, (back, _) in planes.items()}}
    return Packed(header, {name: text for name, (_, text) in planes.items()})


def document(
    tabs: Sequence[Packed], overlays: Sequence[Overlay] = (), left_out: Sequence[str] = (), first: int = 0
) -> str:
    """Return a page as HTML, with a tab for each dataset."""
    over = [_planes.packed(overlay.vertices) for overlay in overlays]
    header = {
        "tabs": [tab.header for tab in tabs],
        "overlays": [overlay.header | {"back": back} for overlay, (back, _) in zip(overlays, over, strict=True)],
        "leftOut": list(left_out),
        "first": first,
    }
    data = {f"{n}-{name}": text for n, tab in enumerate(tabs) for name, text in tab.planes.items()}
    data |= {f"overlay-{n}": text for n, (_, text) in enumerate(over)}
    return html(str(tabs[first].header["title"]), header, data, EXPLORER)


def html(title: str, header: Mapping[str, Any], planes: Mapping[str, str], scripts: tuple[str, ...]) -> str:
    """Return a page of a header, planes of bytes as text, and scripts of this room, the last of which starts it."""
    script, style = _script(scripts), _text("page.css")
    data = "".join(
        f'<script type="application/octet-stream" id="plane-{name}">{text}</script>\n' for name, text in planes.items()
    )
    head = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script, style)}">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(_cleaned(title))}</title><style>{style}</style>"
    )
    body = (
        f'<main id="explorer"></main>\n<script type="application/json" id="header">{_json(_cleaned(header))}</script>\n'
        f"{data}<script>{script}</script>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _policy(script: str, style: str) -> str:
    """Return the content security policy: no network, and no script or style but those with these hashes."""
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _script(names: tuple[str, ...]) -> str:
    parts = "\n".join(_text(name) for name in names)
    return f'"use strict";\n(() => {{\n{parts}\nstart();\n}})();\n'


def _text(name: str) -> str:
    return files("volumes.viewer").joinpath("web", name).read_text(encoding="utf-8")


def _json(value: Mapping[str, Any]) -> str:
    """Return JSON in which nothing can end the element that holds it, or begin a comment."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _cleaned(value: Any) -> Any:
    """Replace control characters in text, those that turn the direction of writing among them, by a visible mark."""
    if isinstance(value, str):
        return _CONTROL.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {key: _cleaned(item) for key, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list | tuple) else value
