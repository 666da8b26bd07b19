"""For each kind of parameter, the values that are bad for it whatever the rest of the call is."""

from typing import Any

import numpy as np
import torch
from sweep.bad_plain_values import INF, NAN, PLAIN, T, junk
from torch import distributions as td
from torch import nn

import hotgrad as hg
from hotgrad import vae

_BAD_TENSORS = {
    "bytes": b"01",
    "list of lists": [[0.1], [0.2]],
    "set": {0.5},
    "complex tensor": torch.zeros(3, dtype=torch.complex64),
    "bool tensor": torch.ones(3, dtype=torch.bool),
    "module": nn.Linear(2, 2),
    "Tensor class": torch.Tensor,
}

KINDS: dict[str, dict[str, Any]] = {
    **PLAIN,
    "function of z": junk(
        **{
            "3": 3,
            "tensor": T([1.0]),
            "module class": nn.Linear,
            "gives None": lambda z, *x: None,
            "gives text": lambda z, *x: "high",
            "gives a float": lambda z, *x: 1.0,
            "gives one number": lambda z, *x: z.sum(),
            "gives z": lambda z, *x: z,
            "gives integers": lambda z, *x: z.sum(-1).long(),
            "gives complex": lambda z, *x: z.sum(-1) + 0j,
            "gives bools": lambda z, *x: z.sum(-1) > 1,
            "gives three": lambda z, *x: (z.sum(-1),) * 3,
            "gives a list": lambda z, *x: z.sum(-1).tolist(),
            "gives an array": lambda z, *x: z.detach().sum(-1).numpy(),
            "gives nan": lambda z, *x: z.sum(-1) * NAN,
            "gives inf": lambda z, *x: z.sum(-1) + INF,
        }
    ),
    "module": junk(**{"3": 3, "tensor": T([1.0]), "bool": True, "module class": nn.Linear}),
    "distribution": junk(
        **{
            "3": 3,
            "logits": torch.zeros(3),
            "Bernoulli class": hg.Bernoulli,
            "continuous": td.Normal(torch.zeros(3), 1.0),
            "relaxed": hg.BinaryConcrete(T(0.5), logits=torch.zeros(3)).to_event(1),
            "numbers of classes": td.Categorical(logits=torch.zeros(3)),
            "several": [hg.Bernoulli(logits=torch.zeros(3))],
            "by name": {"a": hg.Bernoulli(logits=torch.zeros(3))},
            "estimator": hg.ScoreFunction(),
        }
    ),
    "estimator": junk(
        **{
            "3": 3,
            "REBAR class": hg.REBAR,
            "baseline": hg.LeaveOneOut(),
            "several": [hg.REBAR()],
            "distribution": hg.Bernoulli(logits=torch.zeros(3)),
            "optimiser": torch.optim.SGD,
        }
    ),
    "baseline": junk(
        **{"3": 3, "LeaveOneOut class": hg.LeaveOneOut, "estimator": hg.REBAR(), "bool": True}
    ),
    "logits": junk(
        **_BAD_TENSORS,
        **{"nan in it": T([0.0, NAN, 1.0]), "integers": T([1, 2, 3]), "row": [0.1, 0.2, 0.7]},
    ),
    "logits of a copy": junk(**_BAD_TENSORS, integers=T([1, 2, 3]), row=[0.1, 0.2]),
    "probs": junk(
        **_BAD_TENSORS,
        **{
            "nan in it": T([0.5, NAN, 0.5]),
            "negative": T([-0.5, 0.5, 1.0]),
            "above 1": T([0.0, 2.0, 0.0]),
            "inf": T([0.0, INF, 0.0]),
            "row": [0.1, 0.2, 0.7],
        },
    ),
    "tensor": junk(**_BAD_TENSORS, **{"one number": T(0.5), "wrong shape": torch.zeros(2, 77)}),
    "sample": junk(
        **_BAD_TENSORS,
        **{
            "wrong shape": torch.zeros(2, 77),
            "nan in it": torch.full((3,), NAN),
            "far outside": torch.full((3,), 7.0),
        },
    ),
    "values": junk(**_BAD_TENSORS),
    "part": junk(**{"3": 3, "Bernoulli class": hg.Bernoulli, "tensor": T([1.0])}),
    "base": junk(**{"3": 3, "Bernoulli class": hg.Bernoulli, "tensor": T([1.0])}),
    "estimators": junk(
        **{
            "3": 3,
            "name": "rebar",
            "one": hg.REBAR(),
            "names": ["rebar"],
            "classes": [hg.REBAR],
            "None in it": [None],
            "by number": {"a": 3},
        }
    ),
    "part of a model": junk(**{"3": 3, "class": vae.GaussianLikelihood, "module": nn.Linear(1, 1)}),
    "parameters": junk(
        *("list", "dict"),
        **{
            "3": 3,
            "names": ["w"],
            "without gradient": [torch.zeros(2)],
            "computed": [torch.ones(2, requires_grad=True) * 2],
            "None in it": [None],
        },
    ),
    "table": junk(
        **{
            "3": 3,
            "vector": np.zeros(40),
            "cube": np.zeros((40, 3, 2)),
            "texts": np.full((40, 3), "a"),
            "nan in it": np.full((40, 3), NAN),
            "inf in it": np.full((40, 3), INF),
            "complex": np.zeros((40, 3), dtype=complex),
            "no rows": np.zeros((0, 3)),
            "no columns": np.zeros((40, 0)),
            "one row": np.zeros((1, 3)),
        }
    ),
    "target": junk(
        "None",
        **{
            "3": 3,
            "short": np.arange(10.0),
            "nan in it": np.full(40, NAN),
            "constant": np.ones(40),
            "cube": np.zeros((40, 2, 2)),
            "complex array": np.zeros(40, dtype=complex),
        },
    ),
    "rows": junk(
        **{
            "3": 3,
            "other width": torch.zeros(5, 7),
            "vector": torch.zeros(16),
            "integers": torch.zeros(5, 16).long(),
            "double": torch.zeros(5, 16).double(),
            "array": np.zeros((5, 16)),
            "no rows": torch.zeros(0, 16),
            "nan in it": torch.full((5, 16), NAN),
            "inf in it": torch.full((5, 16), INF),
        }
    ),
    "data of a model": junk(
        **{
            "3": 3,
            "one number": T(0.5),
            "no items": torch.zeros(0, 3),
            "other lengths": (torch.zeros(4), torch.zeros(5)),
            "array": np.zeros((5, 3)),
            "nothing in it": (),
        }
    ),
    "settings": junk(**{"3": 3, "Config class": vae.Config, "dict of them": {"epochs": 1}}),
    "data set": junk(
        **{"3": 3, "name": "digits", "tensor": torch.zeros(5, 4), "class": vae.Dataset}
    ),
    "model": junk(**{"3": 3, "VAE class": vae.VAE, "module": nn.Linear(4, 4), "path": "run"}),
    "location": junk("nothing", nan=T([NAN]), bool=True, row=[0.0], integers=T([1])),
    "samples by name": junk(
        **{
            "3": 3,
            "tensor": torch.zeros(6),
            "one missing": {"a": torch.zeros(3)},
            "another name": {"a": torch.zeros(3), "c": T([1.0, 0.0, 0.0])},
            "wrong shape": {"a": torch.zeros(2, 77), "b": T([1.0, 0.0, 0.0])},
            "numbers": {"a": 3, "b": 4},
        }
    ),
    "numbers": junk(**_BAD_TENSORS, **{"wrong shape": torch.zeros(2, 77)}),
}
