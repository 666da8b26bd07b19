"""Categories drawn as their numbers, with nothing of a row's size written down.

The plain way is the largest perturbed logit. The compiled one needs no noise for each category: it
adds up the masses of blocks, draws a block, and then a category of the block; few are raced.
"""

import torch
from torch import Tensor

from hotgrad.ops import checks, parameters
from hotgrad.ops.kernels import fused
from hotgrad.ops.kernels.categories import perturbed
from hotgrad.ops.noise import draw_seed


def sample_indices(
    logits: Tensor, num_samples: int = 1, generator: torch.Generator | None = None
) -> Tensor:
    """Exact draws, `(num_samples, *batch)`, of rows that each have a possible category."""
    if fused.usable(logits):
        own = logits.detach().contiguous()
        key = fused.draw_key(generator)
        drawn, well = fused.functions().indices(own, num_samples, key)
        if not well:
            parameters.check_categorical_logits(logits)
        found: Tensor = drawn
        return found
    _check(logits)
    scores = perturbed(logits.detach(), 1.0, (num_samples,), generator, -1, small=False)
    return scores.argmax(-1)


def _check(logits: Tensor) -> None:
    """Refuse a row without a possible category, where that is seen at once."""
    if logits.device.type == "cpu" and checks.values_readable(logits):
        parameters.check_categorical_logits(logits)


class Race:
    """A race of each row's categories: its winners, and the relaxed sample of the same noise.

    The noise isn't kept, but drawn again for the rows that are asked for.
    """

    def __init__(self, logits: Tensor, generator: torch.Generator | None) -> None:
        """Draw the winners.

        Args:
            logits: `(rows, categories)`.
            generator: the source of randomness.
        """
        self._logits = logits.detach().contiguous()
        self._fused = fused.usable(self._logits)
        if self._fused:
            self._key = fused.draw_key(generator)
            self.winners, well = fused.functions().winners(self._logits, (), self._key)
            if not well:
                parameters.check_categorical_logits(logits)
            return
        _check(logits)
        # of a source of its own, which can be begun anew
        self._key = draw_seed(generator) if generator else fused.draw_key(None)
        self.winners = self._scores().argmax(-1)

    def relaxed(self, temperature: float, first: int, last: int) -> Tensor:
        """The relaxed sample's rows, `first` to `last`."""
        if self._fused:
            rows: Tensor = fused.functions().relaxed_rows(
                self._logits, temperature, self._key, first, last
            )
            return rows
        return (self._scores()[first:last] / temperature).softmax(-1).to(self._logits.dtype)

    def _scores(self) -> Tensor:
        source = torch.Generator(device=self._logits.device).manual_seed(self._key)
        return perturbed(self._logits, 1.0, (), source, -1, small=False)
