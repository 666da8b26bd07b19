"""What `fit` says of input that it can't use, and what it keeps when something goes wrong."""

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from inference.models import bits, boltzmann, seeded
from torch import Tensor, nn

import hotgrad as hg
from hotgrad.inference import fit

SCORES = torch.tensor([1.0, -2.0, 3.0])
DATA = torch.arange(12.0).reshape(6, 2)


def linear(z: Tensor) -> Tensor:
    return z @ SCORES


def shared(z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    return z.sum(-1), z.sum(-1, keepdim=True) * x[:, 0]


def where_two(value: float) -> Callable[[Tensor], Tensor]:
    """A log joint that has the value where two of the bits are 1."""
    return lambda z: torch.where(z.sum(-1) == 2, value, 0.0)


@pytest.mark.parametrize(
    ("log_joint", "options", "message"),
    [
        (lambda z: z, {}, r"log_joint must have shape \(16,\).*got \(16, 3\)"),
        (lambda z: z.sum(), {}, r"log_joint must have shape \(16,\).*got \(\)"),
        (lambda z: 0.0, {}, r"log_joint must have shape \(16,\).*got float"),
        (lambda z: z.sum(-1).long(), {}, r"floating point, got torch.int64.*to\(z.dtype\)"),
        (lambda z: (linear(z), linear(z)), {}, r"returned a pair.*share.*shape \(16,\)"),
        (
            lambda z, x: linear(z),
            {"data": DATA, "batch_size": 2},
            r"In minibatches log_joint must return a pair.*shape \(16,\).*shape \(16, 2\)",
        ),
        (
            lambda z, x: (linear(z), linear(z)),
            {"data": DATA, "batch_size": 2},
            r"second part.*must have shape \(16, 2\), \(num_samples, \*batch, items\); got \(16,\)",
        ),
        (
            lambda z, x: (z, linear(z)),
            {"data": DATA},
            r"first part.*must have shape \(16,\).*got \(16, 3\)",
        ),
        (lambda z, x: (linear(z),), {"data": DATA}, "a tuple of 1"),
        ("model", {}, "log_joint must be a function of z, got 'model'"),
    ],
)
def test_wrong_returns(log_joint: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(log_joint, bits(3), generator=seeded(), **options)


@pytest.mark.parametrize(
    ("log_joint", "message"),
    [
        (
            lambda z: linear(z) * torch.nan,
            "nan at 16 of 16 samples, first at sample 0, z = ",
        ),
        (where_two(torch.nan), r"nan at \d+ of 16.*first at sample \d+, z = \[[01], [01], [01]\]"),
        (where_two(torch.inf), r"returned inf at .* Expected a log-probability"),
        (lambda z: linear(z) - torch.inf, r"-inf at 16 of 16.*-inf everywhere.*rules out all"),
        (where_two(-torch.inf), r"bound is -inf while q gives.*mask.*objective=\"importance\""),
    ],
)
def test_values_that_are_not_finite(log_joint: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(log_joint, bits(3), generator=seeded())


def test_values_that_are_not_finite_though_nothing_is_validated() -> None:
    q = hg.Bernoulli(logits=torch.zeros(3), validate_args=False).to_event(1)
    with pytest.raises(ValueError, match="The bound is nan before the first step"):
        fit(where_two(torch.nan), q, generator=seeded())


def test_the_first_offending_sample_is_one() -> None:
    with pytest.raises(ValueError, match="z = ") as raised:
        fit(where_two(torch.nan), bits(3), generator=seeded())
    shown = str(raised.value).split("z = ")[1].split("]")[0]
    assert sum(map(int, shown.strip("[").split(", "))) == 2


def test_the_sample_of_a_joint_is_named() -> None:
    q = hg.Joint(few=bits(2), many=bits(40))
    with pytest.raises(ValueError, match=r"z = \{few: \[[01], [01]\], many: a tensor of .*40"):
        fit(lambda z: z["many"].sum(-1) * z["few"][..., 0] * torch.nan, q, generator=seeded())


def test_the_batch_element_is_named() -> None:
    log_joint = lambda z: torch.where(torch.tensor([False, True]), torch.nan, z.sum(-1))  # noqa: E731
    q = hg.Bernoulli(logits=torch.zeros(2, 3)).to_event(1)
    with pytest.raises(ValueError, match=r"sample 0 of batch element \(1,\)"):
        fit(log_joint, q, generator=seeded())


def test_impossible_states_are_allowed_to_weights() -> None:
    q = bits(3)
    options = {"estimator": hg.VIMCO(), "objective": "importance", "steps": 300}
    result = fit(where_two(-torch.inf), q, generator=seeded(), **options)
    assert result.elbo == -torch.inf
    # 3 of 8 states are ruled out
    assert result.bound(2000, generator=seeded()) == pytest.approx(math.log(5), abs=0.1)


class Counter(nn.Module):
    """A q that has nothing to learn."""

    def forward(self) -> hg.Independent:
        return bits(3)


class Frozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(3), requires_grad=False)

    def forward(self) -> hg.Independent:
        return hg.Bernoulli(logits=self.logits).to_event(1)


@pytest.mark.parametrize(
    ("q", "options", "message"),
    [
        ("bits", {}, "q must be a law.*or a module or function.*got 'bits'"),
        (hg.Bernoulli, {}, "q must be a law"),
        (Counter(), {}, "nothing to learn"),
        (lambda: bits(3), {"parameters": [torch.zeros(1, requires_grad=True)]}, "has no gradient"),
        (Frozen(), {}, "nothing to learn.*or none that require a gradient"),
        (bits(0), {}, r"no unknowns: its batch shape is \(\), its event shape \(0,\)"),
        (lambda: 3, {"parameters": [torch.zeros(1, requires_grad=True)]}, "it returned int"),
        (
            hg.Bernoulli(logits=2 * torch.zeros(3, requires_grad=True)).to_event(1),
            {},
            "computed from other tensors.*logits.detach()",
        ),
        (torch.distributions.Normal(0.0, 1.0), {}, "Normal, a continuous law"),
    ],
)
def test_q_that_cant_be_learned(q: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(linear, q, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"num_samples": 0}, "num_samples must be"),
        ({"num_samples": 1}, r"ScoreFunction\(LeaveOneOut\) needs num_samples of at least 2"),
        ({"num_samples": 3, "estimator": hg.DisARM()}, "must be even, got 3"),
        ({"estimator": "disarm"}, "estimator must be an estimator object"),
        ({"estimator": hg.VIMCO()}, 'VIMCO.*objective="importance"'),
        ({"objective": "iwae"}, "Unknown objective 'iwae'.*elbo, importance"),
        ({"tolerance": -1.0}, "tolerance must be"),
        ({"batch_size": 3}, "batch_size needs data"),
        ({"optimizer": torch.optim.Adam}, None),
        ({"optimizer": 0.1}, "function from parameters to a torch optimiser.*got 0.1"),
        ({"optimizer": lambda params: params}, "function from parameters to a torch optimiser"),
        ({"parameters": [torch.zeros(2)]}, "number 0 is one without requires_grad"),
        ({"parameters": ["weights"]}, "number 0 is str"),
    ],
)
def test_arguments(options: dict[str, Any], message: str | None) -> None:
    options = {"steps": 10, **options}
    if message is None:
        fit(linear, bits(3), generator=seeded(), **options)
        return
    with pytest.raises(ValueError, match=message):
        fit(linear, bits(3), generator=seeded(), **options)


