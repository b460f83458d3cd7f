"""A plan as JSON, a task a line: what a package carries, and what nobody needs to trust."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, NoReturn, TypeVar, get_args

from lcp_tvm.errors import PackageError, PlanError
from lcp_tvm.plan.box import Range
from lcp_tvm.plan.plan import (
    GATEWAY,
    Cost,
    Device,
    Fallback,
    Function,
    Plan,
    Policy,
    Region,
    Task,
    Tensor,
)
from lcp_tvm.plan.validate import validate

FORMAT = 1
MAX_BYTES = 32 << 20

_T = TypeVar("_T")
_Read = Callable[[Any], _T]
"""Turns JSON into what the plan holds, or raises `_Wrong`."""

_COSTS = tuple(asdict(Cost()))


def plan_json(plan: Plan) -> str:
    """Return the text of a plan, the same for equal plans."""
    rows = {
        "format": FORMAT,
        "name": plan.name,
        "split": plan.split,
        "devices": plan.devices,
        "replicas": plan.replicas,
        "policy": plan.policy,
        "inputs": plan.inputs,
        "outputs": plan.outputs,
    }
    lines = [f"{_dumps(key)}: {_dumps(value)}" for key, value in rows.items()]
    tensors = (
        f"{_dumps(name)}: {_dumps(_from_tensor(tensor))}"
        for name, tensor in sorted(plan.tensors.items())
    )
    functions = (
        f"{_dumps(name)}: {_dumps(_from_function(function))}"
        for name, function in sorted(plan.functions.items())
    )
    tasks = (_dumps(_from_task(task)) for task in plan.tasks)
    lines += [
        f'"tensors": {{{_lines(tensors)}}}',
        f'"functions": {{{_lines(functions)}}}',
        f'"tasks": [{_lines(tasks)}]',
    ]
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def parse_plan(text: bytes, where: str) -> Plan:
    """Read and check a plan; ``where`` names the file in errors.

    Raises
    ------
    PackageError
        It is no plan, of a newer format, or of a form or content that `validate` refuses.
    """
    try:
        if len(text) > MAX_BYTES:
            raise ValueError(f"it has {len(text)} bytes; allowed are {MAX_BYTES}")
        values = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
        _refuse_newer(values, where)
        plan = _plan(values)
        validate(plan)
    except (ValueError, RecursionError, PlanError) as error:
        raise PackageError(
            f"{where}: its plan is wrong: {str(error).lstrip('.: ')[:400]}; "
            "the file is corrupt, compile the network again"
        ) from error
    return plan


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(rows: Iterable[str]) -> str:
    text = ",\n  ".join(rows)
    return f"\n  {text}\n " if text else ""


def _from_tensor(tensor: Tensor) -> Any:
    return [tensor.dtype, tensor.shape]


def _from_region(region: Region) -> Any:
    return [region.tensor, region.box]


def _from_function(function: Function) -> Any:
    cost = {key: count for key, count in asdict(function.cost).items() if count}
    values: dict[str, Any] = {
        "args": list(map(_from_tensor, function.args)),
        "results": list(map(_from_tensor, function.results)),
    }
    measured = {kind: float(time) for kind, time in sorted(function.measured_ms.items())}
    optional = {"cost": cost, "measured_ms": measured, "weights": dict(function.weights)}
    return values | {key: value for key, value in optional.items() if value}


def _from_task(task: Task) -> Any:
    values: dict[str, Any] = {
        "name": task.name,
        "function": task.function,
        "reads": list(map(_from_region, task.reads)),
        "writes": list(map(_from_region, task.writes)),
    }
    fallback = task.fallback and {
        "function": task.fallback.function,
        "reads": list(map(_from_region, task.fallback.reads)),
    }
    optional = {"device": task.device, "needs": task.needs, "fallback": fallback}
    return values | {key: value for key, value in optional.items() if value is not None}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key is there twice")
    return values


def _refuse_newer(values: Any, where: str) -> None:
    found = values.get("format") if isinstance(values, dict) else None
    if type(found) is int and found > FORMAT:
        raise PackageError(
            f"{where}: format {found} of its plan is newer than {FORMAT}, the newest that this "
            "lcp-tvm reads; update lcp-tvm, or compile the network again with this one"
        )


class _Wrong(ValueError):
    """What is wrong, after where it is: ``.tasks[3].name: 5 is no text``."""


def _plan(value: Any) -> Plan:
    fields = _fields(
        value,
        {
            "format": _format,
            "name": _text,
            "split": _text,
            "devices": _int,
            "replicas": _int,
            "policy": _policy,
            "inputs": _tuple_of(_text),
            "outputs": _tuple_of(_text),
            "tensors": _map_of(_tensor),
            "functions": _map_of(_function),
            "tasks": _tuple_of(_task),
        },
    )
    del fields["format"]
    return Plan(**fields)


def _task(value: Any) -> Task:
    regions = _tuple_of(_region)
    required = {"name": _text, "function": _text, "reads": regions, "writes": regions}
    optional = {"device": _device, "needs": _int, "fallback": _fallback}
    return Task(**_fields(value, required, optional))


def _fallback(value: Any) -> Fallback:
    return Fallback(**_fields(value, {"function": _text, "reads": _tuple_of(_region)}))


def _function(value: Any) -> Function:
    tensors = _tuple_of(_tensor)
    optional = {"cost": _cost, "measured_ms": _map_of(_time), "weights": _map_of(_int)}
    return Function(**_fields(value, {"args": tensors, "results": tensors}, optional))


def _cost(value: Any) -> Cost:
    return Cost(**_fields(value, {}, dict.fromkeys(_COSTS, _int)))


def _tensor(value: Any) -> Tensor:
    dtype, shape = _pair(value)
    return Tensor(_tuple_of(_int)(shape), _text(dtype))


def _region(value: Any) -> Region:
    tensor, box = _pair(value)
    return Region(_text(tensor), _tuple_of(_range)(box))


def _range(value: Any) -> Range:
    begin, end = _pair(value)
    return _int(begin), _int(end)


def _device(value: Any) -> Device:
    return GATEWAY if value == GATEWAY else _int(value)


def _policy(value: Any) -> Any:
    return value if value in get_args(Policy) else _refuse(value, "policy")


def _fields(
    value: Any, required: Mapping[str, _Read[Any]], optional: Mapping[str, _Read[Any]] | None = None
) -> dict[str, Any]:
    """Read an object: all the required keys, and no others but the optional ones."""
    readers = {**required, **(optional or {})}
    found = _object(value)
    for key in (*required, *found):
        if key not in readers or key not in found:
            what = "not a key that is known" if key in found else "missing"
            raise _Wrong(f": key {key!r:.60} is {what}")
    return {key: _at(f".{key}", readers[key], found[key]) for key in found}


def _map_of(read: _Read[_T]) -> _Read[dict[str, _T]]:
    return lambda value: {
        key: _at(f"[{key!r:.60}]", read, item) for key, item in _object(value).items()
    }


def _tuple_of(read: _Read[_T]) -> _Read[tuple[_T, ...]]:
    return lambda value: tuple(
        _at(f"[{number}]", read, item) for number, item in enumerate(_list(value))
    )


def _at(place: str, read: _Read[_T], value: Any) -> _T:
    try:
        return read(value)
    except _Wrong as error:
        raise _Wrong(f"{place}{error}") from None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else _refuse(value, "object")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else _refuse(value, "list")


def _pair(value: Any) -> list[Any]:
    return value if isinstance(value, list) and len(value) == 2 else _refuse(value, "list of two")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _refuse(value, "text")


def _int(value: Any) -> int:
    return value if type(value) is int and abs(value) < 1 << 64 else _refuse(value, "integer")


def _time(value: Any) -> float:
    return value if type(value) is float else float(_int(value))


def _format(value: Any) -> int:
    return FORMAT if _int(value) == FORMAT else _refuse(value, f"format {FORMAT}")


def _refuse(value: Any, wanted: str) -> NoReturn:
    raise _Wrong(f": {str(value)!r:.60} is no {wanted}")
