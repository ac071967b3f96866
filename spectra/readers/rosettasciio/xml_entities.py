"""XML that defines entities: refused before any reader expands them."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from xml.parsers import expat

from fusion.errors import FileReadError

_DOCTYPE: Final = "<!DOCTYPE"
_MEASURED: Final = (".xml", ".spx", ".tvf")


class _DoctypeError(Exception):
    """The file has a document type, in which entities are defined."""


def refuse_entities(path: Path) -> None:
    """Refuse an XML file of a spectrometer that has a document type, or text in an attribute that has one.

    Entities defined there can grow to gigabytes when they are expanded ("billion laughs"), or name other files. No
    spectrometer writes a document type. The file is read by expat, so that its encoding hides nothing; TriVista keeps
    further XML in its attributes.

    Parameters
    ----------
    path : Path
        Files of other formats pass.

    Raises
    ------
    FileReadError
        If there is a document type. Text that is no XML passes: its reader says what is wrong.
    """
    if path.suffix.lower() not in _MEASURED:
        return
    try:
        with path.open("rb") as stream:
            _parser().ParseFile(stream)
    except _DoctypeError as error:
        reason = "it has a document type (<!DOCTYPE>), whose entities are not expanded"
        raise FileReadError(path, reason, hint="remove it, or export the file again") from error
    except (expat.ExpatError, ValueError, LookupError):
        return


def _parser() -> expat.XMLParserType:
    def refuse(*_: object) -> None:
        raise _DoctypeError

    def note(_: str, attributes: dict[str, str]) -> None:
        if any(_DOCTYPE in text for text in attributes.values()):
            raise _DoctypeError

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = note
    return parser
