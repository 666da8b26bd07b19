"""The test bounds, against the exact log p(x) of models whose codes can be listed."""

import itertools
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from toy_runs import toy_model

from hotgrad import vae
from hotgrad.distributions import Independent
from hotgrad.vae import evaluation as bound_module

LATENTS = [vae.BernoulliLatent(2), vae.CategoricalLatent(1, 3), vae.KSubsetLatent(1, 4, k=2)]
KINDS = ["bits", "categories", "subsets"]
X = torch.tensor([[0.0, 1.0, 0.3], [0.9, 0.2, 1.0]], dtype=torch.float64)


def codes_of(latent: vae.Latent) -> Tensor:
    return latent.distribution(torch.zeros(latent.size, dtype=torch.float64)).enumerate_support()


def log_weights(model: vae.VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """log q(z given x) and log p(x, z) of every code, `(codes, batch)`."""
    z = codes_of(model.latent).unsqueeze(1).expand(-1, len(x), *model.latent.event_shape)
    joint = model.log_likelihood(x, z) + model.prior().log_prob(z)
    return model.encode(x).log_prob(z), joint


def serve(monkeypatch: pytest.MonkeyPatch, prepared: Tensor) -> None:
    """Let every distribution draw the prepared samples, one after another."""
    drawn = 0

    def sample(self: Independent, sample_shape: tuple[int], *, generator: object = None) -> Tensor:
        nonlocal drawn
        drawn += sample_shape[0]
        return prepared[drawn - sample_shape[0] : drawn]

    monkeypatch.setattr(Independent, "sample", sample)


class Tuples:
    """Every tuple of m codes of one item, as the rows of a batch, with their probabilities."""

    def __init__(self, model: vae.VAE, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
        with torch.no_grad():
            log_q, joint = (row[:, 0] for row in log_weights(model, X[:1]))
            self.evidence = joint.logsumexp(0)
            codes = codes_of(model.latent)
            chosen = torch.tensor(list(itertools.product(range(len(codes)), repeat=m)))
            self.probs = log_q[chosen].sum(-1).exp()
            serve(monkeypatch, codes[chosen.T])
            self.bounds = vae.importance_weighted_bound(
                model, X[:1].expand(len(chosen), -1), num_samples=m
            )


@pytest.mark.parametrize("latent", LATENTS, ids=KINDS)
@pytest.mark.parametrize("m", [1, 2, 3])
def test_its_exponential_is_unbiased(
    latent: vae.Latent, m: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuples = Tuples(toy_model(latent, learned_prior=True), m, monkeypatch)
    assert tuples.probs.sum().item() == pytest.approx(1, abs=1e-12)
    mean = (tuples.probs * tuples.bounds.exp()).sum()
    torch.testing.assert_close(mean, tuples.evidence.exp(), rtol=1e-12, atol=0)
    # mutants: the 1/m left out of a sum; samples of another distribution than weighs them
    uniform = torch.full_like(tuples.probs, 1 / len(tuples.probs))
    for wrong in (mean * (m + 1), (uniform * tuples.bounds.exp()).sum()):
        assert not torch.allclose(wrong, tuples.evidence.exp(), rtol=1e-3)


@pytest.mark.parametrize("latent", LATENTS, ids=KINDS)
def test_its_mean_is_below_the_evidence_and_rises(
    latent: vae.Latent, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = toy_model(latent, learned_prior=True)
    runs = [Tuples(model, m, monkeypatch) for m in (1, 2, 3, 4)]
    means = [(run.probs * run.bounds).sum().item() for run in runs]
    assert means == sorted(means)
    assert means[0] < means[-1] < runs[0].evidence.item()


@pytest.mark.parametrize("latent", LATENTS, ids=KINDS)
def test_it_converges_to_the_evidence(latent: vae.Latent, generator: torch.Generator) -> None:
    model = toy_model(latent, learned_prior=True)
    m = 50_000
    bound = vae.importance_weighted_bound(model, X, num_samples=m, generator=generator)
    with torch.no_grad():
        log_q, joint = log_weights(model, X)
        evidence = joint.logsumexp(0)
        # the weights' variance, summed over the codes; 6 standard deviations of their mean
        second = (2 * joint - log_q).logsumexp(0)
        deviation = ((second - 2 * evidence).exp() - 1).sqrt() / math.sqrt(m)
    assert bool(((bound - evidence).abs() < 6 * deviation).all())
    # the one-sample bound, the mutant, isn't there
    terms = vae.elbo(model, X, generator=generator)
    assert bool(((terms.value - evidence).abs() > 6 * deviation).all())


@pytest.mark.parametrize(
    "latent", [vae.BernoulliLatent(2), vae.BernoulliLatent(40)], ids=["narrow", "wide"]
)
def test_memory_is_bounded(
    latent: vae.Latent, monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    monkeypatch.setattr(bound_module, "MAX_ELEMENTS", 1000)
    model = toy_model(latent, dtype=torch.float32)
    seen: list[int] = []
    sizes: list[int] = []

    def spy(module: object, inputs: tuple[Tensor], output: Tensor) -> None:
        seen.append(output.shape[0])
        sizes.append(max(output.numel(), inputs[0].numel()))

    model.decoder.register_forward_hook(spy)
    x = torch.rand(5, 3, generator=generator)
    vae.importance_weighted_bound(model, x, num_samples=1001, generator=generator)
    assert sum(seen) == 1001
    assert max(sizes) <= 1000
    assert len(seen) <= 201


def test_an_item_beyond_the_limit_goes_one_sample_at_a_time(
    monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    monkeypatch.setattr(bound_module, "MAX_ELEMENTS", 1)
    model = toy_model(LATENTS[0])
    bound = vae.importance_weighted_bound(model, X, num_samples=3, generator=generator)
    assert bool(bound.isfinite().all())


@pytest.mark.parametrize("limit", [1, 30, 47, 10**6])
def test_chunks_don_t_change_the_result(
    limit: int, monkeypatch: pytest.MonkeyPatch, generator: torch.Generator
) -> None:
    model = toy_model(LATENTS[1])
    prepared = model.encode(X).sample((23,), generator=generator)
    with torch.no_grad():
        log_weight = (
            model.log_likelihood(X, prepared)
            + model.prior().log_prob(prepared)
            - model.encode(X).log_prob(prepared)
        )
    monkeypatch.setattr(bound_module, "MAX_ELEMENTS", limit)
    serve(monkeypatch, prepared)
    bound = vae.importance_weighted_bound(model, X, num_samples=23)
    torch.testing.assert_close(bound, log_weight.logsumexp(0) - math.log(23), rtol=1e-12, atol=0)


@pytest.mark.parametrize("num_samples", [0, -1, 1.5, True])
def test_a_wrong_number_of_samples_is_refused(num_samples: int) -> None:
    with pytest.raises(ValueError, match="num_samples must be an integer of at least 1"):
        vae.importance_weighted_bound(toy_model(LATENTS[0]), X, num_samples=num_samples)


def test_evaluate_is_the_mean_over_items_not_over_batches(generator: torch.Generator) -> None:
    """A decoder that ignores the code leaves nothing to chance."""
    model = toy_model(vae.BernoulliLatent(2), dtype=torch.float32)
    with torch.no_grad():
        model.decoder.weight.zero_()  # type: ignore[operator]
    x = torch.rand(7, 3, generator=generator)
    calls: list[tuple[int, int]] = []
    result = vae.evaluate(
        model,
        x,
        num_samples=2,
        batch_size=3,
        generator=generator,
        progress=lambda done, total: calls.append((done, total)),
    )
    with torch.no_grad():
        outputs = model.decoder(torch.zeros(7, 2))
        reconstruction = model.likelihood.log_prob(x, outputs).mean().item()
        kl = torch.distributions.kl_divergence(model.encode(x), model.prior()).mean().item()
    assert result.reconstruction == pytest.approx(reconstruction, rel=1e-5)
    assert result.kl == pytest.approx(kl, rel=1e-5)
    assert result.elbo == result.reconstruction - result.kl
    assert result.bound_samples == 2
    assert calls == [(3, 7), (6, 7), (7, 7)]


def test_evaluate_is_reproducible_and_keeps_no_graph() -> None:
    model = toy_model(LATENTS[0])

    def results() -> Iterator[vae.Evaluation]:
        for seed in (1, 1, 2):
            own = torch.Generator().manual_seed(seed)
            yield vae.evaluate(model, X, num_samples=5, generator=own)

    first, again, other = results()
    assert first == again
    assert first != other
    assert not vae.elbo(model, X).value.requires_grad
