"""The command line, and the only place that prints: each command in a module of its name.

The package `hotgrad_command` lists them, and imports one when it is called.
"""

__all__: list[str] = []
