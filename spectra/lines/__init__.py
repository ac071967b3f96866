"""X-ray lines and Raman bands: names, maps, fits, composition."""
