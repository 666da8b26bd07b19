"""First weights depend on a seed alone: not on torch's generator, other threads, or the device."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest
import torch
from torch import Tensor, nn

import hotgrad as hg
from hotgrad import seeding, vae
from hotgrad.seeding import seeded_weights

MAKERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(3, 4),
    "mlp": lambda: vae.make_encoder("mlp", (4, 4), (5,), 6),
    "conv encoder": lambda: vae.make_encoder("conv", (4, 4), (), 6),
    "conv decoder": lambda: vae.make_decoder("conv", (4, 4), (), 6),
    "critic": lambda: hg.Critic((3, 2)),
}


def weights(make: Callable[[], nn.Module], seed: int) -> list[Tensor]:
    with seeded_weights(seed):
        return [*make().state_dict().values()]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


@pytest.mark.parametrize("kind", MAKERS)
def test_the_weights_are_torch_s_own_and_its_generator_is_left_alone(kind: str) -> None:
    make = MAKERS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = [*make().state_dict().values()]
    before = torch.get_rng_state()
    assert equal(weights(make, 5), expected)
    assert not equal(weights(make, 6), expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_default_device_changes_nothing() -> None:
    expected = weights(MAKERS["mlp"], 0)
    with torch.device("meta"):
        assert equal(weights(MAKERS["mlp"], 0), expected)


def differing_in_threads() -> int:
    """How many of 4 threads, which take turns in making layers, get others than alone."""
    turn = Barrier(4)

    def made(seed: int, wait: Callable[[], object]) -> list[Tensor]:
        with seeding.seeded_weights(seed):
            layers = nn.ModuleList()
            for _ in range(5):
                wait()
                layers.append(nn.Linear(3, 3))
        return [*layers.state_dict().values()]

    alone = [made(seed, lambda: None) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        together = threads.map(lambda seed: made(seed, lambda: turn.wait(60)), range(4))
    return sum(not equal(*pair) for pair in zip(alone, together, strict=True))


def test_threads_don_t_disturb_each_other() -> None:
    assert differing_in_threads() == 0


def test_the_test_sees_a_generator_that_threads_share(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def shared(seed: int) -> Iterator[None]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield

    monkeypatch.setattr(seeding, "seeded_weights", shared)
    assert differing_in_threads() > 0
