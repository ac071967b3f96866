"""Heights of surfaces."""
