"""Choosing k columns of a table by gradients through a distribution of k-subsets, for scikit-learn.

Needs scikit-learn: `pip install "hotgrad[select]"`.
"""

from hotgrad.selection.learner import Progress
from hotgrad.selection.selector import SubsetSelector

__all__ = ["Progress", "SubsetSelector"]
