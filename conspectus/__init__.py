"""conspectus: the application. Command line, recipes and reports over fusion, spectra and volumes."""
