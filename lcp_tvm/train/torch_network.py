"""A Relax network as a torch module that can be trained, and back."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
import tvm
from torch import nn
from tvm import relax

from lcp_tvm.errors import ModelError
from lcp_tvm.quantise.graph import Emit, op_name, rebuild, with_biases
from lcp_tvm.relay_passes.rewrite import is_constant
from lcp_tvm.train.fake_quantise import fake_quantise
from lcp_tvm.train.layer import Layer, QuantisedLayer, Slope
from lcp_tvm.train.operators import Builder, build
from lcp_tvm.train.products import build_product
from lcp_tvm.train.program import Program, evaluate, tensor
from lcp_tvm.train.side_by_side import side_by_side
from lcp_tvm.train.sites import Place, Site, bindings_of, find_pairs, find_sites, find_slopes


def to_torch(module: tvm.IRModule) -> TorchNetwork:
    """Return the torch form of ``main``, float Relax after `clean_up`.

    Raises
    ------
    ModelError
        An operator has no torch form, or mixes the pictures of a batch.
    """
    return TorchNetwork(with_biases(module))


def to_relax(module: tvm.IRModule, network: TorchNetwork) -> tvm.IRModule:
    """Return ``module`` with the numbers that ``network``, made from it, has learnt.

    Every layer has a bias then; norms are folded into weights and biases.
    """
    module = with_biases(module)
    bindings = bindings_of(module)
    new: dict[tuple[str, int], relax.Expr] = {}

    def put(place: Place, value: torch.Tensor, shape: Sequence[int]) -> None:
        array = place.store(value.detach().cpu().numpy())
        new[place.binding, place.argument] = relax.const(np.ascontiguousarray(array).reshape(shape))

    for site in find_sites(bindings):
        weight, bias = network.layers[site.product].in_relax()
        put(site.weight, weight, site.weight.stored.shape)
        put(site.bias, bias, _bias_shape(site))
    for name, place in find_slopes(bindings).items():
        put(place, network.slopes[name].weight, place.stored.shape)

    def rewrite(name: str, expr: relax.Expr, emit: Emit) -> relax.Expr:
        if isinstance(expr, relax.Call):
            args = [new.get((name, index), arg) for index, arg in enumerate(expr.args)]
            expr = relax.Call(expr.op, args, expr.attrs, expr.ty_args)
        return emit(expr, name)

    return rebuild(module, rewrite)


def _bias_shape(site: Site) -> tuple[int, ...]:
    """The constant's own shape, unless one number stood for all channels."""
    if site.bias.stored.size == site.channels:
        return site.bias.stored.shape
    return (site.channels,) if site.weight.stored.ndim == 2 else (1, site.channels, 1, 1)


