"""Which gradient to trust: each estimator's bias, noise and cost on a user's own f and q.

Replicates of the whole problem run side by side, and are compared with the exact gradient.
"""

from hotgrad.audit.result import Audit
from hotgrad.audit.run import audit

__all__ = ["Audit", "audit"]
