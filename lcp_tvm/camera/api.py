"""All that the page shows and does, as JSON under ``/api/``, and a description of it.

One table of commands makes handlers and description, so that neither can differ from the other.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from lcp_tvm.camera.controls import Controls, State
from lcp_tvm.camera.hub import Caption
from lcp_tvm.camera.schema import Schema, reference_to, schemas_of
from lcp_tvm.errors import LcpError
from lcp_tvm.facts import FactsError, facts_of, from_facts


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a request, and what to do."""

    error: str


@dataclass(frozen=True, slots=True)
class SplitChoice:
    """The split that is to compute."""

    split: str


@dataclass(frozen=True, slots=True)
class SourceChoice:
    """The source that frames are to come from."""

    source: str


@dataclass(frozen=True, slots=True)
class Pausing:
    """Whether to stop computing frames."""

    paused: bool


@dataclass(frozen=True, slots=True)
class BoardUse:
    """Whether to go on without a board."""

    board: str
    left_out: bool


@dataclass(frozen=True, slots=True)
class Command:
    """Something that can be asked for: a POST with a body of one kind."""

    path: str
    summary: str
    body: type
    act: Callable[[Controls, Any], Awaitable[None]]


async def _switch(controls: Controls, body: SplitChoice) -> None:
    await controls.switch(body.split)


async def _choose_source(controls: Controls, body: SourceChoice) -> None:
    await controls.choose_source(body.source)


async def _pause(controls: Controls, body: Pausing) -> None:
    await controls.pause(body.paused)


async def _use_board(controls: Controls, body: BoardUse) -> None:
    await (controls.leave_out if body.left_out else controls.take_back)(body.board)


COMMANDS = (
    Command("/api/split", "Compute by another split", SplitChoice, _switch),
    Command("/api/source", "Take frames from another source", SourceChoice, _choose_source),
    Command("/api/pause", "Stop computing frames, or go on", Pausing, _pause),
    Command("/api/board", "Go on without a board, or take it back", BoardUse, _use_board),
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a request: HTTP status, and a dataclass that is its JSON."""

    status: int
    body: State | Problem


async def obey(controls: Controls, command: Command, content_type: str, body: bytes) -> Reply:
    """Carry out a command; the reply is the state thereafter, or what is wrong."""
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return Reply(415, Problem("send JSON, with Content-Type: application/json"))
    try:
        wanted: Any = from_facts(command.body, json.loads(body))
    except (FactsError, ValueError, RecursionError) as error:
        return Reply(400, Problem(f"not a {command.body.__name__}: {error}"))
    try:
        await command.act(controls, wanted)
    except LcpError as error:
        return Reply(409, Problem(str(error)))
    return Reply(200, controls.state())


def describe(version: str) -> Schema:
    """Return the API's OpenAPI description.

    Parameters
    ----------
    version : of lcp-tvm.
    """
    reads: dict[str, Schema] = {
        "/api/state": _get("What the camera does, and what its boards did", State),
        "/api/result": _get("What the network says of the newest frame", Caption, empty=True),
        "/api/frame.jpg": {
            "get": {
                "summary": "The newest frame",
                "responses": {
                    "200": {"description": "A picture", "content": {"image/jpeg": {}}},
                    "404": _content("No frame has been answered yet", Problem),
                },
            }
        },
    }
    bodies = [command.body for command in COMMANDS]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lcp-tvm camera",
            "version": version,
            "description": "A live camera whose frames are answered by several boards together. "
            "Where the page needs a token, send it as Authorization: Bearer.",
        },
        "paths": reads | {command.path: {"post": _post(command)} for command in COMMANDS},
        "components": {
            "schemas": schemas_of([State, Caption, Problem, *bodies]),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _get(summary: str, kind: type, *, empty: bool = False) -> Schema:
    responses = {"200": _content(summary, kind)}
    if empty:
        responses["404"] = _content("No frame has been answered yet", Problem)
    return {"get": {"summary": summary, "responses": responses}}


def _post(command: Command) -> Schema:
    return {
        "summary": command.summary,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": reference_to(command.body)}},
        },
        "responses": {
            "200": _content("The state thereafter", State),
            "400": _content("Not JSON of this form", Problem),
            "409": _content("It cannot be done", Problem),
            "415": _content("Another type of content than JSON", Problem),
        },
    }


def _content(text: str, kind: type) -> Schema:
    return {
        "description": text,
        "content": {"application/json": {"schema": reference_to(kind)}},
    }


def to_json(value: Any) -> str:
    """Return a dataclass as JSON."""
    return json.dumps(facts_of(value), allow_nan=False)
