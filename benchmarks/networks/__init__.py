"""Well-known networks as graphs without weights, for what depends on shapes alone."""

from .registry import NETWORKS, Network, build_network

__all__ = ["NETWORKS", "Network", "build_network"]
