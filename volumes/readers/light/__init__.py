"""Formats of light microscopes."""
