"""Steps that clean spectra, one in a file, and the chain of them."""
