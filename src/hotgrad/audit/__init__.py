"""Which gradient to trust: each estimator's bias, noise and cost on a user's own f and q.

Replicates of the whole problem run side by side, and are compared with the exact gradient.
"""

from hotgrad.audit import problems
from hotgrad.audit.run import Audit, audit
from hotgrad.audit.table import Row

__all__ = ["Audit", "Row", "audit", "problems"]

# `hotgrad.audit` names the function, since `import hotgrad` binds it there, and Python binds the
# same in `import hotgrad.audit as m`: so the function has what the package has.
vars(audit).update({name: globals()[name] for name in __all__})