class TorchNetwork(nn.Module):
    """The torch form of ``main``: a picture batch [N, C, H, W] to [N, classes], any N.

    Weights and biases of layers and slopes of PReLUs are parameters, named after the Relax
    variable; all other constants are buffers, which no checkpoint has.

    Attributes
    ----------
    layers : by the Relax variable of the product, in order of computation.
    slopes : by the Relax variable of the PReLU.
    text : of all operators and what they read, without numbers.
    """

    layers: Mapping[str, Layer]
    slopes: Mapping[str, Slope]
    text: str

    def __init__(self, module: tvm.IRModule, builder: Builder = build) -> None:
        """Every layer of ``module`` has a bias (`with_biases`); ``builder`` knows its operators."""
        super().__init__()
        function, bindings = module["main"], bindings_of(module)
        sites = {site.sum: site for site in find_sites(bindings)}
        layers = {site.product: _layer(site, bindings[site.product]) for site in sites.values()}
        slopes = {
            name: Slope(build(name, bindings[name]), tensor(place.value))
            for name, place in find_slopes(bindings).items()
        }
        # A colon keeps names of variables and attributes of nn.Module apart.
        for name, part in (layers | slopes).items():
            self.add_module(f"{name}:", part)
        self.layers, self.slopes = layers, slopes

        program = Program(builder, {function.params[0].name: 0})
        pairs = find_pairs(bindings)
        inside = _inside(sites.values(), pairs.values())
        for name, expr in bindings.items():
            if name in sites:
                product = sites[name].product
                layer = layers[product]
                kind = None if isinstance(layer, QuantisedLayer) else layer.product.kind
                program.add(name, layer, bindings[product].args[0], kind=kind)
                program.places[product] = program.places[name]
            elif name in slopes:
                program.add(name, slopes[name], expr.args[0])
            elif name in pairs:
                quantised, bits = pairs[name]
                rounded = functools.partial(fake_quantise, bits=bits)
                program.add(name, rounded, bindings[quantised].args[0])
            elif name not in inside:
                program.bind(name, expr)
        self._constants = nn.ModuleList(program.constants)
        self._apart, self._places = program.steps, program.places
        self._steps = side_by_side(program.steps)
        if not isinstance(function.body.body, relax.Var):
            raise ModelError("cannot train a network of several results; export it with one")
        self._result = program.places[function.body.body.name]
        self._scores = program.places[_scores(bindings, function.body.body.name)]
        self.text = _text(bindings)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = evaluate(self._steps, x, (self._result,))[self._result]
        return result

    def values(self, x: torch.Tensor, names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return variables by name, and the network's scores under "".

        Scores are its result, or what a softmax makes the result of: losses have their own. A
        product's name stands for its layer: the sum with the bias.

        Raises
        ------
        ModelError
            The network has no such variable, or it is inside of a layer.
        """
        for name in names:
            if name not in self._places:
                raise ModelError(f"the network computes no {name!r}; it has {list(self._places)}")
        places = {**{name: self._places[name] for name in names}, "": self._scores}
        values = evaluate(self._steps, x, places.values())
        return {name: values[place] for name, place in places.items()}

    def operands(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return what each layer reads, by its name."""
        places = {
            name: step.operands[0]
            for step in self._apart
            for name, layer in self.layers.items()
            if step.compute is layer
        }
        values = evaluate(self._apart, x, places.values())
        return {name: values[place] for name, place in places.items()}


def _scores(bindings: Mapping[str, relax.Expr], result: str) -> str:
    """Return the variable with the scores: the operand of a last softmax over classes."""
    made = bindings.get(result)
    while isinstance(made, relax.Var):
        result, made = made.name, bindings.get(made.name)
    if isinstance(made, relax.Call) and op_name(made) == "nn.softmax":
        (operand,) = made.args
        if isinstance(operand, relax.Var) and int(made.attrs.axis) in (-1, 1):
            result = operand.name
    return result


def _text(bindings: Mapping[str, relax.Expr]) -> str:
    """Return what tells networks with the same numbers apart: operators and their attributes."""
    lines = []
    for name, expr in bindings.items():
        text = str(expr)
        if isinstance(expr, relax.Call):
            args = ["a number" if is_constant(arg) else str(arg) for arg in expr.args]
            text = f"{op_name(expr)} of {args}, {expr.attrs}"
        lines.append(f"{name} = {text}")
    return "\n".join(lines)


def _inside(sites: Iterable[Site], pairs: Iterable[tuple[str, int]]) -> set[str]:
    """Return the bindings that a layer, or what rounds to int8, does with its own."""
    places = {place.binding for site in sites for place in (site.weight, site.bias)}
    own = {name for site in sites for name in (site.product, *places)}
    return own.union(quantised for quantised, _ in pairs)


def _layer(site: Site, call: relax.Call) -> Layer:
    product, weight = build_product(site.product, call), tensor(site.weight.value)
    bias = tensor(np.broadcast_to(site.bias.value.reshape(-1), (site.channels,)))
    if site.weight.bits is None:
        return Layer(product, weight, bias)
    grid = site.accumulator if site.bias.bits is None else site.bias.bits
    return QuantisedLayer(product, weight, bias, site.weight.bits, grid)
