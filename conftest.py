"""What every docstring's example may use without importing it."""

import pytest
import torch

import hotgrad


@pytest.fixture(autouse=True, scope="session")
def _names_in_examples(doctest_namespace: dict[str, object]) -> None:
    doctest_namespace.update(hg=hotgrad, torch=torch)
