"""Spectra in a volume, and what is asked of them."""
