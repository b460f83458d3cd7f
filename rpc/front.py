"""What both fronts of a run, `Cluster` and `BlockingCluster`, are made from."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Self

from lcp_tvm.errors import WorkerError
from lcp_tvm.package import Package
from lcp_tvm.plan.plan import Plan
from lcp_tvm.rpc.crew import Crew
from lcp_tvm.rpc.launch import Launch, Progress
from lcp_tvm.rpc.run import Job, Run
from lcp_tvm.rpc.settings import Settings
from lcp_tvm.rpc.workers import Workers

TURN_MS = 250
"""A wait for events ends so often, to see whether it should go on."""

DEFAULTS = Settings()


class Front:
    """A plan, a crew that is not there yet, and the run once it is."""

    def __init__(
        self,
        package: Package,
        workers: Workers | None = None,
        settings: Settings = DEFAULTS,
        *,
        progress: Progress = lambda what, fraction: None,
    ) -> None:
        """Take what is to run where; nothing happens yet.

        Parameters
        ----------
        workers : None starts some on this machine.
        progress : told what is done while nodes are opened, and the fraction that is finished.
        """
        plan = package.plan()
        launch = Launch(package, plan, workers, settings, progress)
        self._take(plan, launch, settings, launch.abort)

    @classmethod
    def on(
        cls, plan: Plan, crew: AbstractContextManager[Crew], settings: Settings = DEFAULTS
    ) -> Self:
        """Return the front of nodes that are there already, in this process say."""
        front = cls.__new__(cls)
        front._take(plan, crew, settings, lambda: None)
        return front

    def _take(
        self,
        plan: Plan,
        crew: AbstractContextManager[Crew],
        settings: Settings,
        abort: Callable[[], None],
    ) -> None:
        self.plan = plan
        self.settings = settings
        self._crew = crew
        self._abort = abort
        self._run: Run | None = None

    def _open(self, start: Callable[[Job], None]) -> Run:
        """Open the crew and tell it the plan."""
        crew = self._crew.__enter__()
        try:
            run = Run(self.plan, crew, self.settings, start)
            run.open()
        except BaseException as error:
            self._crew.__exit__(type(error), error, error.__traceback__)
            raise
        return run

    def _opened(self) -> Run:
        if self._run is None:
            raise WorkerError("the cluster is not open; use it in a with statement")
        return self._run
