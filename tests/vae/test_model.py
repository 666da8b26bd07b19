"""The model's two terms, against sums over every code and against quadrature."""

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from stats import integral, unbiased
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal
from toy_runs import toy_config, toy_model

import hotgrad as hg
from hotgrad import vae
from hotgrad.estimators import make_estimator
from hotgrad.vae.latent import DISTRIBUTIONS
from hotgrad.vae.likelihood import make_likelihood
from hotgrad.vae.pairings import WORKING

LATENTS: dict[str, vae.Latent] = {
    "bits": vae.BernoulliLatent(3),
    "categories": vae.CategoricalLatent(2, 3),
    "subsets": vae.KSubsetLatent(2, 4, k=2),
}
NAMES = {"bits": "bernoulli", "categories": "categorical", "subsets": "k-subset"}
LIKELIHOODS = {"bernoulli": vae.BernoulliLikelihood, "gaussian": vae.GaussianLikelihood}
X = torch.tensor([[0.0, 1.0, 0.3], [0.9, 0.2, 1.0]], dtype=torch.float64)


def bit_codes(size: int) -> list[Tensor]:
    return [torch.tensor(z).double() for z in itertools.product([0, 1], repeat=size)]


def category_codes(variables: int, categories: int) -> list[Tensor]:
    rows = torch.eye(categories, dtype=torch.float64)
    choices = itertools.product(range(categories), repeat=variables)
    return [rows[list(choice)] for choice in choices]


def subset_codes(variables: int, categories: int, k: int) -> list[Tensor]:
    rows = [z for z in bit_codes(categories) if z.sum() == k]
    return [torch.stack(chosen) for chosen in itertools.product(rows, repeat=variables)]


CODES = {
    "bits": bit_codes(3),
    "categories": category_codes(2, 3),
    "subsets": subset_codes(2, 4, 2),
}


def log_probability(code: Tensor, logits: Tensor) -> Tensor:
    """The log-probability of a code from flat logits, written out without the library."""
    if code.ndim == 1:
        p = torch.sigmoid(logits)
        return torch.log(torch.where(code == 1, p, 1 - p)).sum(-1)
    rows = logits.unflatten(-1, code.shape)
    k = int(code[0].sum())
    possible = torch.stack([z for z in bit_codes(code.shape[-1]) if z.sum() == k])
    # one-hot vectors are the k-hot ones of k = 1
    return ((rows * code).sum(-1) - (rows @ possible.T).logsumexp(-1)).sum(-1)


def log_likelihood(model: vae.VAE, x: Tensor, code: Tensor) -> Tensor:
    outputs = model.decoder(code.flatten())
    if isinstance(model.likelihood, vae.GaussianLikelihood):
        return Normal(outputs, model.likelihood.log_scale.exp()).log_prob(x).sum(-1)
    p = torch.sigmoid(outputs)
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("latent", LATENTS)
@pytest.mark.parametrize("learned_prior", [False, True])
def test_the_exact_bound_is_the_sum_over_every_code(
    latent: str, likelihood: str, learned_prior: bool
) -> None:
    model = toy_model(LATENTS[latent], LIKELIHOODS[likelihood](), learned_prior=learned_prior)
    terms = model(X, hg.Exact())
    logits = model.encoder(X)
    reconstruction, kl = torch.zeros(2), torch.zeros(2)
    for code in CODES[latent]:
        log_q = log_probability(code, logits)
        log_p = log_probability(code, model.prior_logits)
        reconstruction = reconstruction + log_q.exp() * log_likelihood(model, X, code)
        kl = kl + log_q.exp() * (log_q - log_p)
    torch.testing.assert_close(terms.reconstruction, reconstruction, rtol=1e-12, atol=0)
    torch.testing.assert_close(terms.kl, kl, rtol=1e-12, atol=0)
    torch.testing.assert_close(terms.value, reconstruction - kl, rtol=1e-12, atol=0)

    parameters = list(model.parameters())
    ours = torch.autograd.grad(terms.value.sum(), parameters)
    theirs = torch.autograd.grad((reconstruction - kl).sum(), parameters)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_the_bound_holds() -> None:
    model = toy_model(LATENTS["categories"], learned_prior=True)
    evidence = torch.stack(
        [
            log_probability(code, model.prior_logits) + log_likelihood(model, X, code)
            for code in CODES["categories"]
        ]
    ).logsumexp(0)
    assert bool((model(X, hg.Exact()).value < evidence).all())


