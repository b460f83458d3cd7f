"""What becomes of frames: events in, orders out; whoever carries the orders out does the waiting.

    submit --> waiting --Begin--> running --done--> Done
                  ^                  |----failed, too late, too many attempts--> Fail
                  `---- a node that the frame needs is lost: End, and again ----'

    working --lost--> returning --restored--> working
       |                 |  ^---take_back--- lost, after given_up
       `---leave_out-----`---> left out --take_back--> returning

A frame waits for its turn, for a route that all nodes know, and for nodes that are being restored.
Every frame that is submitted ends in one Done or Fail, unless it is cancelled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lcp_tvm.errors import WorkerError
from lcp_tvm.rpc.routes import ANYWHERE, Route, Router

MAX_ATTEMPTS = 3
"""A frame that so many nodes were lost under may be what ends them."""

NOT_BEGUN = -1
LEFT_OUT = "it was left out"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a frame begins with: tensors, or the name under which its source keeps them."""

    tensors: tuple[Any, ...] = ()
    kept: str = ""


@dataclass(slots=True, eq=False)
class Frame:
    """A frame, from its submission until its end.

    Attributes
    ----------
    source : the node that it comes from; None leaves that open.
    timeout_s : for messages.
    turn : its number among all frames.
    number : what nodes call it now; another one whenever it begins again.
    """

    inputs: Inputs
    source: int | None
    timeout_s: float
    turn: int = 0
    number: int = NOT_BEGUN
    route: Route | None = None
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin a frame, by its number and route."""

    frame: Frame
    number: int
    route: Route


@dataclass(frozen=True, slots=True)
class End:
    """Have all nodes forget a frame."""

    number: int


@dataclass(frozen=True, slots=True)
class Done:
    """A frame is computed."""

    frame: Frame
    outputs: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Fail:
    """A frame is not computed any more."""

    frame: Frame
    error: WorkerError


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell all nodes of a route, then say `Frames.announced`."""

    route: Route


@dataclass(frozen=True, slots=True)
class Restore:
    """Try to get a node back, then say `Frames.restored` or `Frames.given_up`."""

    node: int


Order = Begin | End | Done | Fail | Announce | Restore

