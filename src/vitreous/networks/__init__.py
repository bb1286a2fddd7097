"""Networks by name: features that return maps, a head that answers, and a card of both."""

from vitreous.networks.build import (
    NETWORKS,
    build_network,
    default_network,
    find_design,
    rebuild_network,
)
from vitreous.networks.cards import NetworkCard
from vitreous.networks.graph import Graph, Node, capture
from vitreous.networks.network import Network
from vitreous.networks.table import network_table
from vitreous.networks.weights import Weights, find_weights

__all__ = [
    "NETWORKS",
    "Graph",
    "Network",
    "NetworkCard",
    "Node",
    "Weights",
    "build_network",
    "capture",
    "default_network",
    "find_design",
    "find_weights",
    "network_table",
    "rebuild_network",
]
