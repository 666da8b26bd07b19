"""One seed gives one sample: on any number of threads, beside others, in any mode of torch."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from ops.kernels.reasons import needs_kernels
from torch import Generator, Tensor

import hotgrad as hg
from hotgrad import ops
from hotgrad.ops.kernels import bits, categories, fused

ROWS = torch.randn(333, 1000, generator=Generator().manual_seed(0))
LONG = torch.randn(70, 5000, generator=Generator().manual_seed(0))
FEW = torch.tensor([0.3, -1.0, 2.0])


def with_gradient(draw: Any, logits: Tensor, generator: Generator) -> Tensor:
    own = logits.clone().requires_grad_()
    hard, soft = draw(own, 0.7, (2,), generator)
    (gradient,) = torch.autograd.grad((soft * soft.detach()).sum(), own)
    return torch.cat([hard, soft.detach(), gradient.unsqueeze(0)])


DRAWS: dict[str, Callable[[Generator], Tensor]] = {
    "gumbel": lambda g: ops.draw_gumbel((333, 1001), generator=g),
    "logistic": lambda g: ops.draw_logistic((333_333,), generator=g),
    "categories": lambda g: with_gradient(categories.hard_and_relaxed_categories, ROWS, g),
    "long rows": lambda g: with_gradient(categories.hard_and_relaxed_categories, LONG, g),
    "half precision": lambda g: with_gradient(
        categories.hard_and_relaxed_categories, ROWS.bfloat16(), g
    ),
    "bits": lambda g: with_gradient(bits.hard_and_relaxed_bits, ROWS, g),
    "few bits": lambda g: bits.relaxed_bits(FEW, 1.0, (99_999,), g),
}


def seeded(draw: Callable[[Generator], Tensor], seed: int = 7) -> Tensor:
    return draw(Generator().manual_seed(seed))


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# torch's own functions may round otherwise at the edge of a thread's part
@needs_kernels
@pytest.mark.parametrize("name", DRAWS)
def test_on_any_number_of_threads(name: str, threads: Callable[[int], None]) -> None:
    threads(1)
    expected = seeded(DRAWS[name])
    assert not torch.equal(seeded(DRAWS[name], 8), expected)
    for count in (2, 3, 7):
        threads(count)
        assert torch.equal(seeded(DRAWS[name]), expected)


@needs_kernels
def test_indices_on_any_number_of_threads(threads: Callable[[int], None]) -> None:
    threads(1)
    expected, _ = fused.functions().indices(ROWS, 9, 5)
    for count in (2, 3, 7):
        threads(count)
        assert torch.equal(fused.functions().indices(ROWS, 9, 5)[0], expected)


@needs_kernels
def test_from_many_threads_at_once(threads: Callable[[int], None]) -> None:
    """Each with a generator of its own, all with one pool, which grows meanwhile."""
    threads(2)
    names = list(DRAWS)
    expected = {name: seeded(DRAWS[name], 3) for name in names}

    def work(number: int) -> bool:
        order = names[number % len(names) :] + names[: number % len(names)]
        torch.set_num_threads(2 + number % 4)
        return all(torch.equal(seeded(DRAWS[name], 3), expected[name]) for name in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(16)))


def test_the_global_generator_from_many_threads_repeats_no_key() -> None:
    with torch.random.fork_rng(), ThreadPoolExecutor(8) as pool:
        torch.manual_seed(0)
        drawn = list(pool.map(lambda _: ops.draw_gumbel((3,)), range(200)))
    assert len({tuple(noise.tolist()) for noise in drawn}) == 200


MODES: dict[str, Callable[[], Any]] = {
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "device": lambda: torch.device("cpu"),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.mark.parametrize("mode", MODES)
def test_in_a_mode_of_torch(mode: str) -> None:
    logits = torch.randn(20, 9, generator=Generator().manual_seed(0))
    for function in (hg.gumbel_softmax, hg.binary_concrete):
        for temperature in (1.0, 0.5, torch.tensor(0.5)):
            own = logits.clone().requires_grad_()
            expected = function(own, temperature, generator=Generator().manual_seed(7))
            with MODES[mode]():
                drawn = function(own, temperature, generator=Generator().manual_seed(7))
                noise = ops.draw_gumbel((3,), generator=Generator().manual_seed(7))
            assert drawn.dtype == torch.float32
            torch.testing.assert_close(drawn.clone(), expected, check_dtype=False)
            assert drawn.requires_grad == (mode in ("device", "autocast"))
            assert torch.equal(noise, ops.draw_gumbel((3,), generator=Generator().manual_seed(7)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_under_another_default_dtype(dtype: torch.dtype) -> None:
    expected = {name: seeded(draw) for name, draw in DRAWS.items()}
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        again = {name: seeded(draw) for name, draw in DRAWS.items()}
    finally:
        torch.set_default_dtype(before)
    assert [name for name in DRAWS if not torch.equal(again[name], expected[name])] == []


def test_under_another_default_device() -> None:
    logits = LONG[:3]
    expected = categories.relaxed_categories(logits, 0.7, (), Generator().manual_seed(7))
    with torch.device("meta"):
        drawn = categories.relaxed_categories(logits, 0.7, (), Generator("cpu").manual_seed(7))
        noise = ops.draw_gumbel((5,), device="cpu", generator=Generator("cpu").manual_seed(7))
    assert torch.equal(drawn, expected)
    assert torch.equal(noise, ops.draw_gumbel((5,), generator=Generator().manual_seed(7)))
