"""`hotgrad train`: every setting of a run as an option, then the loop, then the pictures."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from torch import distributed

from hotgrad import vae
from hotgrad.cli.options import check_effects, option, was_typed
from hotgrad.cli.pictures import draw_pictures
from hotgrad.cli.progress import training_bar
from hotgrad.cli.terminal import say, say_contents, warnings_told
from hotgrad.estimators import ESTIMATORS, has_baseline, has_temperature

# the class: in an object "auto" is settled already
DEFAULT = vae.Config
LEARNING_TEMPERATURE = ("rebar", "relax")
DATA, MODEL, GRADIENT, TRAINING, RUN = "Data", "Model", "Gradient", "Training", "Run"


def _one_of(panel: str, name: str, text: str = "") -> Any:
    """An option whose help lists the values that the configuration knows."""
    return option(panel, f"{text}{', '.join(vae.CHOICES[name])}.", metavar="NAME")


def train(
    context: typer.Context,
    data: Annotated[
        str,
        option(DATA, "digits, mnist, binarized-mnist, or a .npy or .npz file.", metavar="NAME"),
    ] = DEFAULT.data,
    data_dir: Annotated[
        str | None, option(DATA, "Folder with mnist or binarized-mnist in it.", metavar="DIR")
    ] = DEFAULT.data_dir,
    column: Annotated[
        str | None, option(DATA, "Array to take from an .npz file.", metavar="NAME")
    ] = DEFAULT.column,
    targets: Annotated[
        str, _one_of(DATA, "targets", "Grey as is, binarised anew each time, or at 0.5: ")
    ] = DEFAULT.targets,
    corruption: Annotated[
        str, _one_of(DATA, "corruption", "Denoising, what the encoder's input suffers: ")
    ] = DEFAULT.corruption,
    corruption_level: Annotated[
        float, option(DATA, "Share of masked values, or the noise's standard deviation.")
    ] = DEFAULT.corruption_level,
    latent: Annotated[str, _one_of(MODEL, "latent", "Kind of code: ")] = DEFAULT.latent,
    num_latents: Annotated[int, option(MODEL, "Latent variables or bits.")] = DEFAULT.num_latents,
    num_categories: Annotated[
        int, option(MODEL, "Categories of each variable (categorical, k-subset).")
    ] = DEFAULT.num_categories,
    subset_size: Annotated[
        int, option(MODEL, "How many of them each variable has (k-subset); 0 is half.")
    ] = DEFAULT.subset_size,
    network: Annotated[str, _one_of(MODEL, "network")] = DEFAULT.network,
    hidden: Annotated[
        str, option(MODEL, "Hidden widths of the MLP, from the data inwards.", metavar="N,N,..")
    ] = ",".join(map(str, DEFAULT.hidden)),
    likelihood: Annotated[
        str, _one_of(MODEL, "likelihood", "For values in [0, 1], or for any: ")
    ] = DEFAULT.likelihood,
    prior: Annotated[str, _one_of(MODEL, "prior")] = DEFAULT.prior,
    estimator: Annotated[
        str, _one_of(GRADIENT, "estimator", "auto suits --latent: ")
    ] = DEFAULT.estimator,
    baseline: Annotated[
        str, _one_of(GRADIENT, "baseline", "Of score-function and muprop: ")
    ] = DEFAULT.baseline,
    num_samples: Annotated[
        int,
        option(
            GRADIENT,
            "Codes drawn for each item in a step; an even number for arm and disarm, at least 2 "
            "for unordered-set. indecater decodes each of them with one variable changed, in "
            "every way: 181 times at 20 x 10.",
        ),
    ] = DEFAULT.num_samples,
    kl: Annotated[
        str, _one_of(GRADIENT, "kl", "Between the discrete laws, or between relaxed densities: ")
    ] = DEFAULT.kl,
    prior_temperature: Annotated[
        float, option(GRADIENT, "Of the prior (--kl concrete).")
    ] = DEFAULT.prior_temperature,
    schedule: Annotated[
        str, _one_of(GRADIENT, "schedule", "Of the temperature: ")
    ] = DEFAULT.schedule,
    temperature: Annotated[
        float, option(GRADIENT, "Temperature at the start; rebar and relax learn it from there.")
    ] = DEFAULT.temperature,
    min_temperature: Annotated[
        float, option(GRADIENT, "Temperature at the end.")
    ] = DEFAULT.min_temperature,
    anneal_rate: Annotated[
        float, option(GRADIENT, "Decay a step (--schedule exponential).")
    ] = DEFAULT.anneal_rate,
    anneal_every: Annotated[
        int, option(GRADIENT, "Steps between changes (--schedule exponential).")
    ] = DEFAULT.anneal_every,
    epochs: Annotated[int, option(TRAINING, "Passes over the training data.")] = DEFAULT.epochs,
    batch_size: Annotated[
        int, option(TRAINING, "Items a step on each device.")
    ] = DEFAULT.batch_size,
    optimizer: Annotated[
        str, _one_of(TRAINING, "optimizer", "sgd has momentum 0.9: ")
    ] = DEFAULT.optimizer,
    learning_rate: Annotated[float, option(TRAINING, "Of the optimiser.")] = DEFAULT.learning_rate,
    seed: Annotated[
        int,
        option(
            TRAINING,
            "On a CPU the same seed with as many threads gives the same weights, bit for bit.",
        ),
    ] = DEFAULT.seed,
    accelerator: Annotated[str, _one_of(TRAINING, "accelerator")] = DEFAULT.accelerator,
    devices: Annotated[int, option(TRAINING, "How many.")] = DEFAULT.devices,
    precision: Annotated[str, _one_of(TRAINING, "precision")] = DEFAULT.precision,
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
) -> None:
    """Train a discrete autoencoder; leave a folder with its model, metrics and pictures.

    Start with `hotgrad train`, then change one thing: `hotgrad train --estimator reinmax`.
    """
    fields = {field.name for field in dataclasses.fields(vae.Config)}
    given = {name: value for name, value in context.params.items() if name in fields}
    given["hidden"] = _widths(hidden)
    if resume:
        if out is None:
            raise ValueError("--resume needs --out, the folder of the run to go on with.")
        stored, _ = vae.RunFolder.open(out).read_config()
        typed = {name: value for name, value in given.items() if was_typed(context, name)}
        config = dataclasses.replace(stored, **typed)
    else:
        config = vae.Config(**given)
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
