"""The categorical VAE on MNIST: test ELBO and 1000-sample bound after 20 epochs.

python -m benchmarks.mnist --data-dir DIR
"""

import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks.timing import write_results
from hotgrad import vae
from hotgrad.cli.progress import counting_bar, training_bar

EPOCHS = 20
BOUND_SAMPLES = 1000
RUNS = {
    "fixed binarised, linear 784-200-784": {"data": "binarized-mnist", "network": "linear"},
    "fixed binarised, MLP 784-256-200-256-784": {"data": "binarized-mnist"},
    "dynamically binarised, MLP": {"data": "mnist", "targets": "dynamic"},
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", required=True)
    data_dir = parser.parse_args().data_dir
    lines = [
        f"20 x 10 categories, `GumbelSoftmax`, {EPOCHS} epochs of Adam, batch 100; hard samples on "
        "the 10,000 test items, nats.",
        "",
        f"| data and network | ELBO (1 sample) | {BOUND_SAMPLES}-sample bound | KL |",
        "|---|---|---|---|",
    ]
    for label, settings in RUNS.items():
        config = vae.Config(epochs=EPOCHS, data_dir=data_dir, **settings)
        dataset = vae.load_dataset(config.data, data_dir=data_dir)
        with tempfile.TemporaryDirectory() as folder, training_bar(label) as listener:
            model = vae.train(config, Path(folder) / "run", dataset=dataset, listener=listener)
        generator = torch.Generator().manual_seed(0)
        items = vae.make_targets(dataset.test, config.targets, generator)
        with counting_bar("evaluating") as progress:
            result = vae.evaluate(
                model, items, num_samples=BOUND_SAMPLES, generator=generator, progress=progress
            )
        lines.append(f"| {label} | {result.elbo:.2f} | **{result.bound:.2f}** | {result.kl:.2f} |")
    write_results("mnist", "python -m benchmarks.mnist --data-dir DIR", lines)


if __name__ == "__main__":
    main()
