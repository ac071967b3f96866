"""conspectus: the application. One function opens every file; a command line, recipes and reports over the others."""

from conspectus.opening import open

__all__ = ["open"]


def __dir__() -> list[str]:
    return __all__
