"""A fit's file: what comes back is what was saved, bit for bit; what can't fit is refused."""

import errno
import json
import math
import os
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import hotgrad as hg
from hotgrad import inference
from hotgrad.inference import Fit, fit, load
from hotgrad.inference.training import Ending
from hotgrad.tensor_files import read_tensors, write_tensors

ROWS = 6


def logits(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


CASES: dict[str, Any] = {
    "a bit": hg.Bernoulli(logits=logits()),
    "bits": hg.Bernoulli(logits=logits(2, 3)).to_event(1),
    "in float64": hg.Bernoulli(logits=logits(3).double()).to_event(1),
    "in bfloat16": hg.Bernoulli(logits=logits(3).bfloat16()).to_event(1),
    "unchecked": hg.Bernoulli(logits=logits(3), validate_args=False),
    "categories": hg.OneHotCategorical(logits=logits(2, 4)),
    "masked": hg.OneHotCategorical(logits=torch.tensor([0.5, -torch.inf, 1.0])),
    "a grid of categories": hg.OneHotCategorical(logits=logits(2, 3, 4)).to_event(2),
    "a subset": hg.KSubset(logits(5), 2),
    "subsets in order": hg.PlackettLuceSubset(logits(2, 4), 2).to_event(1),
    "torch's own": torch.distributions.Bernoulli(logits=logits(3)),
    "a joint": hg.Joint(
        kept=hg.Bernoulli(logits=logits(2)).to_event(1),
        kind=hg.OneHotCategorical(logits=logits(3)),
        few=hg.KSubset(logits(4), 1),
    ),
}


def summed(q: Any) -> Any:
    """A log joint in the shape of q, in which no two unknowns are alike."""

    def log_joint(z: Any) -> Tensor:
        total = torch.zeros(())
        for part in z.values() if isinstance(z, dict) else [z]:
            weights = torch.linspace(-1, 1.3, part[0].numel(), dtype=part.dtype)
            terms = (part * weights.view(part.shape[1:])).reshape(len(part), *q.batch_shape, -1)
            total = total + terms.sum(-1)
        return total

    return log_joint


def fitted(q: Any, steps: int = 3) -> Fit:
    generator = torch.Generator().manual_seed(0)
    return fit(summed(q), q, steps=steps, num_samples=2, generator=generator)


@cache
def fitted_case(name: str) -> Fit:
    """For the tests that only save it."""
    return fitted(CASES[name])


def same(one: Any, other: Any) -> bool:
    """Whether two samples, or dicts of them, are equal bit for bit."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    return one.dtype == other.dtype and torch.equal(one, other)


def drawn(result: Fit) -> Any:
    return result.sample(5, generator=torch.Generator().manual_seed(1))


class Maker(nn.Module):
    """A distribution made from the data; its weights are learned."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer = nn.Linear(2, width)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Any:
        self.calls += 1
        return hg.Bernoulli(logits=self.layer(x)).to_event(1)


class Likelihood(nn.Module):
    """A log joint with parameters of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, z: Tensor, x: Tensor) -> Tensor:
        return -(x - z * self.weight).square().sum(-1)


DATA = logits(ROWS, 2)


@cache
def amortised() -> Fit:
    generator = torch.Generator().manual_seed(0)
    return fit(Likelihood(), Maker(), data=DATA, steps=3, generator=generator)


def mixture(mean: nn.Parameter) -> Any:
    """A log joint that is a plain function, of a parameter."""
    return lambda z, x: -(z * (x[:, :1] - mean).square()).sum(-1)


# What comes back.


@pytest.mark.parametrize("name", CASES)
def test_a_distribution_comes_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    q, before = CASES[name], fitted_case(name)
    before.save(tmp_path / "fit.safetensors")
    after = load(tmp_path / "fit.safetensors", log_joint=summed(q))
    assert repr(after.posterior) == repr(before.posterior)
    assert same(after.posterior.logits, before.posterior.logits)
    assert same(after.marginals, before.marginals)
    assert same(drawn(after), drawn(before))
    assert after.trace == before.trace
    assert len(after.trace.steps) == 3
    for what in ("label", "reason", "outcome", "elbo"):
        assert getattr(after, what) == getattr(before, what)
    seeded = [torch.Generator().manual_seed(2) for _ in range(2)]
    assert after.bound(10, generator=seeded[0]) == before.bound(10, generator=seeded[1])


@pytest.mark.parametrize("name", CASES)
def test_a_file_saved_again_is_the_same(name: str, tmp_path: Path) -> None:
    fitted_case(name).save(tmp_path / "one")
    load(tmp_path / "one").save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("elbo", [-math.inf, math.nan])
def test_an_elbo_that_is_not_finite(elbo: float, tmp_path: Path) -> None:
    before = fitted_case("bits")
    result = Fit(before._problem, "label", before.trace, Ending("diverged", "why"), elbo)
    result.save(tmp_path / "fit")
    assert str(load(tmp_path / "fit").elbo) == str(elbo)


def test_a_module_is_filled(tmp_path: Path) -> None:
    before = amortised()
    before.save(tmp_path / "fit")
    q, likelihood = Maker(), Likelihood()
    after = load(tmp_path / "fit", log_joint=likelihood, q=q, data=DATA)
    assert after.posterior is q
    assert not torch.equal(likelihood.weight, torch.ones(2))
    old = before.posterior.state_dict()
    for name, tensor in q.state_dict().items():
        assert same(tensor, old[name])
    assert same(after.marginals, before.marginals)
    assert same(drawn(after), drawn(before))
    generators = [torch.Generator().manual_seed(2) for _ in range(2)]
    assert after.bound(10, generator=generators[0]) == before.bound(10, generator=generators[1])


def test_a_module_takes_other_rows(tmp_path: Path) -> None:
    amortised().save(tmp_path / "fit")
    after = load(tmp_path / "fit", log_joint=Likelihood(), q=Maker(), data=logits(9, 2))
    assert after.marginals.shape == (9, 2)
    assert math.isfinite(after.bound(10))


def test_parameters_are_filled(tmp_path: Path) -> None:
    old, new = nn.Parameter(torch.tensor([0.0, 0.5])), nn.Parameter(torch.zeros(2))
    q = hg.OneHotCategorical(logits=torch.zeros(ROWS, 2))
    generator = torch.Generator().manual_seed(0)
    before = fit(mixture(old), q, data=DATA, parameters=[old], steps=4, generator=generator)
    before.save(tmp_path / "fit")
    after = load(tmp_path / "fit", log_joint=mixture(new), data=DATA, parameters=new)
    assert same(new.detach(), old.detach())
    assert bool(new.any())
    assert same(after.marginals, before.marginals)
    generators = [torch.Generator().manual_seed(2) for _ in range(2)]
    assert after.bound(10, generator=generators[0]) == before.bound(10, generator=generators[1])


# Without the model.


def test_without_its_log_joint_a_fit_only_looks(tmp_path: Path) -> None:
    before = fitted_case("a joint")
    before.save(tmp_path / "fit")
    after = load(tmp_path / "fit")
    assert same(after.marginals, before.marginals)
    assert same(drawn(after), drawn(before))
    assert repr(after) == repr(before)
    after.plot(tmp_path / "fit.png")
    assert (tmp_path / "fit.png").is_file()
    for ask in (after.bound, lambda: after.diagnose(50)):
        with pytest.raises(ValueError, match=r"loaded without its log_joint.*load\(path"):
            ask()


def test_what_a_model_learned_survives_without_it(tmp_path: Path) -> None:
    amortised().save(tmp_path / "one")
    load(tmp_path / "one", q=Maker()).save(tmp_path / "two")
    assert same(load_file(tmp_path / "two"), load_file(tmp_path / "one"))


def test_without_data_a_module_is_all_there_is(tmp_path: Path) -> None:
    amortised().save(tmp_path / "fit")
    after = load(tmp_path / "fit", q=Maker())
    assert isinstance(after.posterior, Maker)
    for ask in (lambda: after.marginals, after.sample, lambda: after.plot(tmp_path / "fit.png")):
        with pytest.raises(ValueError, match="loaded without them"):
            ask()


def test_rows_of_their_own_need_no_data_to_look(tmp_path: Path) -> None:
    q = hg.Bernoulli(logits=logits(ROWS, 2)).to_event(1)
    before = fit(Likelihood(), q, data=DATA, steps=2, batch_size=4)
    before.save(tmp_path / "fit")
    assert same(load(tmp_path / "fit").marginals, before.marginals)


# Files of before.


def in_format_2(file: Path) -> None:
    """The same fit as the format of before held it: other words, and parameters without names."""
    tensors, text = read_tensors(file)

    before = {"kind": "law", "validate_args": "checked", "ndims": "dims", "factors": "parts"}

    def of_before(q: Any) -> Any:
        if not isinstance(q, dict):
            return q
        inside = {"inside": of_before(q["inside"])} if "inside" in q else {}
        if "factors" in q:
            inside["factors"] = {name: of_before(own) for name, own in q["factors"].items()}
        return {before.get(word, word): value for word, value in (q | inside).items()}

    described = json.loads(text)
    described |= {"format": 2, "law": of_before(described.pop("distribution"))}
    if described["maker"] != "Maker":
        names = {n: n.removesuffix("logits").removesuffix(".") for n in tensors if n[:2] == "q."}
        names["q.logits"] = "q."
        tensors = {names.get(name, name): tensor for name, tensor in tensors.items()}
    write_tensors(file, tensors, json.dumps(described))


@pytest.mark.parametrize(
    "result",
    [
        *(lambda name=name: fitted_case(name) for name in ("a grid of categories", "a joint")),
        lambda: fitted(
            hg.Joint(law=CASES["bits"], inside=CASES["unchecked"].expand((2, 3)).to_event(1))
        ),
        lambda: fitted(Mine(logits=logits(2))),
        lambda: fitted(hg.Joint(mine=Mine(logits=logits(2)), kind=hg.Bernoulli(logits=logits(2)))),
        amortised,
    ],
    ids=["one", "a joint", "names like words of the format", "mine", "mine among others", "module"],
)
def test_files_of_the_format_before_are_read(result: Any, tmp_path: Path) -> None:
    before = result()
    before.save(tmp_path / "fit")
    in_format_2(tmp_path / "fit")
    assert '"law"' in read_tensors(tmp_path / "fit")[1]
    given: dict[str, Any] = {}
    if result is amortised:
        given = {"q": Maker(), "log_joint": Likelihood(), "data": DATA}
    elif "Mine" in repr(before.posterior):
        given = {"q": before.posterior}
    after = load(tmp_path / "fit", **given)
    assert same(after.marginals, before.marginals)
    assert after.trace == before.trace


def test_files_of_older_formats_are_refused(tmp_path: Path) -> None:
    fitted_case("bits").save(tmp_path / "fit")
    rewritten(tmp_path / "fit", format=1, library="0.1")
    with pytest.raises(ValueError, match=r"earlier format, by hotgrad '0.1'; .* 2 to 3"):
        load(tmp_path / "fit")


# What doesn't fit.


@pytest.fixture
def of_rows(tmp_path: Path) -> Path:
    """The file of a fit with data, a module and a model that learns."""
    amortised().save(tmp_path / "fit")
    return tmp_path / "fit"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "can't be rebuilt from the file, a Maker. Give it as q="),
        ({"q": Maker(3)}, r"q doesn't fit .*q\.layer\.(bias|weight) is float32 of shape \(2,"),
        ({"q": Maker().double()}, "float64"),
        ({"q": CASES["bits"]}, r"kind 'Maker'; q is 'Independent'\. Give the same"),
        ({"q": Maker(), "log_joint": Likelihood()}, "had data of 6 rows, which log_joint"),
        (
            {"q": Maker(), "log_joint": lambda z, x: z.sum(-1), "data": DATA},
            r"log_joint doesn't fit .*model.weight is float32 of shape \(2,\) in the file and not",
        ),
        (
            {"q": Maker(), "parameters": [nn.Parameter(torch.ones(1))]},
            r"parameters doesn't fit .*parameters.0 is not there in the file",
        ),
    ],
    ids=[
        "no q",
        "another width",
        "another dtype",
        "a distribution",
        "no data",
        "no module",
        "parameters",
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], message: str, of_rows: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load(of_rows, **given)


def test_a_refused_file_leaves_modules_as_they_were(of_rows: Path) -> None:
    q = Maker()
    before = q.layer.weight.detach().clone()
    with pytest.raises(ValueError, match="log_joint doesn't fit"):
        load(of_rows, q=q, log_joint=lambda z, x: z.sum(-1), data=DATA)
    assert torch.equal(q.layer.weight, before)


def test_a_distribution_of_another_kind_or_other_rows_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "fit"
    fitted(hg.KSubset(logits(4), 2)).save(file)
    with pytest.raises(ValueError, match=r"'k': 2.*'k': 1"):
        load(file, q=hg.KSubset(logits(4), 1))
    with pytest.raises(ValueError, match=r"had no data; these have 6\."):
        load(file, log_joint=lambda z, x: z.sum(-1), data=DATA)
    fit(Likelihood(), hg.Bernoulli(logits=logits(ROWS, 2)).to_event(1), data=DATA, steps=1).save(
        file
    )
    with pytest.raises(ValueError, match=r"had data of 6 rows; these have 4\."):
        load(file, log_joint=Likelihood(), data=DATA[:4])


class Mine(hg.Bernoulli):
    """A distribution of a user's own."""


class Yours(Mine):
    """Another one."""


def test_a_distribution_of_ones_own_comes_back_if_its_class_is_known(tmp_path: Path) -> None:
    file = tmp_path / "fit"
    result = fit(lambda z: 2 * z, Mine(logits=logits(1).squeeze()), steps=3)
    result.save(file)
    for again in (load(file), load(file, q=Mine(logits=torch.tensor(0.0)))):
        assert type(again.posterior) is Mine
        assert same(again.marginals, result.marginals)
    with pytest.raises(ValueError, match=r"'Mine'.*; q is .*'Yours'.* give the same"):
        load(file, q=Yours(logits=torch.tensor(0.0)))


# What is no fit. The checksums of these files are right: somebody made them so.


def rewritten(file: Path, *, without: str = "", **changes: Any) -> None:
    """Other words in the description, or one less."""
    tensors, text = read_tensors(file)
    described = {**json.loads(text), **changes}
    described.pop(without, None)
    write_tensors(file, tensors, json.dumps(described))


def with_text(text: str) -> Any:
    return lambda file: write_tensors(file, read_tensors(file)[0], text)


def with_tensors(**changes: Any) -> Any:
    """Other tensors, or without those that are None; `q` is that of the logits."""

    def change(file: Path) -> None:
        tensors, text = read_tensors(file)
        merged = tensors | {name.replace("__", "."): t for name, t in changes.items()}
        write_tensors(file, {n: t for n, t in merged.items() if t is not None}, text)

    return change


def of_a_stranger(file: Path) -> None:
    save_file({"weight": torch.ones(2)}, file)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def swapped(file: Path) -> None:
    file.write_text("not a tensor in sight")


def described(**changes: Any) -> Any:
    """The description of two bits in one event, with something else in it."""
    inside = {"kind": "Bernoulli", "validate_args": True}
    outside = {"kind": "Independent", "ndims": 1, "inside": inside, "validate_args": True}
    return {**outside, **changes}


BIG = 10**400
NO_FIT: dict[str, tuple[Any, str]] = {
    "absent": (Path.unlink, "There is no file"),
    "a stranger's": (of_a_stranger, "has no checksum"),
    "cut": (cut, "damaged, cut short"),
    "text": (swapped, "no safetensors file"),
    "other tensors of ours": (with_text(""), "holds tensors, but no fit"),
    "no JSON": (with_text("{"), "holds tensors, but no fit"),
    "a number of 5,000 digits": (with_text('{"format": 1' + "0" * 5000 + "}"), "but no fit"),
    "nested too deeply": (with_text("[" * 100_000), "holds tensors, but no fit"),
    "a list": (with_text("[2]"), "holds tensors, but no fit"),
    "no trace": (with_tensors(trace__bounds=None), "makes no sense .KeyError: 'trace.bounds'"),
    "half a trace": (
        with_tensors(trace__bounds=torch.zeros(1, dtype=torch.float64)),
        r"bounds of shape \(1,\), step sizes of shape \(3,\)",
    ),
    "several ELBOs": (with_tensors(elbo=torch.zeros(2)), r"ELBO of shape \(2,\)"),
    "NaN": (with_tensors(q__logits=torch.full((2, 3), torch.nan)), "logits must not be NaN"),
    "whole numbers": (
        with_tensors(q__logits=torch.zeros(2, 3, dtype=torch.int64)),
        "floating point",
    ),
    "no parameters": (with_tensors(q__logits=None), "can't be rebuilt .ValueError: .* got neither"),
    "newer": (
        lambda file: rewritten(file, format=4, library="9.0"),
        "of a later format, by hotgrad '9.0'; this",
    ),
    "much newer": (lambda file: rewritten(file, format=BIG), "of a later format"),
    "format in words": (lambda file: rewritten(file, format="new"), "but no fit"),
    "no reason": (lambda file: rewritten(file, without="reason"), "KeyError: 'reason'"),
    "reason a number": (lambda file: rewritten(file, reason=0.1), "reason is 0.1, no str"),
    "outcome unknown": (lambda file: rewritten(file, outcome="won"), "Unknown outcome 'won'"),
    "relaxed in words": (lambda file: rewritten(file, relaxed="no"), "relaxed is 'no', no bool"),
    "rows in words": (lambda file: rewritten(file, rows="0.1"), "rows is '0.1', no int or None"),
    "unknown kind": (
        lambda file: rewritten(file, distribution={"kind": "Poisson", "validate_args": True}),
        "'Poisson' isn't known here: import",
    ),
    "kind a list": (
        lambda file: rewritten(file, distribution=["Bernoulli"]),
        "distribution is .'Bernoulli'., no",
    ),
    "dims in words": (
        lambda file: rewritten(file, distribution=described(ndims="0.1")),
        "ndims is '0.1', no int",
    ),
    "dims a flag": (
        lambda file: rewritten(file, distribution=described(ndims=True)),
        "ndims is True, no int",
    ),
    "dims below 0": (
        lambda file: rewritten(file, distribution=described(ndims=-1)),
        "from 0 to 2, .* got -1",
    ),
    "dims absurd": (
        lambda file: rewritten(file, distribution=described(ndims=BIG)),
        "from 0 to 2, .* got 10000",
    ),
    "k absurd": (
        lambda file: rewritten(
            file, distribution={"kind": "KSubset", "validate_args": True, "k": BIG}
        ),
        "k must be an integer from 0 to n = 3",
    ),
    "k in words": (
        lambda file: rewritten(
            file, distribution={"kind": "KSubset", "validate_args": True, "k": "0.1"}
        ),
        "k must be an integer .* got '0.1'",
    ),
    "parts a list": (
        lambda file: rewritten(file, distribution={"kind": "Joint", "factors": ["a"]}),
        r"factors is \['a'\], no dict",
    ),
}


@pytest.mark.parametrize(("change", "message"), NO_FIT.values(), ids=list(NO_FIT))
def test_what_is_no_fit_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    file = tmp_path / "fit.safetensors"
    fitted_case("bits").save(file)
    change(file)
    with pytest.raises(ValueError, match=message) as raised:
        load(file)
    said = str(raised.value)
    assert str(file) in said
    assert len(said.replace(str(file), "")) < 500
    assert "\n" not in said


def test_no_flip_of_a_bit_is_taken_for_another_fit(tmp_path: Path) -> None:
    file = tmp_path / "fit.safetensors"
    before = fitted_case("bits")
    before.save(file)
    whole, draws = file.read_bytes(), random.Random(0)
    refused: list[str] = []
    for _ in range(200):
        place = draws.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(bytes(flipped))
        try:
            after = load(file)
        except ValueError as error:
            refused.append(str(error))
            continue
        # blanks of the header's padding mean nothing
        assert same(after.marginals, before.marginals)
        assert (after.reason, after.elbo, after.trace) == (
            before.reason,
            before.elbo,
            before.trace,
        )
    assert len(refused) > 180
    assert all(str(file) in said for said in refused)


def test_what_does_not_fit_is_refused_before_anything_is_made_for_it(of_rows: Path) -> None:
    """A file may announce any shape: it is compared with what was given, not made."""
    with_tensors(q__layer__bias=torch.zeros(()).expand(1 << 16))(of_rows)
    with pytest.raises(ValueError, match=r"q.layer.bias is float32 of shape \(65536,\) in the"):
        load(of_rows, q=Maker())


def test_a_file_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = fitted_case("bits")
    result.save(tmp_path / "fit")
    kept = (tmp_path / "fit").read_bytes()

    def fails(path: Path, content: bytes) -> int:
        with path.open("wb") as half:
            half.write(content[:9])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fails)
        with pytest.raises(OSError, match="No space left") as raised:
            result.save(tmp_path / "fit")
    assert raised.value.filename == str(tmp_path / "fit")
    assert [path.name for path in tmp_path.iterdir()] == ["fit"]
    assert (tmp_path / "fit").read_bytes() == kept
    with pytest.raises(ValueError, match="is no folder"):
        result.save(tmp_path / "absent" / "fit")


def test_load_is_public() -> None:
    assert inference.load is load
    assert "load" in inference.__all__
