"""Several hubs as one, pure: packets and times in, commands and parcels out. `Cluster` is the door."""

from __future__ import annotations

from agentbus.hub.core.cluster.cluster import Cluster, Home
from agentbus.hub.core.cluster.links import ClusterTimes, Parcel

__all__ = ["Cluster", "ClusterTimes", "Home", "Parcel"]
