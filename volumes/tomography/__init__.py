"""How projections sit on a volume."""
