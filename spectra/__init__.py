"""spectra: everything with a spectral axis. Files, HyperSpy, cleaning, decomposition, lines, composition."""

from spectra.bridge import from_hyperspy as from_hyperspy
from spectra.bridge import to_hyperspy as to_hyperspy
from spectra.clean import baseline as baseline
from spectra.clean import clip as clip
from spectra.clean import crop as crop
from spectra.clean import despike as despike
from spectra.decompose import Method as Method
from spectra.decompose import decompose as decompose
from spectra.elements import Element as Element
from spectra.elements import find_elements as find_elements
from spectra.fit import fit_lines as fit_lines
from spectra.items import Content as Content
from spectra.joint import decompose_jointly as decompose_jointly
from spectra.lines import Candidate as Candidate
from spectra.lines import identify as identify
from spectra.maps import band_map as band_map
from spectra.maps import line_map as line_map
from spectra.quantify import quantify as quantify
from spectra.rank import count_components as count_components
from spectra.readers import contents as contents
from spectra.readers import open as open
