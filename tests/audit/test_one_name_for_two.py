"""`hotgrad.audit` is a function, `hg.audit(f, q)`, and a package, `import hotgrad.audit as m`."""

import pickle
import subprocess
import sys

from audit.toys import bits, cubic, figures
from torch import Generator

import hotgrad
import hotgrad as hg
import hotgrad.audit as m
import hotgrad.audit.problems as theirs
from hotgrad.audit import problems

FIRST_IMPORT = """
import hotgrad.audit as m
problem = m.problems.polynomial(num_bits=2)
from hotgrad import DisARM
found = m.audit(problem.f, problem.q, [DisARM()], replicates=20)
assert isinstance(found, m.Audit)
import hotgrad as hg
assert hg.audit(problem.f, problem.q, [DisARM()], replicates=20).best() == DisARM()
import hotgrad.audit.problems as problems
assert problems is m.problems
"""


def test_it_works_as_the_first_import_of_a_process() -> None:
    subprocess.run([sys.executable, "-P", "-c", FIRST_IMPORT], check=True)


def test_both_have_the_same_names() -> None:
    package = sys.modules["hotgrad.audit"]
    for name in package.__all__:
        assert getattr(m, name) is getattr(hg.audit, name) is getattr(package, name)
    assert hg.audit is m.audit
    assert m.problems is problems is theirs
    assert hotgrad.audit is hg.audit


def test_the_function_and_what_it_returns_are_pickled() -> None:
    assert pickle.loads(pickle.dumps(hg.audit)) is hg.audit
    found = hg.audit(cubic, bits(), [hg.DisARM()], replicates=20, generator=Generator())
    again = pickle.loads(pickle.dumps(found))
    assert again == found
    assert figures(again) == figures(found)
    assert again.best() == found.best()
