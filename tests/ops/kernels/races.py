"""Races of one class against many rare ones: how often one of these wins."""

import math

import torch
from torch import Generator

from hotgrad.ops.kernels import categories


def tail_wins(gap: float, num_tail: int, trials: int, rows: int, generator: Generator) -> int:
    """How often any of many classes wins against one, whose logit is higher by the gap."""
    logits = torch.full((num_tail + 1,), -gap)
    logits[0] = 0
    logits = logits.expand(rows, num_tail + 1).contiguous()
    won = 0
    for _ in range(trials // rows):
        hard, _ = categories.hard_and_relaxed_categories(logits, 1.0, (), generator)
        won += rows - int(hard[:, 0].sum())
    return won


def z_score(won: int, gap: float, num_tail: int, trials: int) -> float:
    mass = num_tail * math.exp(-gap)
    mean = trials * mass / (1 + mass)
    return (won - mean) / math.sqrt(mean * (1 - mean / trials))
