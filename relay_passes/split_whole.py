"""Not split at all: one task that computes the whole network."""

from __future__ import annotations

from lcp_tvm.relay_passes.network_graph import NetworkGraph
from lcp_tvm.relay_passes.piece import carve
from lcp_tvm.relay_passes.split import Split, SplitBuilder, computed_outputs, whole


def split_whole(graph: NetworkGraph, name: str, replicas: int = 1) -> Split:
    """Return one task a frame; with replicas, frames take turns on so many devices.

    Parameters
    ----------
    replicas : data parallelism: each device holds the whole network (LCP, Figure 4a).
    """
    builder = SplitBuilder(graph)
    outputs = computed_outputs(graph)
    if outputs:
        piece = carve(graph, whole(graph, outputs), graph.inputs)
        builder.add("network", piece, function="network", device=0)
    text = "none" if replicas == 1 else f"replicate:{replicas}"
    return builder.finish(name, text, replicas=replicas)
