"""Encoders and decoders as plain modules over flat vectors: linear, MLP and convolutional.

All take any leading dimensions `(*leading, features)`, since a decoder sees `(num_samples, batch,
features)`.
"""

import math
from itertools import pairwise

from torch import Tensor, nn

from hotgrad.ops.checks import as_shape, check_choice, check_count

NETWORKS = ("linear", "mlp", "conv")
"""By the names that a configuration gives them."""

CHANNELS = (32, 64)
"""Feature maps of the convolutional networks, from the picture inwards."""


def make_encoder(
    kind: str, shape: tuple[int, ...], hidden: tuple[int, ...], outputs: int
) -> nn.Module:
    """From a flat item of this shape to logits."""
    _check(kind, shape, hidden, outputs)
    if kind == "conv":
        return ConvEncoder(shape, outputs)
    return _dense([math.prod(shape), *_widths(kind, hidden), outputs])


def make_decoder(
    kind: str, shape: tuple[int, ...], hidden: tuple[int, ...], inputs: int
) -> nn.Module:
    """From a flat code to a flat item of this shape."""
    _check(kind, shape, hidden, inputs)
    if kind == "conv":
        return ConvDecoder(shape, inputs)
    return _dense([inputs, *reversed(_widths(kind, hidden)), math.prod(shape)])


def _check(kind: str, shape: tuple[int, ...], hidden: tuple[int, ...], code: int) -> None:
    check_choice("network", kind, NETWORKS)
    as_shape(shape, "shape", minimum=1)
    as_shape(hidden, "hidden", minimum=1)
    check_count(code, "the size of the code")


def _widths(kind: str, hidden: tuple[int, ...]) -> tuple[int, ...]:
    return () if kind == "linear" else hidden


def _dense(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class ConvEncoder(nn.Module):
    """Strided convolutions that halve the picture, then a linear layer."""

    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.picture, sizes = _picture(shape)
        widths = (self.picture[0], *CHANNELS)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        height, width = sizes[-1]
        self.layers = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(CHANNELS[-1] * height * width, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        leading = x.shape[:-1]
        return self.layers(x.reshape(-1, *self.picture)).reshape(*leading, -1)


class ConvDecoder(nn.Module):
    """The encoder's mirror image: a linear layer, then transposed convolutions."""

    def __init__(self, shape: tuple[int, ...], inputs: int) -> None:
        super().__init__()
        picture, sizes = _picture(shape)
        widths = (*reversed(CHANNELS), picture[0])
        self.start = (CHANNELS[-1], *sizes[-1])
        self.first = nn.Linear(inputs, math.prod(self.start))
        layers: list[nn.Module] = []
        for (before, after), small, large in zip(
            pairwise(widths), sizes[:0:-1], sizes[-2::-1], strict=True
        ):
            # stride 2 turns n into 2n - 1; the rest makes up an even size
            extra = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            layers += [
                nn.ReLU(),
                nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=extra),
            ]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        leading = z.shape[:-1]
        maps = self.first(z).reshape(-1, *self.start)
        return self.layers(maps).reshape(*leading, -1)


def _picture(shape: tuple[int, ...]) -> tuple[tuple[int, int, int], list[tuple[int, int]]]:
    """(channels, height, width) of an item, and (height, width) after each halving."""
    if len(shape) == 2:
        picture = (1, *shape)
    elif len(shape) == 3:
        picture = shape
    else:
        raise ValueError(
            "network=conv needs pictures, (height, width) or (channels, height, width); the data "
            f"has items of shape {shape}. Use network=mlp."
        )
    sizes = [picture[1:]]
    for _ in CHANNELS:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return picture, sizes
