"""`hotgrad.gumbel_softmax` beside torch's: the time it takes, and how often a rare class wins.

python -m benchmarks.sampling
"""

import math
import statistics

import torch
import torch.nn.functional as F

import hotgrad as hg
from benchmarks.timing import interleaved, ratio, write_results

SHAPES = ((100, 200), (10_000, 100), (1024, 1024), (64, 50_257))
RARE_ROUNDS = 100
RARE_ROWS = 2_000_000
RARE_PROBABILITY = 1e-7


def main() -> None:
    lines = [
        "| shape | torch, ns an element | hotgrad | times faster (range) | forward and backward |"
    ]
    lines.append("|---|---|---|---|---|")
    for shape in SHAPES:
        logits = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        forward = interleaved(
            {
                "torch": lambda x=logits: F.gumbel_softmax(x),
                "hotgrad": lambda x=logits: hg.gumbel_softmax(x),
            }
        )
        leaf = logits.clone().requires_grad_()
        weight = torch.randn(shape)
        both = interleaved(
            {
                "torch": lambda x=leaf, w=weight: (F.gumbel_softmax(x) * w).sum().backward(),
                "hotgrad": lambda x=leaf, w=weight: (hg.gumbel_softmax(x) * w).sum().backward(),
            }
        )
        size = logits.numel() / 1e9
        middle, low, high = ratio(forward, "torch", "hotgrad")
        lines.append(
            f"| {shape[0]} x {shape[1]} | {statistics.median(forward['torch']) / size:.1f} "
            f"| {statistics.median(forward['hotgrad']) / size:.1f} "
            f"| **{middle:.1f}** ({low:.1f} to {high:.1f}) "
            f"| {ratio(both, 'torch', 'hotgrad')[0]:.1f} |"
        )
    lines += ["", *rare_class()]
    write_results("sampling", "python -m benchmarks.sampling", lines)


def rare_class() -> list[str]:
    """Wins of a class of small probability, counted over many rows."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.tensor([math.log(RARE_PROBABILITY), math.log1p(-RARE_PROBABILITY)])
    rows = logits.expand(RARE_ROWS, 2).contiguous()
    wins = sum(
        int(hg.gumbel_softmax(rows, hard=True, generator=generator)[:, 0].sum())
        for _ in range(RARE_ROUNDS)
    )
    expected = RARE_ROUNDS * RARE_ROWS * RARE_PROBABILITY
    return [
        f"A class of probability {RARE_PROBABILITY:g} won {wins} of "
        f"{RARE_ROUNDS * RARE_ROWS:.0e} draws; {expected:.0f} +- {math.sqrt(expected):.0f} are due."
    ]


if __name__ == "__main__":
    main()
