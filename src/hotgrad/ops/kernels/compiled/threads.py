"""Machine code run on several threads at once, as many as torch uses."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

WORTH = 1 << 16
"""Elements that a thread must have to be worth waking."""

_lock = threading.Lock()
_pool: tuple[int, ThreadPoolExecutor] | None = None


def run(work: Callable[[int, int], None], count: int, size: int = 1, unit: int = 1) -> None:
    """Do `count` things, in ranges, the last range on this thread.

    Args:
        work: takes a range's start and its end, and releases the interpreter's lock.
        count: how many things.
        size: elements of each thing.
        unit: what the ranges' starts are multiples of.
    """
    threads = count * size // WORTH
    if threads > 1:
        threads = min(threads, torch.get_num_threads())
    if threads < 2:
        work(0, count)
        return
    step = -(-count // (threads * unit)) * unit
    starts = range(0, count, step)
    others = []
    for start in starts[:-1]:
        try:
            others.append(_executor(threads - 1).submit(work, start, start + step))
        except RuntimeError:  # the interpreter is shutting down
            work(start, start + step)
    work(starts[-1], count)
    for other in others:
        other.result()


def _executor(threads: int) -> ThreadPoolExecutor:
    global _pool
    with _lock:
        if _pool is None or _pool[0] < threads:
            if _pool is not None:
                _pool[1].shutdown(wait=False)
            _pool = threads, ThreadPoolExecutor(threads, thread_name_prefix="hotgrad")
        return _pool[1]


def _forget_pool() -> None:
    """In a forked child: its parent's threads are not there, and the lock may be held."""
    global _pool, _lock
    _pool, _lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