def test_an_optimiser_that_is_made_already_is_refused() -> None:
    made = torch.optim.Adam([torch.zeros(3, requires_grad=True)])
    with pytest.raises(ValueError, match="doesn't know the copy of q's logits"):
        fit(linear, bits(3), optimizer=made)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ((DATA, DATA[:4]), {}, r"same length.*data\[0\] has 6, data\[1\] has 4"),
        ({"x": DATA, "y": DATA[:5]}, {}, r"data\['x'\] has 6, data\['y'\] has 5"),
        (DATA.numpy(), {}, r"data must be a tensor.*got ndarray.*torch.as_tensor"),
        ((DATA, 3.0), {}, r"data\[1\] must be a tensor.*got float"),
        (torch.tensor(1.0), {}, "got a single number"),
        (DATA[:0], {}, "no items"),
        (DATA, {"batch_size": 7}, "at most the 6 items.*got 7"),
        (DATA, {"batch_size": 0}, "batch_size must be"),
        (DATA, {"batch_size": 2, "objective": "importance"}, "need all rows at once"),
    ],
)
def test_data(data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(shared, bits(3), data=data, generator=seeded(), **options)


@pytest.mark.parametrize("estimator", [hg.GumbelSoftmax(0.5), hg.StraightThrough(), hg.REBAR()])
@pytest.mark.parametrize("kind", ["detached", "rounded", "with parameters"])
def test_an_estimator_that_needs_a_gradient_which_isnt_there(
    estimator: hg.Estimator, kind: str
) -> None:
    weight = torch.tensor(1.0, requires_grad=True)
    functions = {
        "detached": lambda z: linear(z.detach()),
        "rounded": lambda z: linear(z.round()),
        "with parameters": lambda z: linear(z.detach()) * weight,
    }
    with pytest.raises(ValueError, match=r"log_joint, which has no gradient to z.*ScoreFun"):
        fit(functions[kind], bits(3), estimator=estimator, generator=seeded())
    fit(functions[kind], bits(3), steps=3, generator=seeded())


def test_the_unknown_without_a_gradient_is_named() -> None:
    q = hg.Joint(a=bits(3), b=bits(2))
    with pytest.raises(ValueError, match="no gradient to 'b'"):
        fit(
            lambda z: linear(z["a"]) + (z["b"] > 0.5).sum(-1).float(),
            q,
            estimator=hg.StraightThrough(),
            generator=seeded(),
        )


@pytest.mark.parametrize("estimator", [None, hg.StraightThrough()])
def test_an_ignored_unknown_is_warned_of(estimator: hg.Estimator | None) -> None:
    q = hg.Joint(used=bits(3), spare=bits(2), other=bits(1))
    with pytest.warns(UserWarning, match="log_joint ignores 'spare' and 'other'"):
        result = fit(
            lambda z: linear(z["used"]), q, estimator=estimator, steps=20, generator=seeded()
        )
    torch.testing.assert_close(result.marginals["spare"], torch.full((2,), 0.5), atol=0.2, rtol=0)


@pytest.mark.parametrize("estimator", [None, hg.StraightThrough()])
@pytest.mark.parametrize(
    ("q", "log_joint", "message"),
    [
        (
            bits(5),
            lambda z: linear(z[..., 1:4]),
            r"ignores 2 of 5 unknowns in z, the first at \[0\]",
        ),
        (
            hg.OneHotCategorical(logits=torch.zeros(2, 3)).to_event(1),
            lambda z: linear(z[..., 1, :]),
            r"ignores 1 of 2 unknowns in z, the first at \[0, 0\]",
        ),
        (
            hg.Joint(a=bits(4), b=bits(2)),
            lambda z: linear(z["a"][..., :3]) + z["b"].sum(-1),
            r"ignores 1 of 4 unknowns in 'a', the first at \[3\]",
        ),
    ],
    ids=["bits", "categories", "joint"],
)
def test_some_of_a_laws_unknowns_that_are_ignored_are_warned_of(
    q: Any, log_joint: Any, message: str, estimator: hg.Estimator | None
) -> None:
    with pytest.warns(UserWarning, match=message):
        fit(log_joint, q, estimator=estimator, steps=3, generator=seeded())


@pytest.mark.parametrize(
    "log_joint",
    [
        lambda z: linear(z.mul_(1.0)),
        lambda z: torch.from_numpy(z.numpy() @ SCORES.numpy()),
        lambda z: linear(z) + 5 * z[..., 0] * (z[..., 1] - z[..., 1].square()),
    ],
    ids=["in place", "numpy", "a slope of 0 at 0 and 1"],
)
def test_what_is_not_ignored_isnt_called_so(log_joint: Any) -> None:
    fit(log_joint, bits(3), steps=3, generator=seeded())


def test_a_log_joint_that_ignores_everything_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="log_joint ignores z"):
        fit(lambda z: torch.zeros(len(z)), bits(2), steps=10, generator=seeded())


