"""The errors this project raises on purpose: each one says what was wrong, what was received and how to fix it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from os import PathLike


class ConspectusError(Exception):
    """Base of every error raised on purpose; the command line turns it into one sentence and exit code 2."""


class ConventionError(ConspectusError, ValueError):
    """A dataset breaks the conventions of CONVENTIONS.md.

    Parameters
    ----------
    faults : iterable of str
        Every fault, each one beginning with its place (``"counts.attrs['units']: ..."``).

    Examples
    --------
    >>> print(ConventionError(["y: no units", "x: no units"]))
    2 faults: y: no units; x: no units
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        count = f"{len(self.faults)} fault{'s' if len(self.faults) != 1 else ''}"
        super().__init__(f"{count}: {'; '.join(self.faults)}")

    def __reduce__(self) -> tuple[type[ConventionError], tuple[tuple[str, ...]]]:
        return type(self), (self.faults,)


class UnitError(ConspectusError, ValueError):
    """A unit is missing, unknown, or of the wrong kind."""


class FrameError(ConspectusError, ValueError):
    """Two datasets share no frame, or a pose cannot be read or composed."""


class RegistrationError(ConspectusError, ValueError):
    """Landmarks or images do not determine the transform."""


class UncertainRegistrationError(RegistrationError):
    """Two images may not belong together, or not as found: the best transform and what speaks against it.

    Parameters
    ----------
    message : str
    registration : fusion.ImageRegistration
        The best transform found, with its verdict; it can be drawn, and used after all on the user's own word.
    """

    def __init__(self, message: str, registration: object) -> None:
        self.registration = registration
        super().__init__(message)

    def __reduce__(self) -> tuple[type[UncertainRegistrationError], tuple[str, object]]:
        return type(self), (str(self), self.registration)


class DataError(ConspectusError, ValueError):
    """The values themselves do not allow the computation: all NaN, one pixel, no overlap."""


class FileReadError(ConspectusError, OSError):
    """A file is missing, damaged, of an unknown format, or does not say what is needed.

    Parameters
    ----------
    path : path-like
        The file.
    reason : str
        What is wrong with it.
    hint : str, optional
        What the user can do about it.

    Examples
    --------
    >>> print(FileReadError("map.bcf", "the file is empty", hint="copy it again"))
    map.bcf: the file is empty; copy it again
    """

    def __init__(self, path: str | PathLike[str], reason: str, *, hint: str = "") -> None:
        self.path, self.reason, self.hint = path, reason, hint
        super().__init__("; ".join(text for text in (f"{path}: {reason}", hint) if text))

    def __reduce__(self) -> tuple[Callable[..., FileReadError], tuple[()]]:
        # Exception's own would call with the text alone: an error of a file could not leave a process pool
        return partial(type(self), self.path, self.reason, hint=self.hint), ()


class UnknownFormatError(FileReadError):
    """A file is of no format that its opener knows; the other wing may know it."""


class TruncatedFileWarning(UserWarning):
    """A measurement was stopped before its end: what there is of it is opened, with the attribute ``truncated``."""


class ChangedFileWarning(UserWarning):
    """Another program changed a file that `fusion.save` wrote: what it holds now is opened."""


class StrayCountsWarning(UserWarning):
    """A component of a sparse map is a few counts in channels that have next to none."""


class IncompleteResultWarning(UserWarning):
    """A decomposition or clustering has less than was asked for: it did not converge, or something in it is empty."""


class LargeResultWarning(UserWarning):
    """What is about to be computed takes more than 1 GB of memory."""


class StoreError(ConspectusError, OSError):
    """A dataset could not be written, or what was written does not read back the same."""
