"""The machine's memory: how much there is, and errors that say there isn't enough."""

import os
from pathlib import Path


def physical_memory() -> int | None:
    """In bytes; None where the system doesn't say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def free_memory() -> int:
    """The bytes that a process may still take; where the system doesn't say, more than any has."""
    limits = [2**63]
    try:
        meminfo = Path("/proc/meminfo").read_text()
        limits.append(int(meminfo.partition("MemAvailable:")[2].split()[0]) * 1024)
    except (OSError, ValueError, IndexError):  # not Linux: what is built in, if that is known
        if (built_in := physical_memory()) is not None:
            limits.append(built_in)
    for file in ("memory.max", "memory/memory.limit_in_bytes"):  # of a container
        try:
            limits.append(int(Path("/sys/fs/cgroup", file).read_text()))
        except (OSError, ValueError):
            continue
    return min(limits)


def memory_refused(error: BaseException) -> bool:
    """Whether an error says that memory can't be had.

    torch has no class of its own for what its CPU allocator refuses.
    """
    if isinstance(error, RuntimeError):
        return "allocate" in str(error) or "out of memory" in str(error)
    return isinstance(error, MemoryError)
