"""Images of localisations; particles found in volumes, and how they lie to each other."""
