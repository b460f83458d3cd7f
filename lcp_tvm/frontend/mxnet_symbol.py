"""MXNet's ``-symbol.json`` files: operators in an order that is right one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

from lcp_tvm.bounded_file import read_bounded
from lcp_tvm.errors import InputError

MAX_BYTES = 64 << 20
MAX_NODES = 1 << 14
"""Several times those of the model zoo's deepest network; more would take minutes."""

VARIABLE = "null"


@dataclass(frozen=True, slots=True)
class Operator:
    """A node.

    Attributes
    ----------
    op : operator; ``null`` is a variable: the input, a weight, a label.
    inputs : names of the nodes that it reads.
    attributes : texts, as the file has them.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    attributes: Mapping[str, str]

    def text(self, key: str, default: str = "") -> str:
        return self.attributes.get(key, default)

    def flag(self, key: str, *, default: bool) -> bool:
        value = self.attributes.get(key)
        return default if value is None else value in ("True", "true", "1")

    def number(self, key: str, default: float) -> float:
        value = self.attributes.get(key, str(default))
        try:
            number = float(value)
        except ValueError:
            number = nan
        if isnan(number):
            raise InputError(f"{self.label}: {key} is {value[:40]!r}, not a number")
        return number

    def integers(self, key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Numbers of a text such as ``(3, 3)``."""
        value = self.attributes.get(key)
        if value is None or value in ("()", "[]", "None"):
            return default
        if not re.fullmatch(r"[(\[]?\s*-?\d{1,9}L?(\s*,\s*-?\d{1,9}L?)*\s*,?\s*[)\]]?", value):
            raise InputError(f"{self.label}: {key} is {value[:40]!r}, not a list of numbers")
        return tuple(int(number) for number in re.findall(r"-?\d+", value))

    @property
    def label(self) -> str:
        """For messages."""
        return f"{self.op} at node {self.name!r}"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A network: operators in order, and the name of the one whose first output is the result."""

    operators: tuple[Operator, ...]
    result: str


def read_symbol(path: Path) -> Symbol:
    """Read a ``-symbol.json`` file.

    Raises
    ------
    InputError
        It cannot be read, or is no such file.
    """
    data = read_bounded(path, MAX_BYTES)
    try:
        return parse_symbol(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse_symbol(data: bytes) -> Symbol:
    """Check the text of a symbol and read it.

    Raises
    ------
    InputError
        It is no symbol of a network with one result.
    """
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not a symbol of MXNet: no JSON ({error})") from error
    nodes = values.get("nodes") if isinstance(values, dict) else None
    heads = values.get("heads") if isinstance(values, dict) else None
    if not isinstance(nodes, list) or not isinstance(heads, list) or not nodes:
        raise InputError("not a symbol of MXNet: it has no nodes or no heads")
    if len(nodes) > MAX_NODES:
        raise InputError(f"{len(nodes)} nodes, more than {MAX_NODES}; it is damaged")
    operators: list[Operator] = []
    names: set[str] = set()
    for number, node in enumerate(nodes):
        operator = _operator(number, node, operators)
        if operator.name in names:
            raise InputError(f"two nodes are called {operator.name!r}")
        names.add(operator.name)
        operators.append(operator)
    if len(heads) != 1:
        raise InputError(f"{len(heads)} results; a network has one: export it without the others")
    return Symbol(tuple(operators), _source(heads[0], operators, "its result"))


def _operator(number: int, node: Any, before: list[Operator]) -> Operator:
    if not isinstance(node, dict):
        raise InputError(f"node {number} is no object; it is damaged")
    op, name, inputs = node.get("op"), node.get("name"), node.get("inputs", [])
    # Versions before 1.0 call them otherwise.
    attributes = node.get("attrs", node.get("attr", node.get("param", {})))
    if not isinstance(op, str) or not isinstance(name, str) or not isinstance(inputs, list):
        raise InputError(f"node {number} has no operator, name or inputs; it is damaged")
    if not isinstance(attributes, dict) or not all(
        isinstance(value, str) for value in attributes.values()
    ):
        raise InputError(f"node {name!r}: attributes that are no texts; it is damaged")
    sources = tuple(_source(entry, before, f"node {name!r}") for entry in inputs)
    return Operator(op, name, sources, attributes)


def _source(entry: Any, operators: list[Operator], reader: str) -> str:
    """The name of the node that an entry ``[node, output, version]`` stands for."""
    if (
        not isinstance(entry, list)
        or len(entry) < 2
        or not all(isinstance(value, int) for value in entry)
        or not 0 <= entry[0] < len(operators)
    ):
        raise InputError(f"{reader} reads {str(entry)[:40]}, no node before it; it is damaged")
    if entry[1] != 0:
        raise InputError(
            f"{reader} reads output {entry[1]} of {operators[entry[0]].label}; only first outputs "
            "are supported"
        )
    return operators[entry[0]].name
