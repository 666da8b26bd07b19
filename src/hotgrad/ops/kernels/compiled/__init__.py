"""Machine code for the CPU: what draws samples in one pass, and how it is written and run."""

__all__: list[str] = []
