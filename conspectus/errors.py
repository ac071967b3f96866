"""The error of the application itself."""

from fusion.errors import ConspectusError


class RecipeError(ConspectusError, ValueError):
    """A recipe is not valid TOML, has a key or value that is not allowed, or names something that is not there."""