@pytest.mark.parametrize(
    ("latent", "name"), [(latent, name) for latent in LATENTS for name in WORKING[NAMES[latent]]]
)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_estimator_gives_shapes_and_finite_gradients(
    name: str, latent: str, likelihood: str, generator: torch.Generator
) -> None:
    model = toy_model(
        LATENTS[latent], LIKELIHOODS[likelihood](), learned_prior=True, dtype=torch.float32
    )
    critic = hg.Critic(model.latent.event_shape) if name == "relax" else None
    estimator = make_estimator(name, temperature=0.7, critic=critic)
    x = X.float()
    terms = model(x, estimator, target=x.flip(0), num_samples=2, generator=generator)
    assert terms.reconstruction.shape == terms.kl.shape == terms.value.shape == (2,)
    terms.value.mean().backward()
    for parameter_name, parameter in model.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert bool(parameter.grad.isfinite().all()), parameter_name
        assert bool((parameter.grad != 0).any()), parameter_name


@pytest.mark.parametrize("latent", ["bits", "categories"])
@pytest.mark.parametrize("temperature", [0.5, 1e-3])
def test_the_concrete_bound_gives_shapes_and_finite_gradients(
    latent: str, temperature: float, generator: torch.Generator
) -> None:
    model = toy_model(LATENTS[latent], learned_prior=True, dtype=torch.float32)
    terms = model.concrete_elbo(
        X.float(),
        hg.GumbelSoftmax(temperature),
        prior_temperature=0.5,
        num_samples=3,
        generator=generator,
    )
    assert terms.reconstruction.shape == terms.kl.shape == (2,)
    terms.value.mean().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())


def test_subsets_have_no_concrete_bound(generator: torch.Generator) -> None:
    model = toy_model(LATENTS["subsets"])
    with pytest.raises(NotImplementedError, match="KSubsetLatent has no relaxation with a density"):
        model.concrete_elbo(X, hg.GumbelSoftmax(0.5), prior_temperature=0.5, generator=generator)


class OneBit:
    """The relaxed bound of a single bit by quadrature, for one pixel of value 1."""

    scores, prior_score, temperature, prior_temperature = 0.8, -0.4, 0.6, 0.9
    weight, shift = 1.5, -0.3

    def model(self, latent: vae.Latent) -> vae.VAE:
        model = toy_model(latent, items=1, learned_prior=True)
        ways = latent.size
        with torch.no_grad():
            model.encoder.weight.zero_()  # type: ignore[operator]
            model.encoder.bias.copy_(torch.tensor([self.scores, 0.0])[:ways])  # type: ignore[operator]
            model.decoder.weight.copy_(torch.tensor([[self.weight, 0.0]])[:, :ways])  # type: ignore[operator]
            model.decoder.bias.fill_(self.shift)  # type: ignore[operator]
            model.prior_logits.copy_(torch.tensor([self.prior_score, 0.0])[:ways])
        return model

    def exact(self, prior_temperature: float | None = None) -> Tensor:
        """(reconstruction, KL): with logistic noise l the bit is sigmoid((score + l) / T)."""
        prior_temperature = prior_temperature or self.prior_temperature

        def log_logistic(t: Tensor) -> Tensor:
            return -t - 2 * nn.functional.softplus(-t)

        def log_density(logit: Tensor, score: float, temperature: float) -> Tensor:
            return math.log(temperature) + log_logistic(temperature * logit - score)

        def weighed(values: Any) -> Any:
            def integrand(noise: Tensor) -> Tensor:
                return log_logistic(noise).exp() * values((self.scores + noise) / self.temperature)

            return integrand

        def log_ratio(logit: Tensor) -> Tensor:
            return log_density(logit, self.scores, self.temperature) - log_density(
                logit, self.prior_score, prior_temperature
            )

        def fit(logit: Tensor) -> Tensor:
            return nn.functional.logsigmoid(self.weight * logit.sigmoid() + self.shift)

        return torch.stack([integral(weighed(f), -45.0, 45.0) for f in (fit, log_ratio)])