def test_an_unknown_that_is_certain_isnt_called_ignored() -> None:
    q = hg.Joint(used=bits(3), certain=hg.Bernoulli(logits=torch.tensor(torch.inf)))
    result = fit(lambda z: linear(z["used"]) * z["certain"], q, steps=20, generator=seeded())
    assert result.marginals["certain"].item() == 1


@pytest.mark.parametrize(
    "optimizer",
    [functools.partial(torch.optim.SGD, lr=1e6), functools.partial(torch.optim.Adam, lr=1e4)],
)
def test_a_step_size_that_diverges_is_stopped(optimizer: Any) -> None:
    with pytest.warns(UserWarning, match=r"diverged: by step .* smaller step size"):
        result = fit(boltzmann(6, 0), bits(6), optimizer=optimizer, generator=seeded())
    assert not result.converged
    assert len(result.trace.bounds) == 100
    # the start was the last good state
    assert torch.equal(result.marginals, torch.full((6,), 0.5))
    assert "The state of step 0 is kept" in result.reason


def test_a_bound_that_falls_is_stopped_and_the_best_state_kept() -> None:
    """A step far too large for the model's parameter, while q's logits stay where they are."""
    centre = nn.Parameter(torch.tensor(0.5))

    def log_joint(z: Tensor) -> Tensor:
        return -(z.sum(-1) - centre).abs()

    with pytest.warns(UserWarning, match="the bound fell from -?[0-9.]+ at the start to -"):
        result = fit(
            log_joint,
            bits(2),
            parameters=[centre],
            optimizer=functools.partial(torch.optim.SGD, lr=50.0),
            steps=1000,
            generator=seeded(),
        )
    assert centre.item() == 0.5
    assert not result.converged


