"""A generator for every purpose, all from one: what is measured beside an estimator doesn't matter.

So the same estimator has the same figures in a longer or a shorter list.
"""

import zlib

import torch


class Seeds:
    """Generators by name.

    Args:
        generator: what they come from; torch's global one if None.
        device: where they draw.
    """

    def __init__(self, generator: torch.Generator | None, device: torch.device) -> None:
        at = torch.device("cpu") if generator is None else generator.device
        drawn = torch.randint(2**62, (), generator=generator, device=at)
        self._base, self._device = int(drawn), device

    def __call__(self, *purpose: object) -> torch.Generator:
        """The generator of a purpose, in its first state."""
        return torch.Generator(self._device).manual_seed(self.number(*purpose))

    def number(self, *purpose: object) -> int:
        """Its seed."""
        return self._base ^ zlib.crc32(repr(purpose).encode())