@pytest.mark.parametrize("latent", [vae.BernoulliLatent(1), vae.CategoricalLatent(1, 2)])
def test_the_concrete_bound_is_unbiased(latent: vae.Latent, generator: torch.Generator) -> None:
    bit = OneBit()
    model = bit.model(latent)

    def replicate(n: int, own: torch.Generator) -> Tensor:
        x = torch.ones(n, 1, dtype=torch.float64)
        with torch.no_grad():
            terms = model.concrete_elbo(
                x,
                hg.GumbelSoftmax(bit.temperature),
                prior_temperature=bit.prior_temperature,
                generator=own,
            )
        return torch.stack(terms, -1)

    verdict = unbiased(replicate, bit.exact(), generator=generator)
    assert verdict, verdict.figures
    # the prior relaxed as the posterior is: a common mistake
    mutant = unbiased(replicate, bit.exact(bit.temperature), generator=generator)
    assert not mutant, mutant.figures


def test_gaussian_likelihood_is_torchs_normal(generator: torch.Generator) -> None:
    likelihood = vae.GaussianLikelihood().double()
    x, outputs = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)
    expected = Normal(outputs, likelihood.log_scale.exp()).log_prob(x).sum(-1)
    torch.testing.assert_close(likelihood.log_prob(x, outputs), expected, rtol=1e-12, atol=0)
    assert torch.equal(likelihood.mean(outputs), outputs)


def test_gaussian_likelihood_integrates_to_one() -> None:
    likelihood = vae.GaussianLikelihood().double()
    outputs = torch.tensor([0.4], dtype=torch.float64)
    total = integral(lambda x: likelihood.log_prob(x[:, None], outputs).exp(), -10.0, 10.0)
    assert total.item() == pytest.approx(1, abs=1e-12)


def test_a_perfect_reconstruction_has_a_finite_density() -> None:
    likelihood = vae.GaussianLikelihood()
    with torch.no_grad():
        likelihood.log_scale.fill_(-1e6)
    assert bool(likelihood.log_prob(torch.zeros(2, 3), torch.zeros(2, 3)).isfinite().all())


def test_bernoulli_likelihood_is_torchs_and_linear_in_grey(generator: torch.Generator) -> None:
    likelihood = vae.BernoulliLikelihood()
    outputs = torch.randn(4, 5, generator=generator, dtype=torch.float64)
    bits = (torch.rand(4, 5, generator=generator) < 0.5).double()
    log_prob = likelihood.log_prob(bits, outputs)
    torch.testing.assert_close(log_prob, Bernoulli(logits=outputs).log_prob(bits).sum(-1))
    grey = likelihood.log_prob(torch.full((4, 5), 0.25).double(), outputs)
    black, white = (likelihood.log_prob(torch.full((4, 5), v).double(), outputs) for v in (0, 1))
    torch.testing.assert_close(grey, 0.75 * black + 0.25 * white)
    torch.testing.assert_close(likelihood.mean(outputs), Bernoulli(logits=outputs).mean)


def test_target_replaces_only_what_is_reconstructed(generator: torch.Generator) -> None:
    model = toy_model(LATENTS["bits"])
    target = torch.rand(2, 3, generator=generator, dtype=torch.float64)
    plain, denoised = model(X, hg.Exact()), model(X, hg.Exact(), target=target)
    assert torch.equal(plain.kl, denoised.kl)
    q = model.encode(X)
    expected = hg.expectation(lambda z: model.log_likelihood(target, z), q, hg.Exact())
    torch.testing.assert_close(denoised.reconstruction, expected)
    assert not torch.allclose(plain.reconstruction, denoised.reconstruction)


@pytest.mark.parametrize("name", WORKING["categorical"])
def test_by_default_it_takes_as_few_samples_as_the_estimator_does(name: str) -> None:
    model = toy_model(LATENTS["categories"])
    critic = hg.Critic(model.latent.event_shape).double() if name == "relax" else None
    assert model(X, make_estimator(name, critic=critic)).value.shape == (2,)


