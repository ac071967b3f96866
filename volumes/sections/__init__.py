"""Profiles along lines and planes at any angle."""
