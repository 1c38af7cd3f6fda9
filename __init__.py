"""edgelane: from a trained vision model to a camera that can be trusted."""

__version__ = "0.1.0"
