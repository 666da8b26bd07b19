"""Training throughput beside a hand-written PyTorch loop of the same model, in one process.

The rival is what a careful user writes by hand: two linear layers, torch's own `F.gumbel_softmax`
(or a sigmoid of logistic noise), the analytic KL, the same fused Adam, batches of the same tensor.
Our epoch includes what the library does once an epoch: validation, metrics and the checkpoint.

python -m benchmarks.training
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import write_results
from hotgrad import vae

ITEMS, PIXELS, BATCH, CODE = 30_000, 784, 100, 200
ROUNDS = 11
TEMPERATURE = 0.5


def main() -> None:
    lines = [
        "| model | hand-written, ms a step | hotgrad | times faster (range) |",
        "|---|---|---|---|",
    ]
    data = torch.rand(ITEMS, PIXELS, generator=torch.Generator().manual_seed(0))
    for latent, label in (
        ("bernoulli", f"{PIXELS}-{CODE}-{PIXELS}, bits"),
        ("categorical", f"{PIXELS}-20 x 10-{PIXELS}"),
    ):
        rival = hand_written(data, latent)
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(ROUNDS):
            theirs.append(next(rival))
            ours.append(hotgrad_epoch(data, latent))
        steps = ITEMS // BATCH
        ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
        lines.append(
            f"| {label} | {statistics.median(theirs) / steps * 1e3:.2f} "
            f"| {statistics.median(ours) / steps * 1e3:.2f} "
            f"| **{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) |"
        )
    write_results("training", "python -m benchmarks.training", lines)


def hotgrad_epoch(data: Tensor, latent: str) -> float:
    """Seconds that the library's own loop takes for the steps of its second epoch."""
    marks: list[float] = []
    config = vae.Config(
        latent=latent,
        num_latents=20 if latent == "categorical" else CODE,
        network="linear",
        schedule="constant",
        temperature=TEMPERATURE,
        epochs=2,
        batch_size=BATCH,
    )
    dataset = vae.Dataset("random", data, data[:10], data[:10], (28, 28), False, "random")
    with tempfile.TemporaryDirectory() as folder:
        vae.train(
            config,
            Path(folder) / "run",
            dataset=dataset,
            listener=lambda _: marks.append(time.perf_counter()),
        )
    steps = ITEMS // BATCH
    # from the first epoch's last step on: with drawing the order, validation and the checkpoint
    return marks[-1] - marks[steps - 1]


def hand_written(data: Tensor, latent: str) -> Iterator[float]:
    """Seconds that each epoch of a plain loop takes."""
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(PIXELS, CODE), nn.Linear(CODE, PIXELS)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3, fused=True)
    objective: Callable[..., Tensor] = categorical_loss if latent == "categorical" else bit_loss
    while True:
        began = time.perf_counter()
        order = torch.randperm(ITEMS)
        total = 0.0
        for start in range(0, ITEMS, BATCH):
            x = data[order[start : start + BATCH]]
            loss = objective(encoder(x), decoder, x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        yield time.perf_counter() - began


def categorical_loss(logits: Tensor, decoder: nn.Module, x: Tensor) -> Tensor:
    logits = logits.view(-1, 20, 10)
    z = F.gumbel_softmax(logits, TEMPERATURE)
    log_q = F.log_softmax(logits, -1)
    kl = (log_q.exp() * (log_q + torch.tensor(10.0).log())).sum((-1, -2))
    outputs = decoder(z.flatten(1))
    return reconstruction(outputs, x) + kl.mean()


def bit_loss(logits: Tensor, decoder: nn.Module, x: Tensor) -> Tensor:
    u = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
    z = torch.sigmoid((logits + u.log() - torch.log1p(-u)) / TEMPERATURE)
    q = torch.sigmoid(logits)
    kl = q * F.logsigmoid(logits) + (1 - q) * F.logsigmoid(-logits) + torch.tensor(2.0).log()
    return reconstruction(decoder(z), x) + kl.sum(-1).mean()


def reconstruction(outputs: Tensor, x: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs, x, reduction="none").sum(-1).mean()


if __name__ == "__main__":
    main()
