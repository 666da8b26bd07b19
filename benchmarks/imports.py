"""What `import hotgrad` adds to `import torch`, in fresh processes that take turns.

python -m benchmarks.imports
"""

import statistics
import subprocess
import sys
import time

from benchmarks.timing import write_results

ROUNDS = 9


def main() -> None:
    torch_alone, with_hotgrad = [], []
    for _ in range(ROUNDS):
        torch_alone.append(seconds("import torch"))
        with_hotgrad.append(seconds("import torch, hotgrad"))
    added = [b - a for a, b in zip(torch_alone, with_hotgrad, strict=True)]
    write_results(
        "imports",
        "python -m benchmarks.imports",
        [
            f"`import torch` takes {statistics.median(torch_alone):.2f} s, `import hotgrad` "
            f"**{statistics.median(added):.2f} s** more (median of {ROUNDS} pairs; "
            f"{min(added):.2f} to {max(added):.2f})."
        ],
    )


def seconds(statement: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
