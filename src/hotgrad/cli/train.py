"""`hotgrad train`: every setting of a run as an option, then the loop, then the pictures."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import distributed

from hotgrad import vae
from hotgrad.cli.options import check_effects, option, was_typed, with_options
from hotgrad.cli.progress import training_bar
from hotgrad.cli.run_pictures import draw_pictures
from hotgrad.cli.terminal import say, say_contents, warnings_told
from hotgrad.estimators import ESTIMATORS, has_baseline, has_temperature
from hotgrad.vae.settings import setting_of

LEARNING_TEMPERATURE = ("rebar", "relax")
RUN = "Run"


def _option_of(declared: "dataclasses.Field[Any]") -> tuple[Any, Any]:
    """The type with its help, and the default, of a setting as an option."""
    setting, kind, default = setting_of(declared), declared.type, declared.default
    if declared.name == "hidden":  # widths, which an option takes as one text
        kind, default = str, ",".join(map(str, vae.Config.hidden))
    text = setting.text + (f"{', '.join(setting.choices)}." if setting.choices else "")
    metavar = setting.placeholder or ("NAME" if setting.choices else None)
    return Annotated[kind, option(setting.group, text, metavar=metavar)], default


@with_options({declared.name: _option_of(declared) for declared in dataclasses.fields(vae.Config)})
def train(
    context: typer.Context,
    out: Annotated[
        Path | None,
        option(RUN, "Folder of the run, a new one. [default: runs/DATA-LATENT]", metavar="DIR"),
    ] = None,
    resume: Annotated[
        bool, option(RUN, "Go on with the run in --out, as it was set up.", "--resume")
    ] = False,
    tensorboard: Annotated[
        bool, option(RUN, "Also write TensorBoard's events.", "--tensorboard")
    ] = False,
    **settings: Any,
) -> None:
    """Train a discrete autoencoder; leave a folder with its model, metrics and pictures.

    Start with `hotgrad train`, then change one thing: `hotgrad train --estimator reinmax`.
    """
    settings["hidden"] = _widths(settings["hidden"])
    if resume:
        if out is None:
            raise ValueError("--resume needs --out, the folder of the run to go on with.")
        stored, _ = vae.RunFolder.open(out).read_config()
        typed = {name: value for name, value in settings.items() if was_typed(context, name)}
        config = dataclasses.replace(stored, **typed)
    else:
        config = vae.Config(**settings)
    _check_effects(context, config)
    folder = out or Path("runs") / f"{Path(config.data).stem}-{config.latent}"
    dataset = vae.load_dataset(config.data, data_dir=config.data_dir, column=config.column)
    with training_bar(dataset.name) as listener, warnings_told():
        model = vae.train(
            config,
            folder,
            resume=resume,
            dataset=dataset,
            listener=listener,
            tensorboard=tensorboard,
        )
    if distributed.is_available() and distributed.is_initialized() and distributed.get_rank() > 0:
        return  # one of several processes draws and prints
    draw_pictures(vae.RunFolder(folder), model, dataset)
    say_contents(folder)
    say(f"Next: hotgrad evaluate {folder}")


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise ValueError(
            f"--hidden takes whole numbers with commas between, such as 512,256; got {text!r}."
        ) from None


def _check_effects(context: typer.Context, config: vae.Config) -> None:
    """Refuse settings that the others leave without an effect."""
    cls = ESTIMATORS[config.estimator]
    tempered = has_temperature(cls) or config.estimator in LEARNING_TEMPERATURE
    scheduled = has_temperature(cls) and config.schedule != "constant"
    check_effects(
        context,
        {
            "data_dir": (config.data != "digits", "--data mnist, binarized-mnist or a file"),
            "column": (config.data.endswith(".npz"), "--data FILE.npz"),
            "corruption_level": (config.corruption != "none", "--corruption mask or gaussian"),
            "num_categories": (config.latent != "bernoulli", "--latent categorical or k-subset"),
            "subset_size": (config.latent == "k-subset", "--latent k-subset"),
            "hidden": (config.network == "mlp", "--network mlp"),
            "baseline": (has_baseline(cls), "--estimator score-function or muprop"),
            "prior_temperature": (config.kl == "concrete", "--kl concrete"),
            "temperature": (tempered, "an --estimator with a temperature, such as gumbel-softmax"),
            "schedule": (has_temperature(cls), "an --estimator with a temperature to schedule"),
            "min_temperature": (scheduled, "a temperature that falls: --schedule cosine"),
            "anneal_rate": (config.schedule == "exponential", "--schedule exponential"),
            "anneal_every": (config.schedule == "exponential", "--schedule exponential"),
        },
    )
