"""What `fit` says of input that it can't use."""

import math
from typing import Any

import pytest
import torch
from inference.models import DATA, bits, linear, seeded, where_two
from torch import Tensor, nn

import hotgrad as hg
from hotgrad.inference import diagnose, exact_posterior, fit
from hotgrad.inference.arviz import as_inference_data


def shared(z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    return z.sum(-1), z.sum(-1, keepdim=True) * x[:, 0]


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
            r"second part.*must have shape \(16, 2\), \(num_samples, \*batch, rows\); got \(16,\)",
        ),
        (
            lambda z, x: (z, linear(z)),
            {"data": DATA},
            r"first part.*must have shape \(16,\).*got \(16, 3\)",
        ),
        (lambda z, x: (linear(z),), {"data": DATA}, "a tuple of 1"),
        ("model", {}, "log_joint must be a function of z, got 'model'"),
        (None, {}, "log_joint must be a function of z, got None"),
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
        ("bits", {}, "q must be a distribution.*or a module or function.*got 'bits'"),
        (hg.Bernoulli, {}, "q must be a distribution"),
        (Counter(), {}, "nothing to learn"),
        (lambda: bits(3), {"parameters": [torch.zeros(1, requires_grad=True)]}, "has no gradient"),
        (Frozen(), {}, "nothing to learn.*or none that require a gradient"),
        (bits(0), {}, r"no unknowns: its batch shape is \(\), its event shape \(0,\)"),
        (lambda: 3, {"parameters": [torch.zeros(1, requires_grad=True)]}, "it returned int"),
        (
            hg.Bernoulli(logits=2 * torch.zeros(3, requires_grad=True)).to_event(1),
            {},
            "logits of q was computed from other tensors.*logits.detach()",
        ),
        (torch.distributions.Normal(0.0, 1.0), {}, "Normal, a continuous"),
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


@pytest.mark.parametrize("bad", [3, "x", torch.zeros(2), dict], ids=repr)
@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("generator", lambda bad: fit(linear, bits(3), steps=2, generator=bad)),
        ("generator", lambda bad: diagnose(bits(3), linear, generator=bad)),
        ("progress", lambda bad: fit(linear, bits(3), steps=2, progress=bad)),
        ("log_joint", lambda bad: fit(bad, bits(3), steps=2)),
        ("log_joint", lambda bad: diagnose(bits(3), bad)),
        ("log_joint", lambda bad: exact_posterior(bits(3), bad)),
        ("parameters", lambda bad: fit(linear, bits(3), steps=2, parameters=bad)),
        ("q", lambda bad: fit(linear, bad, steps=2)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_kinds_of_things(name: str, ask: Any, bad: Any) -> None:
    """A short message that begins with the argument's name, never an error of torch's."""
    with pytest.raises(ValueError, match=f"^{name} must be") as raised:
        ask(bad)
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("bad", [None, 3, "x", {"z": 3}], ids=repr)
def test_samples_for_arviz_are_tensors(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"^samples must be a tensor, or tensors by name"):
        as_inference_data(bad)


@pytest.mark.parametrize("bad", [3, "x", torch.zeros(2)], ids=repr)
def test_a_fit_is_asked_with_a_generator(bad: Any) -> None:
    result = fit(linear, bits(3), steps=2, generator=seeded())
    for ask in (result.sample, result.bound, result.diagnose):
        with pytest.raises(ValueError, match=r"^generator must be a torch\.Generator or None"):
            ask(30, generator=bad)


def test_messages_of_many_unknowns_are_short() -> None:
    q = hg.Joint(**{f"unknown_{number}": bits(2) for number in range(60)})
    for log_joint in (
        lambda z: z["unknown_0"],
        lambda z: z["unknown_0"].sum(-1) * torch.nan,
        lambda z: torch.zeros(len(z["unknown_0"])) - torch.inf,
    ):
        with pytest.raises(ValueError, match="log_joint") as raised:
            fit(log_joint, q, steps=2, generator=seeded())
        assert len(str(raised.value)) < 600
    with pytest.warns(UserWarning, match="log_joint ignores .* and 53 more") as warned:
        result = fit(lambda z: z["unknown_0"].sum(-1), q, steps=1, generator=seeded())
    assert len(str(warned[0].message)) < 600
    assert len(repr(result)) < 600


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
        (DATA[:0], {}, "no rows"),
        (DATA, {"batch_size": 7}, "at most the 6 rows.*got 7"),
        (DATA, {"batch_size": 0}, "batch_size must be"),
        (DATA, {"batch_size": 2, "objective": "importance"}, "need all rows at once"),
    ],
)
def test_data(data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(shared, bits(3), data=data, generator=seeded(), **options)


@pytest.mark.parametrize("data", [{}, {"data": DATA}], ids=["alone", "own rows"])
def test_parts_left_in_the_batch_are_told_how_to_join_the_event(data: dict[str, Any]) -> None:
    batch = (len(DATA), 3) if data else (3,)
    q = hg.Bernoulli(logits=torch.zeros(batch))
    why = r"if (these are|its last dimensions, \(3,\), are) parts of one z, use q\.to_event\(1\)"
    with pytest.raises(ValueError, match=why):
        fit(lambda z, *x: z.sum(-1), q, steps=2, **data)
    with pytest.raises(ValueError, match=why):
        diagnose(q, lambda z: z.sum(-1))
    fit(lambda z, *x: z.sum(-1), q.to_event(1), steps=2, generator=seeded(), **data)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"estimator": hg.StraightThrough()},
        {"estimator": hg.VIMCO(), "objective": "importance"},
    ],
    ids=["score", "pathwise", "importance"],
)
def test_a_log_joint_may_change_z_in_place(options: dict[str, Any]) -> None:
    weights = torch.tensor([1.0, -2.0, 0.5])
    results = []
    for log_joint in (
        lambda z: -((1 - z) * weights).sum(-1).square(),
        lambda z: -(z.neg_().add_(1) * weights).sum(-1).square(),
    ):
        found = fit(log_joint, bits(3), steps=20, generator=seeded(), **options)
        looked = found.diagnose(generator=seeded())
        results.append((found.elbo, found.marginals, looked.bounds, looked.weighted_marginals))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_user_errors_come_through() -> None:
    with pytest.raises(KeyError, match="missing"):
        fit(lambda z: z["missing"], hg.Joint(a=bits(2)))


class Stubborn(hg.Bernoulli):
    """A distribution of a user's own whose `with_params` makes another."""

    def with_params(self, params: Any) -> Any:
        return hg.Bernoulli(**params)


def test_a_distribution_whose_copies_are_of_another_class_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Stubborn has a with_params .* a Bern"):
        fit(linear, Stubborn(logits=torch.zeros(3)).to_event(1))


def test_logits_that_require_a_gradient_are_a_start_like_any_other() -> None:
    logits = torch.zeros(3, requires_grad=True)
    result = fit(linear, hg.Bernoulli(logits=logits).to_event(1), steps=60, generator=seeded())
    assert result.marginals[2] > 0.5
    assert logits.grad is None
    assert not bool(logits.any())
