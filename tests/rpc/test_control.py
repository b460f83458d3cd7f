"""Nodes of this process, as Python holds them."""

from __future__ import annotations

import subprocess
import sys

TIMEOUT_S = 60.0

BUSY = """
import threading, time
from lcp_tvm.predict.placement import Machines
from lcp_tvm.rpc.control import NearNode
from tests.native.nodes import Nodes, a_frame, made_up
from tests.plan.plans import chain

plan, entered = chain(1), threading.Event()

def compute(name, arguments):
    entered.set()
    time.sleep(0.2)
    return made_up(plan)(name, arguments)

device, client = NearNode.make(cores=1), NearNode.make()
some = Nodes(plan, Machines(1, 0), [device.module, client.module])
some.bind(compute)
some.open()
some.begin(some.route("static"), a_frame(plan))
entered.wait()
"""


def test_a_node_that_nobody_holds_any_more_ends_amid_a_call_of_python() -> None:
    """Its thread wants the lock of the interpreter, which must not wait for the thread."""
    script = BUSY + "del some, device, client\nprint('ended')"
    assert output_of(script) == "ended\n"


def test_a_node_that_is_held_to_the_end_of_the_process_lets_it_end() -> None:
    assert output_of(BUSY + "print('ended')") == "ended\n"


def output_of(script: str) -> str:
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=TIMEOUT_S
    ).stdout