class Flipping(nn.Linear):
    """A decoder that changes the code that it is given."""

    def forward(self, code: Tensor) -> Tensor:
        return super().forward(code.neg_().add_(1))


def test_a_decoder_may_change_the_code_in_place(generator: torch.Generator) -> None:
    model = toy_model(LATENTS["categories"]).float()
    inner = Flipping(6, 3)
    careful = nn.Sequential(Minus(), nn.Linear(6, 3))
    careful[1].load_state_dict(inner.state_dict())
    results = []
    for decoder in (careful, inner):
        model.decoder = decoder
        same = generator.clone_state()
        terms = model(X.float(), hg.ScoreFunction(), generator=same)
        relaxed = model.concrete_elbo(
            X.float(), hg.GumbelSoftmax(0.5), prior_temperature=0.5, generator=same
        )
        bound = vae.importance_weighted_bound(model, X.float(), num_samples=3, generator=same)
        slopes = torch.autograd.grad(
            (terms.value + relaxed.value).sum(), list(model.encoder.parameters())
        )
        results.append((terms.value, relaxed.value, bound, *slopes))
    torch.testing.assert_close(*results)


class Minus(nn.Module):
    def forward(self, code: Tensor) -> Tensor:
        return 1 - code


def test_users_modules_serve_as_encoder_and_decoder(generator: torch.Generator) -> None:
    class Mine(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(outputs, inputs))

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(x @ self.weight.T)

    model = vae.VAE(Mine(3, 6), Mine(6, 3), LATENTS["categories"], vae.BernoulliLikelihood())
    terms = model(X.float(), hg.GumbelSoftmax(0.5), generator=generator)
    terms.value.sum().backward()
    assert model.encoder.weight.grad is not None
    assert vae.evaluate(model, X.float(), num_samples=3, generator=generator).bound < 0


@pytest.mark.parametrize("latent", LATENTS)
def test_generate_and_reconstruct(latent: str, generator: torch.Generator) -> None:
    model = toy_model(LATENTS[latent], learned_prior=True)
    items = model.generate(7, generator=generator)
    assert items.shape == (7, 3)
    possible = torch.stack([torch.sigmoid(model.decoder(z.flatten())) for z in CODES[latent]])
    distances = (items.unsqueeze(1) - possible).norm(dim=-1)
    assert bool((distances.min(1).values < 1e-12).all())
    most_probable = torch.stack([log_probability(z, model.encoder(X)) for z in CODES[latent]])
    torch.testing.assert_close(model.reconstruct(X), possible[most_probable.argmax(0)])


@pytest.mark.parametrize("latent", DISTRIBUTIONS)
def test_the_weights_depend_on_the_seed_alone(latent: str) -> None:
    def weights(seed: int) -> Tensor:
        model = vae.build_model(toy_config(latent=latent, seed=seed), (4, 4))
        return nn.utils.parameters_to_vector(model.parameters())

    before = torch.get_rng_state()
    first = weights(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3, generator=torch.default_generator)
    assert torch.equal(weights(1), first)
    assert not torch.equal(weights(2), first)
    torch.set_rng_state(before)


@pytest.mark.parametrize("prior", ["uniform", "learned"])
def test_the_prior_starts_uniform_and_is_saved(prior: str) -> None:
    model = vae.build_model(toy_config(prior=prior), (4, 4))
    assert "prior_logits" in model.state_dict()
    assert ("prior_logits" in dict(model.named_parameters())) == (prior == "learned")
    torch.testing.assert_close(model.prior().mean, torch.full((3, 2), 0.5))


def test_an_unknown_latent_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown latent 'gaussian'"):
        vae.make_latent("gaussian", 2, 2)