def test_a_model_that_turns_nan_is_stopped_with_its_sample_named() -> None:
    scale = nn.Parameter(torch.tensor(2.0))

    def log_joint(z: Tensor) -> Tensor:
        return linear(z) * scale.log()

    with pytest.warns(UserWarning, match=r"step \d+ failed. log_joint returned nan .* z = \["):
        result = fit(
            log_joint,
            hg.Bernoulli(logits=torch.full((3,), 2.0)).to_event(1),
            parameters=[scale],
            optimizer=functools.partial(torch.optim.SGD, lr=5.0, maximize=True),
            generator=seeded(),
        )
    assert scale.item() == 2
    assert not result.converged
    assert "failed" in result.reason


class Layers(nn.Module):
    """q(z | x) whose logits are NaN where its weights are huge."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))

    def forward(self, x: Tensor) -> hg.OneHotCategorical:
        return hg.OneHotCategorical(logits=self.layers(x))


def test_a_q_that_turns_nan_is_stopped_and_the_last_good_state_kept() -> None:
    """The law refuses its logits before there is any bound."""
    q = Layers()
    before = [tensor.clone() for tensor in q.parameters()]
    with pytest.warns(UserWarning, match=r"step \d+ failed\. logits must be finite"):
        result = fit(
            lambda z, x: linear(z) * x[:, 1],
            q,
            data=DATA,
            optimizer=functools.partial(torch.optim.SGD, lr=1e30),
            generator=seeded(),
        )
    assert not result.converged
    assert all(torch.equal(one, two) for one, two in zip(before, q.parameters(), strict=True))


def test_errors_that_the_good_state_leads_to_as_well_come_through() -> None:
    calls: list[int] = []

    def broken(z: Tensor) -> Tensor:
        calls.append(1)
        if len(calls) > 30:
            raise ValueError("the file has gone")
        return linear(z)

    with pytest.raises(ValueError, match="the file has gone"):
        fit(broken, bits(3), steps=50, generator=seeded())


class Spoiling(torch.optim.SGD):
    """After so many steps everything is NaN."""

    def __init__(self, params: Any, after: int) -> None:
        super().__init__(params, lr=0.1)
        self.left = after

    def step(self, closure: Any = None) -> None:
        super().step()
        self.left -= 1
        if not self.left:
            with torch.no_grad():
                for tensor in self.param_groups[0]["params"]:
                    tensor.fill_(torch.nan)


@pytest.mark.parametrize(
    ("after", "steps", "kept"), [(20, 20, 0), (50, 200, 0), (60, 200, 50)], ids=str
)
def test_nan_isnt_taken_for_a_good_state(after: int, steps: int, kept: int) -> None:
    """Neither at the last step, nor where a window ends."""
    with pytest.warns(UserWarning, match=f"The state of step {kept} is kept"):
        result = fit(
            linear,
            bits(3),
            optimizer=functools.partial(Spoiling, after=after),
            steps=steps,
            generator=seeded(),
        )
    assert bool(result.marginals.isfinite().all())


def test_a_step_whose_weights_are_all_impossible_doesnt_lose_the_fit() -> None:
    options = {"estimator": hg.VIMCO(), "objective": "importance", "num_samples": 4, "steps": 2000}
    with pytest.warns(UserWarning, match=r"step \d+ failed\. log_weight is -inf.*more samples"):
        result = fit(where_two(-torch.inf), bits(3), generator=seeded(), **options)
    assert result.bound(1000, generator=seeded()) == pytest.approx(math.log(5), abs=0.2)


def test_nan_at_a_rare_state_doesnt_lose_the_fit() -> None:
    """The steps never meet it; looking back does."""
    q = hg.Bernoulli(logits=torch.full((10,), -1.0)).to_event(1)
    log_joint = where_two(torch.nan)
    rare = lambda z: log_joint(z[..., :2]) if len(z) > 16 else z.sum(-1)  # noqa: E731
    result = fit(rare, q, steps=20, generator=seeded())
    assert result.reason.startswith("took all")
    with pytest.warns(UserWarning, match=r"bound of the fit is unknown\. log_joint returned nan"):
        assert math.isnan(result.elbo)
    with pytest.raises(ValueError, match="nan") as raised:
        result.diagnose()
    # with the frames of the error still there, as in a notebook
    assert raised.tb is not None
    assert torch.is_grad_enabled()
    assert result.marginals.mean() > 0.3


def test_user_errors_come_through() -> None:
    with pytest.raises(KeyError, match="missing"):
        fit(lambda z: z["missing"], hg.Joint(a=bits(2)))


class Stubborn(hg.Bernoulli):
    """A law of a user's own that leaves `with_logits` to its parent, which doesn't know it."""


def test_a_law_whose_copies_are_of_another_class_is_refused() -> None:
    with pytest.raises(ValueError, match="Stubborn, whose with_logits makes another law, a Bern"):
        fit(linear, Stubborn(logits=torch.zeros(3)).to_event(1))


def test_logits_that_require_a_gradient_are_a_start_like_any_other() -> None:
    logits = torch.zeros(3, requires_grad=True)
    result = fit(linear, hg.Bernoulli(logits=logits).to_event(1), steps=60, generator=seeded())
    assert result.marginals[2] > 0.5
    assert logits.grad is None
    assert not bool(logits.any())
