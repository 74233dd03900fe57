"""The event loop's side of the spool: one group at a time, nobody settled early, nothing forgotten."""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from logs import day
from perennial.serving.following.follower import Follower
from perennial.serving.service import Service, Spec
from perennial.serving.spool import segments
from perennial.serving.spool.gathering import Gathering
from perennial.serving.spool.writer import Entry
from serving import TUMOUR


def entry(name: str) -> Entry:
    return Entry("predictions", day(0), name.encode(), 1)


def names(groups: Sequence[Sequence[Entry]]) -> list[str]:
    return ["".join(one.data.decode() for one in group) for group in groups]


async def turns(n_turns: int = 3) -> None:
    for _ in range(n_turns):
        await asyncio.sleep(0)


def run(body: Callable[[Gathering, list[Sequence[Entry]]], Awaitable[None]]) -> None:
    async def whole() -> None:
        groups: list[Sequence[Entry]] = []
        await body(Gathering(groups.append), groups)

    asyncio.run(whole())


def test_what_comes_in_one_turn_or_while_a_group_is_written_is_one_group_in_order() -> None:
    async def body(gathering: Gathering, groups: list[Sequence[Entry]]) -> None:
        first = [asyncio.create_task(gathering.write([entry(name)])) for name in "ab"]
        await turns()
        assert names(groups) == ["ab"]
        later = [asyncio.create_task(gathering.write([entry(name), entry(name.upper())])) for name in "cd"]
        await turns()
        assert names(groups) == ["ab"], "one group is out at a time"
        assert not any(task.done() for task in (*first, *later))
        gathering.written(list(groups[0]), None)
        await turns()
        assert all(task.done() for task in first)
        assert not any(task.done() for task in later)
        assert names(groups) == ["ab", "cCdD"]
        gathering.written(list(groups[1][:1]), None)
        gathering.written(list(groups[1][1:]), "OSError: full")
        assert await asyncio.gather(*first, *later) == [[], [], ["OSError: full"], ["OSError: full"] * 2]
        last = asyncio.create_task(gathering.write([entry("e")]))
        await turns()
        assert names(groups)[2:] == ["e"], "after a pause it goes at once"
        last.cancel()

    run(body)


def test_what_nobody_waits_for_any_more_is_written_all_the_same_and_at_the_end_at_once() -> None:
    async def body(gathering: Gathering, groups: list[Sequence[Entry]]) -> None:
        out, gone = (asyncio.create_task(gathering.write([entry(name)])) for name in "ab")
        await turns()
        gone.cancel()
        left = asyncio.create_task(gathering.write([entry("c")]))
        await turns()
        left.cancel()
        await turns()
        gathering.hand_over()
        assert names(groups) == ["ab", "c"]
        for group in groups:
            gathering.written(list(group), None)
        await turns()
        assert await out == []
        assert gone.cancelled()
        assert left.cancelled()
        gathering.hand_over()
        assert len(groups) == 2, "nothing is written twice"

    run(body)


def test_a_service_that_ends_writes_what_waits_behind_a_slow_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, begun, real = threading.Event(), threading.Event(), os.fdatasync

    def slow(descriptor: int) -> None:
        begun.set()
        assert go_on.wait(10)
        real(descriptor)

    async def body() -> None:
        service = Service(Spec(config=TUMOUR, home=tmp_path, registry_uri="http://127.0.0.1:9", login=None))
        await service.start()
        out = asyncio.create_task(service._gathering.write([entry("a\n")]))
        assert await asyncio.to_thread(begun.wait, 10)
        waiting = asyncio.create_task(service._gathering.write([entry("b\n")]))
        closing = asyncio.create_task(service.close())
        while service.spool._queue.empty():
            await asyncio.sleep(0.01)
        go_on.set()
        await closing
        assert await asyncio.wait_for(asyncio.gather(out, waiting), 10) == [[], []]

    monkeypatch.setattr(Follower, "start", lambda _: None)
    monkeypatch.setattr(segments.os, "fdatasync", slow)
    asyncio.run(body())
    (file,) = (tmp_path / "landing").rglob("*.jsonl")
    assert file.read_text(encoding="utf-8") == "a\nb\n"
