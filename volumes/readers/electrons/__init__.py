"""Formats of electron microscopes."""
