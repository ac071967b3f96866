"""conspectus: the application. One door for every file, a command line, recipes and reports over the other packages."""

from conspectus.door import open

__all__ = ["open"]


def __dir__() -> list[str]:
    return __all__
