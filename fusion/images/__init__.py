"""Images brought onto one another: search, refinement, verdict and error; a section found in a volume."""
