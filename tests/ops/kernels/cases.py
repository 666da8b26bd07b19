"""Random cases for the kernels: logits of many shapes, strides, dtypes and sizes, with masks."""

import math
from dataclasses import dataclass
from random import Random

import torch
from torch import Generator, Tensor

INF = math.inf
SIZES = [
    1,
    2,
    3,
    5,
    7,
    8,
    9,
    15,
    16,
    17,
    31,
    33,
    40,
    1023,
    1024,
    1025,
    1030,
    2047,
    2048,
    2050,
    5000,
]
DTYPES = [torch.float32, torch.float32, torch.bfloat16, torch.float16, torch.float64]
SCALES = [0.0, 1.0, 1.0, 10.0, 1e3, 1e6]
TEMPERATURES = [1.0, 1.0, 1, 0.5, 0.1, 2.7, 100.0, 1e-3, 1e-30]


@dataclass(frozen=True)
class Case:
    """What a sample is drawn of."""

    logits: Tensor
    temperature: float | Tensor
    sample_shape: tuple[int, ...]
    hard: bool
    seed: int

    @property
    def generator(self) -> Generator:
        """The same one each time."""
        return Generator().manual_seed(self.seed)

    @property
    def divisor(self) -> float | Tensor:
        """The temperature, in float64."""
        given = self.temperature
        return given.detach().double() if isinstance(given, Tensor) else given

    def __str__(self) -> str:
        logits, temperature = self.logits, self.temperature
        said = tuple(temperature.shape) if isinstance(temperature, Tensor) else temperature
        return (
            f"{tuple(logits.shape)} with strides {logits.stride()} of {logits.dtype}, temperature "
            f"{said}, samples {self.sample_shape}, hard {self.hard}, seed {self.seed}"
        )


def draw_case(random: Random, *, events: bool) -> Case:
    """A random case; with categories in the last dimension, or none."""
    size = random.choice(SIZES)
    batch = [random.choice([1, 2, 3, 5, 41]) for _ in range(random.choice([0, 1, 1, 2, 3, 5]))]
    if random.random() < 0.05:
        batch.append(0)
    if math.prod(batch) * size > 20_000:
        batch = [random.choice([1, 2, 3])]
    sample_shape = random.choice([(), (), (1,), (3,), (2, 2), (0,)])
    seed = random.randrange(2**40)
    generator = Generator().manual_seed(seed)
    logits = _strided((*batch, size), random, generator)
    logits = _valued(logits, random, generator, events=events).requires_grad_()
    temperature = _temperature(logits, random, generator)
    return Case(logits, temperature, sample_shape, random.random() < 0.5, seed)


def _strided(shape: tuple[int, ...], random: Random, generator: Generator) -> Tensor:
    """Zeros in memory of some order."""
    kind = random.choice(["plain", "plain", "transposed", "sliced", "expanded", "offset"])
    if kind == "transposed":
        order = random.sample(range(len(shape)), len(shape))
        zeros = torch.zeros([shape[i] for i in order])
        return zeros.permute([order.index(i) for i in range(len(shape))])
    if kind == "sliced":
        return torch.zeros((*shape[:-1], 3 * shape[-1]))[..., 1::3]
    if kind == "expanded":
        return torch.zeros(shape[-1:]).expand(shape)
    if kind == "offset":
        return torch.zeros(math.prod(shape) + 3)[3:].view(shape)
    return torch.zeros(shape)


def _valued(like: Tensor, random: Random, generator: Generator, *, events: bool) -> Tensor:
    """Random values where zeros were, in the same order of memory."""
    dtype, scale = random.choice(DTYPES), random.choice(SCALES)
    if dtype == torch.float16:
        scale = min(scale, 5e3)
    base = like._base if like._base is not None else like
    values = scale * torch.randn(base.shape, generator=generator)
    if events and random.random() < 0.3:
        values += 5 * scale  # far from 0
    masked = torch.rand(base.shape, generator=generator) < random.choice([0.0, 0.0, 0.1, 0.9])
    values = values.masked_fill(masked, -INF)
    if not events and random.random() < 0.5:
        values = values.masked_fill(torch.rand(base.shape, generator=generator) < 0.1, INF)
    logits = values.to(dtype).as_strided(like.shape, like.stride(), like.storage_offset())
    if not events:
        return logits
    # a row without a possible category is another test's
    empty = (logits == -INF).all(-1, keepdim=True)
    return logits if not bool(empty.any()) else logits.masked_fill(empty, 0.5)


def _temperature(logits: Tensor, random: Random, generator: Generator) -> float | Tensor:
    kind = random.choice(["number", "number", "number", "one", "of rows", "with a gradient"])
    if kind == "number":
        return random.choice(TEMPERATURES)
    shape = () if kind == "one" else (*logits.shape[:-1], 1)
    temperature = torch.rand(shape, generator=generator) * 2 + 0.1
    if kind == "with a gradient":
        temperature.requires_grad_()
    return temperature
