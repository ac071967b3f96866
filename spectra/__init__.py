"""spectra: everything with a spectral axis. Files, HyperSpy, cleaning, decomposition, X-ray lines."""

from spectra.baselines import baseline as baseline
from spectra.bridge import from_hyperspy as from_hyperspy
from spectra.bridge import learning_results as learning_results
from spectra.bridge import to_hyperspy as to_hyperspy
from spectra.calibration import calibrate as calibrate
from spectra.chain import clean as clean
from spectra.chain import cleaning_steps as cleaning_steps
from spectra.channels import faulty_channels as faulty_channels
from spectra.channels import fill_channels as fill_channels
from spectra.channels import mask_channels as mask_channels
from spectra.decompose import Method as Method
from spectra.decompose import decompose as decompose
from spectra.items import Content as Content
from spectra.lines import Line as Line
from spectra.lines import identify as identify
from spectra.rank import count_components as count_components
from spectra.readers import contents as contents
from spectra.readers import open as open
from spectra.regions import crop as crop
from spectra.regions import region as region
from spectra.scaling import clip as clip
from spectra.scaling import normalise as normalise
from spectra.smoothing import smooth as smooth
from spectra.spikes import despike as despike
