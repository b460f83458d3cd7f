"""A place for one thing: the newest is taken, the others are counted."""

from __future__ import annotations

import asyncio
import threading

from lcp_tvm.camera.newest import Newest


def test_the_newest_is_taken_and_the_others_are_dropped() -> None:
    async def main() -> None:
        place: Newest[int] = Newest()
        for number in range(5):
            place.put(number)
        assert await place.take() == 4
        assert place.dropped == 4
        place.put(5)
        assert await place.take() == 5
        assert place.dropped == 4

    asyncio.run(main())


def test_of_several_who_wait_one_gets_it() -> None:
    async def main() -> None:
        place: Newest[int] = Newest()
        waiting = [asyncio.ensure_future(place.take()) for _ in range(3)]
        await asyncio.sleep(0)
        place.put(1)
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [1]
        assert len(pending) == 2
        for task in pending:
            task.cancel()

    asyncio.run(main())


def test_a_thread_puts_and_nothing_is_taken_twice_or_lost_uncounted() -> None:
    async def main() -> None:
        place: Newest[int] = Newest()
        thread = threading.Thread(target=lambda: [place.put(n) for n in range(2000)])
        thread.start()
        taken = [await asyncio.wait_for(place.take(), 10)]
        while taken[-1] != 1999:
            taken.append(await asyncio.wait_for(place.take(), 10))
        thread.join()
        assert taken == sorted(set(taken))
        assert len(taken) + place.dropped == 2000

    asyncio.run(main())
