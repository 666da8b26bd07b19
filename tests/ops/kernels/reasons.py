"""Why a test of the kernels doesn't run."""

import pytest

from hotgrad.ops.kernels import fused

needs_kernels = pytest.mark.skipif(
    fused.compiled() is None, reason="the compiled kernels aren't there, or aren't wanted"
)
