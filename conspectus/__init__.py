"""conspectus: the application. One function opens any file, one writes for any program; a command line and recipes."""

from conspectus.opening import export, open

__all__ = ["export", "open"]


def __dir__() -> list[str]:
    return __all__