# What is refused when it is made, or named where it is used.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vae.KSubsetLatent(2, 3, 4), "k must be an integer from 0 to n = 3.*got 4"),
        (lambda: vae.KSubsetLatent(0, 3, 2), "variables must be an integer of at least 1, got 0"),
        (lambda: vae.CategoricalLatent(2, 0), "categories must be an integer of at least 1, got 0"),
        (lambda: vae.CategoricalLatent(2.0, 3), "variables must be an integer of at least 1"),
        (lambda: vae.BernoulliLatent(-1), "variables must be an integer of at least 1, got -1"),
        (
            lambda: vae.make_encoder("rnn", (4,), (8,), 6),
            "Unknown network 'rnn'.*linear, mlp, conv",
        ),
        (lambda: vae.make_decoder("mpl", (4,), (8,), 6), "Unknown network 'mpl'. Did you mean mlp"),
        (
            lambda: vae.make_encoder("mlp", (4,), (0,), 6),
            "hidden must be a tuple of integers of at least 1",
        ),
        (
            lambda: vae.make_encoder("mlp", (4, -1), (8,), 6),
            "shape must be a tuple of integers of at least 1",
        ),
        (lambda: make_likelihood("poisson"), "Unknown likelihood 'poisson'.*bernoulli, gaussian"),
        (lambda: vae.make_targets(X, "gray", None), "Unknown targets 'gray'. Did you mean grey"),
        (lambda: vae.corrupt(X, "blur", 0.3, None), "Unknown corruption 'blur'.*none, mask, gauss"),
        (lambda: vae.corrupt(X, "mask", 1.5, None), "level must be above 0 and at most 1, got 1.5"),
        (
            lambda: vae.corrupt(X, "gaussian", math.nan, None),
            "level must be above 0 and at most 1, got nan",
        ),
        (
            lambda: toy_model(LATENTS["bits"], learned_prior="no"),
            "learned_prior must be True or Fa",
        ),
    ],
)
def test_nonsense_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("part", ["encoder", "decoder", "latent", "likelihood"])
@pytest.mark.parametrize("value", [None, "bernoulli"])
def test_a_part_that_is_none_is_named(part: str, value: Any) -> None:
    parts: dict[str, Any] = {
        "encoder": nn.Linear(3, 3),
        "decoder": nn.Linear(3, 3),
        "latent": LATENTS["bits"],
        "likelihood": vae.BernoulliLikelihood(),
    }
    with pytest.raises(ValueError, match=rf"^{part} must have .*; got {type(value).__name__}, whi"):
        vae.VAE(**{**parts, part: value})


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize(
    ("encoder", "decoder", "items", "message"),
    [
        ((4, 6), (6, 3), 3, r"the encoder failed on an input of shape \(5, 3\).*its first layer"),
        (
            (3, 7),
            (6, 3),
            3,
            r"logits have shape \(5, 7\), expected a last dimension of 6.*Categori",
        ),
        (
            (3, 6),
            (5, 3),
            3,
            r"the decoder failed on an input of shape \(2, 5, 6\).*its first layer",
        ),
        (
            (3, 6),
            (6, 4),
            3,
            r"outputs have shape \(2, 5, 4\) and the items \(5, 3\): expected as ma",
        ),
        # a width of 1 would broadcast
        ((3, 6), (6, 1), 3, r"outputs have shape \(2, 5, 1\) and the items \(5, 3\)"),
        ((1, 6), (6, 3), 1, r"outputs have shape \(2, 5, 3\) and the items \(5, 1\)"),
    ],
)
def test_widths_that_do_not_fit(
    likelihood: str, encoder: tuple[int, int], decoder: tuple[int, int], items: int, message: str
) -> None:
    model = vae.VAE(
        nn.Linear(*encoder), nn.Linear(*decoder), LATENTS["categories"], LIKELIHOODS[likelihood]()
    )
    x = torch.rand(5, items, generator=torch.Generator().manual_seed(0))
    for bound in (
        lambda: model(x, hg.GumbelSoftmax(0.5), num_samples=2),
        lambda: model.concrete_elbo(x, hg.GumbelSoftmax(0.5), prior_temperature=1, num_samples=2),
        lambda: vae.importance_weighted_bound(model, x, num_samples=2),
    ):
        with pytest.raises(ValueError, match=message):
            bound()


def test_codes_of_another_shape_are_refused() -> None:
    model = toy_model(LATENTS["categories"])
    with pytest.raises(ValueError, match=r"have shape \(\*batch, \*\(2, 3\)\), got \(5, 3, 2\)"):
        model.decode(torch.zeros(5, 3, 2))


