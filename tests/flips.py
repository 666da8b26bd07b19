"""Damage as storage and copying do it: single bits that changed."""

import random
from collections.abc import Iterator


def flips(content: bytes, count: int) -> Iterator[bytes]:
    """The content with one bit changed, each time another."""
    draws = random.Random(0)
    for _ in range(count):
        place = draws.randrange(8 * len(content))
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        yield bytes(flipped)
