"""Images of localisations."""