@pytest.mark.parametrize("bad", [1.5, -0.1, 255.0, math.nan])
def test_bernoulli_pixels_lie_in_the_unit_interval(bad: float) -> None:
    model = toy_model(LATENTS["bits"])
    target = X.clone()
    target[1, 2] = bad
    for bound in (
        lambda: model(X, hg.Exact(), target=target),
        lambda: model.concrete_elbo(X, hg.GumbelSoftmax(1), prior_temperature=1, target=target),
        lambda: model.log_likelihood(target, torch.zeros(2, 3).double()),
    ):
        with pytest.raises(ValueError, match=r"BernoulliLikelihood needs values in \[0, 1\], got"):
            bound()
    toy_model(LATENTS["bits"], vae.GaussianLikelihood())(X, hg.Exact(), target=target)


@pytest.mark.parametrize(
    "estimator",
    [hg.StraightThroughGumbelSoftmax(0.5), hg.RelaxedTopK(0.5), hg.ReinMax(), hg.REBAR(), None],
)
def test_the_concrete_bound_is_of_gumbel_softmax_alone(estimator: Any) -> None:
    model = toy_model(LATENTS["categories"])
    with pytest.raises(ValueError, match="relaxed samples of GumbelSoftm"):
        model.concrete_elbo(X, estimator, prior_temperature=0.5)
    for temperature in (0.0, -1.0, math.nan, "low"):
        with pytest.raises(ValueError, match="prior_temperature must be"):
            model.concrete_elbo(X, hg.GumbelSoftmax(0.5), prior_temperature=temperature)  # type: ignore[arg-type]


def test_targets(generator: torch.Generator) -> None:
    x = torch.tensor([[0.0, 0.4, 0.6, 1.0]]).expand(20_000, 4)
    assert torch.equal(vae.make_targets(x, "grey", generator), x)
    assert vae.make_targets(x, "threshold", generator)[0].tolist() == [0, 0, 1, 1]
    drawn = vae.make_targets(x, "dynamic", generator)
    assert drawn.dtype == x.dtype
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    # 6 standard deviations of a mean of 20,000 bits
    bound = 6 * (x[0] * (1 - x[0]) / len(x)).sqrt()
    assert bool(((drawn.mean(0) - x[0]).abs() <= bound).all())


def test_corruption(generator: torch.Generator) -> None:
    x = torch.full((20_000, 2), 0.5)
    assert torch.equal(vae.corrupt(x, "none", 0.3, generator), x)
    masked = vae.corrupt(x, "mask", 0.3, generator)
    assert set(masked.unique().tolist()) == {0.0, 0.5}
    share = (masked == 0).float().mean().item()
    assert abs(share - 0.3) < 6 * math.sqrt(0.3 * 0.7 / x.numel())
    noise = vae.corrupt(x, "gaussian", 0.3, generator) - x
    assert abs(noise.mean().item()) < 6 * 0.3 / math.sqrt(x.numel())
    assert abs(noise.std().item() / 0.3 - 1) < 6 / math.sqrt(2 * x.numel())


def test_a_prior_that_changed_is_seen() -> None:
    model = toy_model(LATENTS["subsets"], dtype=torch.float32)
    uniform = model.prior()
    assert model.prior() is uniform
    uneven = torch.arange(8.0)
    model.load_state_dict({**model.state_dict(), "prior_logits": uneven})
    torch.testing.assert_close(model.prior().mean, model.latent.distribution(uneven).mean)
    model.double()
    assert model.prior().mean.dtype == torch.float64
    learned = toy_model(LATENTS["subsets"], learned_prior=True)
    before = learned.prior().mean
    with torch.no_grad():
        learned.prior_logits.add_(torch.arange(8.0))
    assert not torch.allclose(learned.prior().mean, before)


def test_a_model_is_copied_with_its_prior() -> None:
    model = toy_model(LATENTS["subsets"], dtype=torch.float32)
    model(X.float(), hg.StraightThrough()).value.sum().backward()
    twin = copy.deepcopy(model)
    twin.prior_logits.add_(torch.arange(8.0))
    torch.testing.assert_close(model.prior().mean, torch.full((2, 4), 0.5))
    assert not torch.allclose(twin.prior().mean, model.prior().mean)
