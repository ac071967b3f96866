"""A specimen made with known truth, and the registry of measured files."""
