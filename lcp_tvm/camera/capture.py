"""A source read by a thread of its own, which gets it back when it goes away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from lcp_tvm.camera.frame import Frame
from lcp_tvm.camera.source import open_source
from lcp_tvm.camera.sources.shot import Source
from lcp_tvm.errors import InputError

SILENT_S = 3.0
"""A source that gives nothing for so long is told to be silent; it may still wake up."""

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 8.0
"""Between attempts to get a source back, twice as long each time."""

LEAVE_S = 1.0


class Capture:
    """Frames of a source, given to somebody in the capture's thread.

    The thread ends after `stop`, or when a read that is stuck by then comes to its end; nobody
    waits for that, and none of its frames is given to anybody.
    """

    def __init__(
        self,
        uri: str,
        give: Callable[[Frame], None],
        *,
        open_: Callable[[str], Source] = open_source,
    ) -> None:
        """Open a source, which may take its time, and begin.

        Raises
        ------
        InputError
            It cannot be opened.
        """
        self.uri = uri
        self._give = give
        self._open = open_
        self._source: Source | None = open_(uri)
        self._ended = threading.Event()
        self._giving = threading.Lock()
        self._failure = ""
        self._heard_s = time.monotonic()
        self._thread = threading.Thread(target=self._read, name="lcp-tvm camera", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> str:
        """Why no frames come; empty while they do."""
        if self._failure:
            return self._failure
        silent_s = time.monotonic() - self._heard_s
        return f"{self.uri}: silent for {silent_s:.0f} s" if silent_s > SILENT_S else ""

    def stop(self) -> None:
        """Give no frame any more; one that is being given is waited for."""
        self._ended.set()
        with self._giving:
            pass

    def close(self) -> None:
        """Give no frame any more, and wait a moment for the thread."""
        self.stop()
        self._thread.join(LEAVE_S)

    def _read(self) -> None:
        number, retry_s = 0, FIRST_RETRY_S
        while not self._ended.is_set():
            try:
                if self._source is None:
                    self._source = self._open(self.uri)
                shot = self._source.read()
            except InputError as error:
                self._failure = str(error)
                self._leave()
                self._ended.wait(retry_s)
                retry_s = min(2 * retry_s, LAST_RETRY_S)
                continue
            self._heard_s = time.monotonic()
            self._failure, retry_s = "", FIRST_RETRY_S
            frame = Frame(number, self._heard_s, shot.pixels, shot.label)
            number += 1
            with self._giving:
                if not self._ended.is_set():
                    self._give(frame)
        self._leave()

    def _leave(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()
