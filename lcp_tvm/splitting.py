"""From what ``--split`` says to a plan and its functions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import tvm
from tvm import relax

from lcp_tvm.errors import InputError, ModelError, PlanError
from lcp_tvm.lower import WHOLE
from lcp_tvm.network import Network
from lcp_tvm.plan.box import full_box
from lcp_tvm.plan.plan import ITEM_SIZE, Function, Plan, Region, Task, Tensor
from lcp_tvm.predict.cluster_file import load_cluster
from lcp_tvm.quantise import is_qdq
from lcp_tvm.relay_passes.lcp_branches import split_lcp_network
from lcp_tvm.relay_passes.network_graph import NetworkGraph, read_graph
from lcp_tvm.relay_passes.split import Split
from lcp_tvm.relay_passes.split_auto import split_auto
from lcp_tvm.relay_passes.split_ftp import split_ftp
from lcp_tvm.relay_passes.split_layers import split_layers
from lcp_tvm.relay_passes.split_lcp import branch_ends, split_lcp
from lcp_tvm.relay_passes.split_pipeline import split_pipeline
from lcp_tvm.relay_passes.split_strips import split_strips
from lcp_tvm.relay_passes.split_whole import split_whole
from lcp_tvm.split_text import Auto, Ftp, Layers, Lcp, Pipeline, SplitSpec, Strips, Whole


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A plan and its functions in Relax, by the names that the plan calls them by."""

    plan: Plan
    functions: tvm.IRModule


def plan_network(module: tvm.IRModule, name: str, spec: SplitSpec) -> Planned:
    """Split a network that is in the form it will be compiled in.

    Raises
    ------
    PlanError
        The network cannot be split so.
    InputError
        There is no cluster for ``auto``, or it cannot be read.
    """
    try:
        split = make_split(graph_of(module), name, spec)
    except PlanError:
        if spec != Whole():
            raise
        return _opaque(module, name)
    return Planned(split.plan, split.module())


def graph_of(module: tvm.IRModule) -> NetworkGraph:
    """Read a network that is to be split, as `read_graph`.

    Raises
    ------
    ModelError
        It computes nothing: there are no tasks to be planned.
    """
    graph = read_graph(module)
    if len(graph.nodes) == len(graph.inputs):
        raise ModelError("the network computes nothing: its result is its input")
    return graph


def make_split(graph: NetworkGraph, name: str, spec: SplitSpec) -> Split:
    """Return the split that a text stands for."""
    match spec:
        case Whole(replicas):
            return split_whole(graph, name, replicas)
        case Lcp(branches, fatten):
            return split_lcp(graph, name, lcp_text(branches, fatten))
        case Ftp(rows, columns, depth, reuse):
            return split_ftp(graph, name, (rows, columns), depth, reuse=reuse)
        case Layers(devices, mode):
            return split_layers(graph, name, devices, mode=mode)
        case Strips(devices, depth):
            return split_strips(graph, name, devices, depth)
        case Pipeline(devices):
            return split_pipeline(graph, name, devices)
        case Auto(Path() as cluster, minimise):
            return split_auto(graph, name, load_cluster(cluster), minimise).split
        case Auto():
            raise InputError("--split auto splits for a cluster; give it with --cluster FILE.toml")


def lcp_network(network: Network, spec: Lcp) -> Network:
    """Replace a network by its LCP branches; one that has them already stays as it is.

    Raises
    ------
    PlanError
        The network cannot be divided into so many branches, or has another number of them.
    """
    if count_branches(network) == spec.branches:
        return network
    check_divisible(network, spec)
    module = split_lcp_network(network.module, spec.branches, fatten=spec.fatten).module
    message = (
        "lcp: the branches begin with the network's most important channels; train them "
        "(--export-onnx writes them) before you trust an answer"
    )
    return replace(network, module=module, messages=(*network.messages, message))


def check_divisible(network: Network, spec: Lcp) -> None:
    """Refuse a network that has branches already, or is quantised.

    Raises
    ------
    PlanError
        It is so.
    """
    found = count_branches(network)
    if found:
        raise PlanError(
            f"{lcp_text(spec.branches, spec.fatten)}: the model has {found} branches already; "
            f"say lcp:{found}, or take the model that they were made of"
        )
    if is_qdq(network.module):
        raise PlanError("lcp: the model is quantised already; give the float model")


def count_branches(network: Network) -> int:
    """Count the branches that a model has, 0 for one that was never split."""
    try:
        return len(branch_ends(read_graph(network.module)))
    except PlanError:
        return 0


def lcp_text(branches: int, fatten: float) -> str:
    """Return what ``--split`` says for so many branches."""
    return f"lcp:{branches}" + (f"+{fatten:g}%" if fatten else "")


def _opaque(module: tvm.IRModule, name: str) -> Planned:
    """Plan a network of operators that no split knows: one task, of unknown cost."""
    main = module["main"]
    result = main.ret_ty
    types = list(result.fields) if isinstance(result, relax.TupleType) else [result]
    args = tuple(_tensor(param.ty) for param in main.params)
    results = tuple(map(_tensor, types))
    inputs = tuple(str(param.name) for param in main.params)
    outputs = tuple(f"{WHOLE}_{number}" for number in range(len(results)))
    tensors = dict(zip((*inputs, *outputs), (*args, *results), strict=True))
    task = Task(
        WHOLE,
        WHOLE,
        tuple(Region(name, full_box(tensors[name].shape)) for name in inputs),
        tuple(Region(name, full_box(tensors[name].shape)) for name in outputs),
        device=0,
    )
    plan = Plan(name, "none", tensors, inputs, outputs, {WHOLE: Function(args, results)}, (task,))
    function = main.with_attr("global_symbol", WHOLE)
    return Planned(plan, tvm.IRModule({WHOLE: function}))


def _tensor(kind: relax.Type) -> Tensor:
    if not isinstance(kind, relax.TensorType) or str(kind.dtype) not in ITEM_SIZE:
        raise PlanError(f"an input or output of the network is a {kind}, not a tensor")
    try:
        return Tensor(tuple(int(size) for size in kind.shape), str(kind.dtype))
    except TypeError as error:
        raise PlanError(f"the shape of an input or output is not known: {kind}") from error
