"""What is bad for each kind of number, text, flag, function, shape and path."""

from typing import Any

import numpy as np
import torch

T = torch.tensor
NAN, INF = float("nan"), float("inf")

JUNK: dict[str, Any] = {
    "None": None,
    "text": "many",
    "object": object(),
    "list": [],
    "dict": {},
    "class": int,
    "complex": 1j,
    "NumPy text": np.array(["a"]),
}
"""Bad for nearly every parameter."""


def junk(*but: str, **more: Any) -> dict[str, Any]:
    """Junk, but for what the kind takes, and what else is bad for it."""
    return {name: value for name, value in {**JUNK, **more}.items() if name not in but}


_REAL = junk(
    **{
        "bool": True,
        "nan": NAN,
        "inf": INF,
        "-inf": -INF,
        "-1": -1.0,
        "10^400": 10**400,
        "10^5000": 10**5000,
        "pair": (0.5, 0.5),
        "two numbers": T([0.5, 0.5]),
    }
)
_COUNT = junk(
    **{
        "bool": True,
        "negative": -1,
        "fraction": 1.5,
        "whole float": 2.0,
        "nan": NAN,
        "inf": INF,
        "digits": "3",
        "-10^5000": -(10**5000),
        "two": T([1, 2]),
        "fraction in a tensor": T(1.5),
        "array": np.array([1, 2]),
    }
)

_SEED = _COUNT | {"2^64": 2**64, "generator": torch.Generator()}
_TEMPERATURE = {
    **{name: value for name, value in _REAL.items() if name != "two numbers"},
    "0": 0,
    "integers": T([1, 2]),
    "nan in a tensor": T([NAN]),
    "zero in a tensor": T([0.0]),
    "negative in a tensor": T([-1.0]),
    "inf in a tensor": T([INF]),
    "complex tensor": T([1j]),
    "bool tensor": T([True]),
}

PLAIN: dict[str, dict[str, Any]] = {
    "number above 0": _REAL | {"0": 0.0},
    "number from 0": _REAL,
    "real": {name: value for name, value in _REAL.items() if name != "-1"},
    "temperature": _TEMPERATURE,
    "one temperature": _TEMPERATURE | {"two numbers": T([0.5, 0.5]), "number in a tensor": T(0.5)},
    "count": _COUNT | {"0": 0},
    "count from 0": _COUNT,
    "size of a subset": _COUNT | {"vast": 10**9},
    "flag": junk(
        **{"2": 2, "half": 0.5, "no": "no", "True": "True", "two": T([True, False]), "nan": NAN}
    ),
    "generator": junk(
        **{
            "None": 0,  # None itself is torch's global generator
            "seed": 3,
            "bool": True,
            "Generator class": torch.Generator,
            "NumPy's": np.random.default_rng(0),
        }
    ),
    "choice": junk(
        **{"empty": "", "bool": True, "3": 3, "names": ["a", "b"], "bytes": b"elbo", "nan": NAN}
    ),
    "text": junk("text", **{"bool": True, "3": 3, "bytes": b"digits"}),
    "function": junk("class", **{"3": 3, "tensor": T([1.0]), "bool": True, "tuple": (len,)}),
    "progress": junk("class", **{"3": 3, "tensor": T([1.0]), "tuple": (len,)}),
    "shape": junk(
        "list",
        **{
            "number": 3,
            "float": 1.5,
            "fractions": (1.5,),
            "negative": (-2,),
            "texts": ("a",),
            "nested": ((2,),),
            "nan": (NAN,),
            "None in it": (None,),
            "bool": True,
        },
    ),
    "dimension": junk(far=99, fraction=0.5, bool=True, digits="1", pair=(0, 1), nan=NAN),
    "file": junk(
        "text",
        **{
            "3": 3,
            "empty": "",
            "nul": "nul\0byte.json",
            "absent folder": "absent/inside.json",
            "folder": "taken",
            "long name": "n" * 300,
            "inside a file": "file.txt/inside.json",
        },
    ),
    "path": junk(
        "text",
        **{
            "3": 3,
            "empty": "",
            "nul": "nul\0byte",
            "absent": "absent/absent",
            "folder": "taken",
            "file": "file.txt",
            "long name": "n" * 300,
            "inside a file": "file.txt/inside",
        },
    ),
    "new folder": junk(
        "text",
        **{
            "3": 3,
            "empty": "",
            "nul": "nul\0byte",
            "folder": "taken",
            "file": "file.txt",
            "long name": "n" * 300,
            "inside a file": "file.txt/inside",
        },
    ),
    "optimizer": junk("class", **{"3": 3, "made": torch.optim.SGD([torch.zeros(1)])}),
    "temperatures": junk(
        **{
            "one": 0.5,
            "texts": ["hot"],
            "0 in it": [0.0],
            "negative": [0.5, -1.0],
            "nan in it": [NAN],
            "bool in it": [True],
            "None in it": [None],
        }
    ),
    "share below 1": _REAL | {"1": 1.0},
    "settings by name": junk(
        "dict", unknown={"colour": "red"}, wrong={"epochs": "many"}, numbers={3: 4}
    ),
    "range": junk(
        **{
            "3": 3,
            "one": (0.5,),
            "three": (-0.1, 0.5, 1.1),
            "turned": (1.1, -0.1),
            "inside": (0.1, 0.9),
            "texts": ("a", "b"),
            "nan in it": (NAN, 1.1),
            "infinite": (-INF, INF),
        }
    ),
    "data": junk(
        "text",
        **{
            "3": 3,
            "empty": "",
            "unknown": "digitz",
            "absent file": "absent.npy",
            "no array": "taken.npy",
            "nul": "nul\0.npy",
            "long name": "n" * 300 + ".npy",
        },
    ),
    "tolerance": {name: value for name, value in _REAL.items() if value is not None},
    "random state": {name: value for name, value in _SEED.items() if name != "bool"},
    "nothing bad": {},
    "seed": _SEED,
}
