"""Philox 4x32-10 in NumPy, and the numbers that the kernels make of its words."""

import numpy as np
import torch
from torch import Tensor

MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
LOW = np.uint64(0xFFFFFFFF)
TO_UNIT = 2.0**-31 * (1 - 2.0**-24)


def philox(counters: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Four words of each counter of four words, `(n, 4)`.

    Reference: Parallel Random Numbers: As Easy as 1, 2, 3 (Salmon, Moraes, Dror, Shaw, 2011),
    Section 3.3, https://doi.org/10.1145/2063384.2063405
    """
    x0, x1, x2, x3 = counters.astype(np.uint64).T
    for step in range(10):
        first, second = (
            np.uint64((k + step * weyl) & 0xFFFFFFFF) for k, weyl in zip(key, WEYL, strict=True)
        )
        product0, product1 = x0 * np.uint64(MULTIPLIERS[0]), x2 * np.uint64(MULTIPLIERS[1])
        x0, x1 = product1 >> np.uint64(32) ^ x1 ^ first, product1 & LOW
        x2, x3 = product0 >> np.uint64(32) ^ x3 ^ second, product0 & LOW
    return np.stack([x0, x1, x2, x3], 1).astype(np.uint32)


def words(first: int, count: int, key: int, stream: int = 0) -> np.ndarray:
    """The words of counters side by side, as signed integers."""
    numbers = [(first + i) % 2**64 for i in range(count)]
    counters = np.array(
        [(n & 0xFFFFFFFF, n >> 32, 0, stream & 0xFFFFFFFF) for n in numbers], np.uint64
    ).reshape(-1, 4)
    key %= 2**64
    return philox(counters, (key & 0xFFFFFFFF, key >> 32)).flatten().view(np.int32)


def fraction_of(key: int) -> np.float32:
    """The fraction that the elements of a call share."""
    word = int(words(0, 1, key, stream=1).view(np.uint32)[0])
    return np.float32(((word >> 9) + 0.5) * 2.0**-23)


def signed_uniform(key: int, size: int) -> Tensor:
    """w of each element of a call: uniform on (-1, 1), in float64."""
    drawn = words(0, -(-size // 4), key)[:size]
    # in single precision, as the kernels have it: the words are rounded first
    i_plus_s = torch.from_numpy(drawn).float() + torch.tensor(fraction_of(key))
    return (i_plus_s * torch.tensor(TO_UNIT, dtype=torch.float32)).double()


def gumbel(key: int, size: int) -> Tensor:
    return -(-torch.log1p(-signed_uniform(key, size).abs())).log()


def logistic(key: int, size: int) -> Tensor:
    w = signed_uniform(key, size)
    return torch.logit(w.abs() / 2).copysign(w)


def uniforms(elements: range, key: int) -> Tensor:
    """One number in (0, 1), in 52 bits, of each counter."""
    drawn = words(elements.start, len(elements), key).reshape(-1, 4)[:, :2]
    integers = np.ascontiguousarray(drawn).view(np.uint64)[:, 0] >> np.uint64(12)
    return torch.from_numpy((integers.astype(np.float64) + 0.5) * 2.0**-52)
