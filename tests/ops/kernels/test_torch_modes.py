"""Under torch's transforms, compilers and tracers: the same samples where possible, else others."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.checkpoint import checkpoint

import hotgrad as hg

FUNCTIONS = [
    pytest.param(lambda x, **kwargs: hg.gumbel_softmax(x, 0.7, **kwargs), id="categories"),
    pytest.param(lambda x, **kwargs: hg.binary_concrete(x, 0.7, **kwargs), id="bits"),
]
each = pytest.mark.parametrize("sample", FUNCTIONS)


@pytest.fixture
def logits(generator: Generator) -> Tensor:
    return torch.randn(6, 5, generator=generator)


def weighted(sample: Any, seed: int = 3) -> Any:
    weights = torch.arange(30.0).view(6, 5)
    return lambda x: (sample(x, generator=Generator().manual_seed(seed)) * weights).sum()


@each
def test_torch_func_grad_and_jvp(sample: Any, logits: Tensor, generator: Generator) -> None:
    loss = weighted(sample)
    own = logits.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(own), own)
    torch.testing.assert_close(torch.func.grad(loss)(logits), expected, rtol=1e-4, atol=1e-5)
    tangent = torch.randn(6, 5, generator=generator)
    value, change = torch.func.jvp(loss, (logits,), (tangent,))
    torch.testing.assert_close(value, loss(logits))
    torch.testing.assert_close(change, (expected * tangent).sum(), rtol=1e-4, atol=1e-3)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(logits, tangent)
        change = torch.autograd.forward_ad.unpack_dual(loss(dual)).tangent
    torch.testing.assert_close(change, (expected * tangent).sum(), rtol=1e-4, atol=1e-3)
    (again,) = torch.autograd.grad(loss(own), own, create_graph=True)
    (expected,) = torch.autograd.grad(again, own, tangent)
    _, change = torch.func.jvp(torch.func.grad(loss), (logits,), (tangent,))
    torch.testing.assert_close(change, expected, rtol=1e-3, atol=1e-3)


@each
def test_vmap(sample: Any, logits: Tensor) -> None:
    rows = logits[:1].expand(200, 5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        same, different = (
            torch.func.vmap(sample, randomness=kind)(rows) for kind in ("same", "different")
        )
        with pytest.raises(RuntimeError, match="randomness"):
            torch.func.vmap(sample)(rows)
        each_gradient = torch.func.vmap(
            torch.func.grad(lambda row: sample(row).square().sum()), randomness="different"
        )(rows)
    torch.testing.assert_close(same, same[:1].expand(200, 5))
    assert not torch.equal(different, different[:1].expand(200, 5))
    assert len(different.unique(dim=0)) == 200
    assert len(each_gradient.unique(dim=0)) == 200


@pytest.mark.usefixtures("compiler")
def test_compiled_whole_they_draw_what_they_draw_else(logits: Tensor) -> None:
    check_compiled(logits, "aot_eager")


def check_compiled(logits: Tensor, backend: str) -> None:
    def all_samples(x: Tensor) -> tuple[Tensor, ...]:
        return (
            hg.gumbel_softmax(x, 1.0),
            hg.gumbel_softmax(x, 0.7, hard=True),
            hg.binary_concrete(x, 1.0, hard=True),
            hg.binary_concrete(x, 0.7),
        )

    # without this the compiler draws other random numbers than torch does
    with torch._inductor.config.patch(fallback_random=True):
        results = []
        for function in (all_samples, torch.compile(all_samples, fullgraph=True, backend=backend)):
            torch.manual_seed(5)
            own = logits.clone().requires_grad_()
            samples = function(own)
            loss = torch.stack([(y * torch.arange(5.0)).sum() for y in samples]).sum()
            results.append((*samples, *torch.autograd.grad(loss, own)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@each
def test_what_is_written_down_needs_no_kernel(sample: Any, logits: Tensor) -> None:
    """A graph may be run where hotgrad isn't."""

    class Net(torch.nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            drawn: Tensor = sample(x)
            return drawn

    exported = torch.export.export(Net(), (logits,))
    graphs = [exported.graph_module, make_fx(sample)(logits)]
    for graph in graphs:
        assert "hotgrad" not in {str(n.target).split(".")[0] for n in graph.graph.nodes}
    y = exported.module()(logits)
    assert bool(((y >= 0) & (y <= 1)).all())


@each
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointed_the_gradient_is_that_of_the_same_sample(
    sample: Any, use_reentrant: bool, logits: Tensor
) -> None:
    gradients: list[Any] = []
    for function in (sample, lambda x: checkpoint(sample, x, use_reentrant=use_reentrant)):
        own = logits.clone().requires_grad_()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            # a reentrant checkpoint refuses torch.autograd.grad
            (function(own) * torch.arange(5.0)).sum().backward()
        gradients.append(own.grad)
    assert torch.equal(*gradients)