NodeState = Literal["working", "left out", "lost", "returning"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with a node; ``reason``: why it does not work, empty for one that does."""

    name: str
    state: NodeState
    reason: str


@dataclass(slots=True, eq=False)
class Frames:
    """All frames of a run. Methods take what has happened, and return what to do about it.

    Attributes
    ----------
    names : of the nodes.
    gateway : its number.
    limit : frames that run at a time.
    """

    router: Router
    names: tuple[str, ...]
    gateway: int
    limit: int
    _waiting: deque[Frame] = field(default_factory=deque)
    _running: dict[int, Frame] = field(default_factory=dict)
    _announced: dict[Route, bool] = field(default_factory=dict)
    _to_restore: deque[int] = field(default_factory=deque)
    _left_out: set[int] = field(default_factory=set)
    _submitted: int = 0
    _begun: int = 0

    def submit(self, frame: Frame) -> list[Order]:
        """Take a new frame."""
        frame.turn = self._submitted
        self._submitted += 1
        self._waiting.append(frame)
        return self._advance()

    def done(self, number: int, outputs: Sequence[Any]) -> list[Order]:
        """The outputs of a frame have come."""
        frame = self._running.pop(number, None)
        return [Done(frame, outputs), *self._advance()] if frame is not None else []

    def failed(self, number: int, node: int, reason: str) -> list[Order]:
        """A node cannot compute a frame."""
        frame = self._running.pop(number, None)
        if frame is None:
            return []
        error = WorkerError(f"{self._name(node)}: {reason}")
        return [End(number), Fail(frame, error), *self._advance()]

    def expire(self, frame: Frame, silent: Iterable[int] = ()) -> list[Order]:
        """A frame's time is over.

        Parameters
        ----------
        silent : nodes that do not answer, though they are not lost yet.
        """
        used = [node for node in range(len(self.names)) if self._uses(frame, node)]
        blamed = [self.names[node] for node in used if node in {*self._to_restore, *silent}]
        at = f"{', '.join(blamed)}: " if blamed else ""
        all_answer = bool(frame.route) and not blamed
        of = f" from {', '.join(self.names[node] for node in used)}" if all_answer else ""
        error = WorkerError(
            f"{at}no result of frame {frame.turn} within {frame.timeout_s:g} s{of}; "
            "allow more time, or see what the devices are doing"
        )
        return [Fail(frame, error), *self.cancel(frame)]

    def cancel(self, frame: Frame) -> list[Order]:
        """Nobody waits for a frame any more."""
        if self._running.pop(frame.number, None) is not None:
            return [End(frame.number), *self._advance()]
        if frame in self._waiting:
            self._waiting.remove(frame)
        return []

    def link(self, node: int, peer: int) -> list[Order]:
        """Two nodes have lost their connection: one of them has to be set up again."""
        if {node, peer} & self.router.lost:
            return []
        gone, other = (node, peer) if peer == self.gateway else (peer, node)
        return self.lost(gone, f"its connection to {self.names[other]} broke")

    def lost(self, node: int, reason: str) -> list[Order]:
        """A node is gone, or silent."""
        if node in self.router.lost:
            return []
        return [*self._lose(node, reason), *self._to_be_restored(node), *self._advance()]

    def leave_out(self, node: int) -> list[Order]:
        """Do without a node until it is taken back."""
        self._left_out.add(node)
        if node not in self.router.lost:
            return [*self._lose(node, LEFT_OUT), *self._advance()]
        self.router.lose(node, LEFT_OUT)
        under_way = list(self._to_restore)[:1]  # that attempt comes to an end by itself
        others = (other for other in list(self._to_restore)[1:] if other != node)
        self._to_restore = deque([*under_way, *others])
        return self._advance()

    def take_back(self, node: int) -> list[Order]:
        """Get a node back that was left out, or was given up."""
        self._left_out.discard(node)
        if node not in self.router.lost or node in self._to_restore:
            return []
        return self._to_be_restored(node)

    def is_left_out(self, node: int) -> bool:
        return node in self._left_out

    def standing(self, node: int) -> Standing:
        """Return how it stands with a node."""
        state: NodeState = "working"
        if node in self._left_out:
            state = "left out"
        elif node in self._to_restore:
            state = "returning"
        elif node in self.router.lost:
            state = "lost"
        return Standing(self.names[node], state, self.router.reason(node))

    def _lose(self, node: int, reason: str) -> list[Order]:
        """Take frames from a node, which begin again elsewhere."""
        self.router.lose(node, reason)
        for route, is_known in self._announced.items():
            if not is_known and self._takes_part(route, node):
                self.router.forget(route)  # nobody can say whether it was told
        orders: list[Order] = []
        again: list[Frame] = []
        for number, frame in list(self._running.items()):
            if not self._uses(frame, node):
                continue
            del self._running[number]
            orders.append(End(number))
            if frame.attempts >= MAX_ATTEMPTS:
                text = f"{self.names[node]}: it is lost ({reason}), as others were before it with "
                orders.append(Fail(frame, WorkerError(f"{text}frame {frame.turn}; look at it")))
            else:
                frame.number = NOT_BEGUN
                again.append(frame)
        self._waiting.extendleft(reversed(again))
        return orders

    def restored(self, node: int) -> list[Order]:
        """A node is there again, connected with all that are not lost."""
        if node not in self._left_out:
            self.router.regain(node)
        return self._restore_next()

    def given_up(self, node: int, reason: str) -> list[Order]:
        """A node does not come back, and why it does not."""
        self.router.lose(node, reason)
        return self._restore_next()

    def announced(self, routes: Iterable[Route]) -> list[Order]:
        """All nodes know some routes."""
        for route in routes:
            self._announced[route] = True
        return self._advance()

    def routes_of(self, node: int) -> list[Route]:
        """Return the routes that a node must know before it is `restored`."""
        known = list(self._announced.items())
        return [route for route, is_known in known if is_known and self._takes_part(route, node)]

    def _to_be_restored(self, node: int) -> list[Order]:
        self._to_restore.append(node)
        return [Restore(node)] if len(self._to_restore) == 1 else []

    def _restore_next(self) -> list[Order]:
        """Restore one node after the other, so that each is connected with those before it."""
        self._to_restore.popleft()
        orders: list[Order] = [Restore(self._to_restore[0])] if self._to_restore else []
        return orders + self._advance()

    def _advance(self) -> list[Order]:
        """Begin the frames that can; those that never will fail."""
        orders: list[Order] = []
        held: list[Frame] = []
        while self._waiting and len(self._running) < self.limit:
            frame = self._waiting.popleft()
            try:
                route = self._route(frame)
            except WorkerError as error:
                if self._to_restore:
                    held.append(frame)
                else:
                    orders.append(Fail(frame, error))
                continue
            if self._announced.get(route):
                orders.append(self._begin(frame, route))
                continue
            held.append(frame)
            if route not in self._announced:
                self._announced[route] = False
                orders.append(Announce(route))
        self._waiting.extendleft(reversed(held))
        return orders

    def _route(self, frame: Frame) -> Route:
        """Return a frame's route.

        Raises
        ------
        WorkerError
            There is none without the nodes that are lost.
        """
        route = self.router.route(frame.turn, frame.source)
        if frame.inputs.kept and frame.source is not None and route.source != frame.source:
            raise WorkerError(f"{self.names[frame.source]}: it is lost, and with it its inputs")
        return route

    def _begin(self, frame: Frame, route: Route) -> Begin:
        frame.number, self._begun = self._begun, self._begun + 1
        frame.route = route
        frame.attempts += 1
        self._running[frame.number] = frame
        return Begin(frame, frame.number, route)

    def _uses(self, frame: Frame, node: int) -> bool:
        """Whether a frame that has begun cannot do without a node."""
        return frame.route is None or self._takes_part(frame.route, node)

    def _takes_part(self, route: Route, node: int) -> bool:
        if node in route.places or node == route.source:
            return True
        if route.policy != "static" and node == self.gateway:
            return True
        return ANYWHERE in route.places and node in route.devices

    def _name(self, node: int) -> str:
        return self.names[node] if 0 <= node < len(self.names) else "a node"
