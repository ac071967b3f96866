"""spectra: everything with a spectral axis. Files, HyperSpy, cleaning, decomposition, X-ray lines."""

from spectra.decompose import decompose as decompose
from spectra.items import Content as Content
from spectra.readers import contents as contents
from spectra.readers import open as open
