"""conspectus: the application. Command line, recipes and reports over fusion, spectra and volumes."""

__all__ = []


def __dir__() -> list[str]:
    return __all__
