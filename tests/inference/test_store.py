"""A fit's file: what comes back is what was saved, bit for bit; what can't fit is refused."""

import errno
import json
import math
import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import hotgrad as hg
from hotgrad import inference
from hotgrad.inference import Fit, fit, load
from hotgrad.inference.watch import Ending
from hotgrad.tensor_files import read_tensors, write_tensors

ROWS = 6


def logits(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


LAWS: dict[str, Any] = {
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


def summed(law: Any) -> Any:
    """A log joint in the law's shape, in which no two unknowns are alike."""

    def log_joint(z: Any) -> Tensor:
        total = torch.zeros(())
        for part in z.values() if isinstance(z, dict) else [z]:
            weights = torch.linspace(-1, 1.3, part[0].numel(), dtype=part.dtype)
            terms = (part * weights.view(part.shape[1:])).reshape(len(part), *law.batch_shape, -1)
            total = total + terms.sum(-1)
        return total

    return log_joint


def fitted(law: Any, steps: int = 3) -> Fit:
    generator = torch.Generator().manual_seed(0)
    return fit(summed(law), law, steps=steps, num_samples=2, generator=generator)


def same(one: Any, other: Any) -> bool:
    """Whether two samples, or dicts of them, are equal bit for bit."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    return one.dtype == other.dtype and torch.equal(one, other)


def drawn(result: Fit) -> Any:
    return result.sample(5, generator=torch.Generator().manual_seed(1))


class Maker(nn.Module):
    """A law made from the data; its weights are learned."""

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


def amortised() -> Fit:
    generator = torch.Generator().manual_seed(0)
    return fit(Likelihood(), Maker(), data=DATA, steps=3, generator=generator)


def mixture(mean: nn.Parameter) -> Any:
    """A log joint that is a plain function, of a parameter."""
    return lambda z, x: -(z * (x[:, :1] - mean).square()).sum(-1)


# What comes back.


@pytest.mark.parametrize("name", LAWS)
def test_a_law_comes_back_bit_for_bit(name: str, tmp_path: Path) -> None:
    law = LAWS[name]
    before = fitted(law)
    before.save(tmp_path / "fit.safetensors")
    after = load(tmp_path / "fit.safetensors", log_joint=summed(law))
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


@pytest.mark.parametrize("name", LAWS)
def test_a_file_saved_again_is_the_same(name: str, tmp_path: Path) -> None:
    fitted(LAWS[name]).save(tmp_path / "one")
    load(tmp_path / "one").save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("elbo", [-math.inf, math.nan])
def test_an_elbo_that_is_not_finite(elbo: float, tmp_path: Path) -> None:
    before = fitted(LAWS["bits"])
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
    before = fitted(LAWS["a joint"])
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
        ({"q": LAWS["bits"]}, r"kind Maker; q is .*'Independent'.*\. Give the same kind"),
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
    ids=["no q", "another width", "another dtype", "a law", "no data", "no module", "parameters"],
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


def test_a_law_of_another_kind_or_other_rows_is_refused(tmp_path: Path) -> None:
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
    """A law of a user's own, which the file can't describe."""

    def with_logits(self, logits: Tensor) -> Any:
        return type(self)(logits=logits)


class Yours(Mine):
    """Another one."""


def test_a_law_of_ones_own_is_given_again(tmp_path: Path) -> None:
    file = tmp_path / "fit"
    result = fit(lambda z: 2 * z, Mine(logits=logits(1).squeeze()), steps=3)
    result.save(file)
    again = load(file, q=Mine(logits=torch.tensor(0.0)))
    assert torch.equal(again.marginals, result.marginals)
    with pytest.raises(ValueError, match=r"kind Mine; q is Yours\. Give the same kind"):
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


def law(**changes: Any) -> Any:
    """The description of two bits in one event, with something else in it."""
    inside = {"law": "Bernoulli", "checked": True}
    return {"law": "Independent", "dims": 1, "inside": inside, "checked": True, **changes}


def deep(depth: int) -> Any:
    """Descriptions in each other."""
    made: Any = {"law": "Bernoulli", "checked": True}
    for _ in range(depth):
        made = law(inside=made)
    return made


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
    "NaN": (with_tensors(q__=torch.full((2, 3), torch.nan)), "logits must not be NaN"),
    "whole numbers": (with_tensors(q__=torch.zeros(2, 3, dtype=torch.int64)), "floating point"),
    "no logits": (with_tensors(q__=None), "makes no sense .KeyError: ''"),
    "newer": (
        lambda file: rewritten(file, format=3, library="9.0"),
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
        lambda file: rewritten(file, law={"law": "Poisson", "checked": True}),
        "unknown distribution 'Poisson'",
    ),
    "kind a list": (lambda file: rewritten(file, law=["Bernoulli"]), "law is .'Bernoulli'., no"),
    "dims in words": (lambda file: rewritten(file, law=law(dims="0.1")), "dims is '0.1', no int"),
    "dims a flag": (lambda file: rewritten(file, law=law(dims=True)), "dims is True, no int"),
    "dims below 0": (lambda file: rewritten(file, law=law(dims=-1)), "dims is -1, of a batch"),
    "dims absurd": (
        lambda file: rewritten(file, law=law(dims=BIG)),
        r"10000.*, of a batch \(2, 3\)",
    ),
    "in each other": (
        lambda file: rewritten(file, law=deep(2)),
        "unknown distribution 'Independent'",
    ),
    "k absurd": (
        lambda file: rewritten(file, law={"law": "KSubset", "checked": True, "k": BIG}),
        "k must be an integer from 0 to n = 3",
    ),
    "k in words": (
        lambda file: rewritten(file, law={"law": "KSubset", "checked": True, "k": "0.1"}),
        "k is '0.1', no int",
    ),
    "parts a list": (
        lambda file: rewritten(file, law={"law": "Joint", "parts": ["a"]}),
        r"parts is \['a'\], no dict",
    ),
}


@pytest.mark.parametrize(("change", "message"), NO_FIT.values(), ids=list(NO_FIT))
def test_what_is_no_fit_is_refused(change: Any, message: str, tmp_path: Path) -> None:
    file = tmp_path / "fit.safetensors"
    fitted(LAWS["bits"]).save(file)
    change(file)
    with pytest.raises(ValueError, match=message) as raised:
        load(file)
    said = str(raised.value)
    assert str(file) in said
    assert len(said.replace(str(file), "")) < 500
    assert "\n" not in said


def test_no_flip_of_a_bit_is_taken_for_another_fit(tmp_path: Path) -> None:
    file = tmp_path / "fit.safetensors"
    before = fitted(LAWS["bits"])
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
    result = fitted(LAWS["bits"])
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
