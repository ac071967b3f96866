"""spectra: everything with a spectral axis. Files, HyperSpy, cleaning, decomposition, X-ray lines."""

from spectra.bootstrap import bootstrap as bootstrap
from spectra.bridge import from_hyperspy as from_hyperspy
from spectra.bridge import to_hyperspy as to_hyperspy
from spectra.clean import baseline as baseline
from spectra.clean import clip as clip
from spectra.clean import crop as crop
from spectra.clean import despike as despike
from spectra.cluster import cluster as cluster
from spectra.decompose import Method as Method
from spectra.decompose import decompose as decompose
from spectra.items import Content as Content
from spectra.lines import Line as Line
from spectra.lines import identify as identify
from spectra.pictures import scree as scree
from spectra.pictures import similarities as similarities
from spectra.rank import count_components as count_components
from spectra.readers import contents as contents
from spectra.readers import open as open
from spectra.stability import stability as stability
from spectra.unmix import unmix as unmix
