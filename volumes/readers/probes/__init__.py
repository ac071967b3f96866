"""Formats of scanning probes."""
