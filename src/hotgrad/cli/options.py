"""Options of the commands, and how their help and their messages name them."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

F = TypeVar("F", bound=Callable[..., None])

LARGEST_SEED = 2**63 - 1


class Command(TyperCommand):
    """A command whose messages name its options, and in whose help a flag has no type."""

    def get_params(self, ctx: Any) -> Any:
        params = super().get_params(ctx)
        for param in params:
            if getattr(param, "is_flag", False):
                param.metavar = " "
        return params

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (ValueError, NotImplementedError) as error:
            spelt = {p.name: [o for o in p.opts if o.startswith("--")] for p in self.params}
            options = {str(name): long[0] for name, long in spelt.items() if long}
            raise ValueError(naming_options(str(error), options)) from error


def option(panel: str | None, text: str, *names: str, metavar: str | None = None) -> Any:
    """What stands beside the type of a command's argument."""
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar=metavar)


def seed_option(panel: str | None, text: str, *, largest: int = LARGEST_SEED) -> Any:
    """The seed's; its range would make the help's table too wide, so it is checked here."""

    def check(seed: int | None) -> int | None:
        if seed is not None and not 0 <= seed <= largest:
            raise typer.BadParameter(f"expected a whole number from 0 to {largest}, got {seed}.")
        return seed

    return typer.Option(help=text, rich_help_panel=panel, metavar="N", callback=check)


def overwrite_option(panel: str | None, what: str) -> Any:
    """The flag of every command that writes results under a name that may be taken."""
    return typer.Option("--overwrite", help=f"Replace {what}.", rich_help_panel=panel)


def with_options(declared: Mapping[str, tuple[Any, Any]]) -> Callable[[F], F]:
    """A command with options that are declared elsewhere, in the place of its `**settings`.

    Args:
        declared: by name the annotation of each, as `Annotated` has it, and its default.
    """

    def decorate(function: F) -> F:
        own = inspect.signature(function)
        context, *rest = own.parameters.values()
        keyword = inspect.Parameter.KEYWORD_ONLY
        options = [
            inspect.Parameter(name, keyword, default=default, annotation=annotation)
            for name, (annotation, default) in declared.items()
        ]
        kept = [p.replace(kind=keyword) for p in rest if p.kind is not p.VAR_KEYWORD]
        signature = own.replace(parameters=[context, *options, *kept])
        function.__signature__ = signature  # type: ignore[attr-defined]
        return function

    return decorate


def naming_options(message: str, options: Mapping[str, str]) -> str:
    """A message of the library with a command's options in the place of its arguments.

    Args:
        message: of an error.
        options: how the command spells each argument.

    Example:
        >>> naming_options("num_samples must be even. Use num_samples=4.", {"num_samples": "--s"})
        '--s must be even. Use --s 4.'
    """
    for name in sorted(options, key=len, reverse=True):
        message = re.sub(rf"(?<![\w./\-(]){name}=(?=\S)", f"{options[name]} ", message)
        # a name without an underscore may be a word of the sentence, unless it begins it
        place = r"(?<![\w./\-(])" if "_" in name else r"^"
        message = re.sub(rf"{place}{name}\b(?!=)", options[name], message)
    return message


def was_typed(context: typer.Context, name: str) -> bool:
    """Whether an option was given, and not left at its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def check_effects(context: typer.Context, needs: Mapping[str, tuple[bool, str]]) -> None:
    """Refuse options that would change nothing.

    Args:
        context: of the command.
        needs: for each such option whether it has an effect, and what it needs for one.

    Raises:
        ValueError: one was typed that has none.
    """
    for name, (has_effect, need) in needs.items():
        if was_typed(context, name) and not has_effect:
            raise ValueError(
                f"--{name.replace('_', '-')} changes nothing here: it needs {need}. Leave it out, "
                "or give that."
            )
