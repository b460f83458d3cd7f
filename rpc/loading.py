"""Whether a node can run modules of a package, and bringing them there."""

from __future__ import annotations

from collections.abc import Mapping

from lcp_tvm.cpu.processor import PROCESSORS
from lcp_tvm.cpu.target import compile_for
from lcp_tvm.errors import ConfigError, LcpError, PackageError, WorkerError
from lcp_tvm.manifest import Module
from lcp_tvm.package import Package
from lcp_tvm.plan.plan import Plan
from lcp_tvm.rpc.control import PROTOCOL, Facts, Node

Modules = Mapping[str, Module]
_ANY_BOARD = "none"
_MIB = 1 << 20


def check_node(name: str, facts: Facts, modules: Modules, plan: Plan) -> None:
    """See whether a node can run modules of a plan.

    Raises
    ------
    WorkerError
        It speaks another protocol, or has too little memory.
    PackageError
        A module is for another processor.
    ConfigError
        A module's programs are for another VTA.
    """
    if facts.protocol != PROTOCOL:
        raise WorkerError(
            f"{name}: it speaks version {facts.protocol} of the protocol, this is {PROTOCOL}; "
            "install the same lcp-tvm on both"
        )
    needed = 0
    peaks = [0]
    for module in modules.values():
        if not PROCESSORS[module.processor].runs_on(facts.processor):
            advice = compile_for(module.target, facts.processor)
            raise PackageError(
                f"{name}: its processor is {facts.processor}, the package was compiled for "
                f"{module.target} on {module.processor}; {advice}"
            )
        config = None if module.config is None else str(module.config.get("NAME"))
        if config is not None and facts.config not in (config, _ANY_BOARD):
            raise ConfigError(
                f"{name}: it has the VTA {facts.config}, the package was compiled for {config}; "
                "another board; compile the network for its config"
            )
        needed += module.so.size + (0 if module.vta is None else module.vta.size)
        peaks += [plan.functions[function].cost.peak_bytes for function in module.functions]
    needed += max(peaks)
    if needed > facts.free_bytes:
        raise WorkerError(
            f"{name}: it has {facts.free_bytes / _MIB:,.1f} MiB free and needs "
            f"{needed / _MIB:,.1f}; give it more --memory, or split the network further"
        )


def load(node: Node, package: Package, modules: Modules) -> None:
    """Bring a node the files of modules, and have it load them.

    Raises
    ------
    WorkerError, PackageError, ConfigError
        The node is gone, or cannot load a module.
    """
    files: dict[str, bytes] = {}
    for code in package.code(modules):
        module = modules[code.name]
        files[module.so.sha256] = code.so
        if module.vta is not None and code.vta is not None:
            files[module.vta.sha256] = code.vta
    node.upload(files)
    for name, module in modules.items():
        vta = None if module.vta is None else module.vta.sha256
        try:
            node.load(name, module.functions, module.so.sha256, vta)
        except LcpError as error:
            raise type(error)(f"{package.path}: module {name}: {error}") from error
