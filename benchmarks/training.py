"""Training throughput beside hand-written PyTorch loops of the same models, in one process.

The rivals are two linear layers, the analytic KL, Adam, and batches of the same tensor, with either
torch's own `F.gumbel_softmax` (over two classes for a bit) or, for bits, logistic noise by hand.
Each turn trains a fresh model for two epochs and counts the second; ours with what the library
does once an epoch: validation, metrics and the checkpoint.

python -m benchmarks.training
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.timing import write_results
from hotgrad import vae

ITEMS, PIXELS, BATCH, CODE = 20_000, 784, 100, 200
STEPS = ITEMS // BATCH
ROUNDS = 9
TEMPERATURE = 0.5


def main() -> None:
    data = torch.rand(ITEMS, PIXELS, generator=torch.Generator().manual_seed(0))
    lines = [
        "Milliseconds a step of 100, and how many times faster hotgrad is (median and range of "
        f"{ROUNDS} turns). Its optimiser is Adam(fused=True).",
        "",
        "| model | the hand-written loop | Adam of the loop | its ms | hotgrad's | times faster |",
        "|---|---|---|---|---|---|",
    ]
    for latent, label, rivals in (
        ("categorical", "784-20 x 10-784", {"F.gumbel_softmax": categorical_loss}),
        (
            "bernoulli",
            "784-200-784, bits",
            {"F.gumbel_softmax, two classes": bit_loss_two_classes, "logistic noise": bit_loss},
        ),
    ):
        contenders = {
            (name, fused): (loss, fused) for name, loss in rivals.items() for fused in (False, True)
        }
        ours: list[float] = []
        theirs: dict[tuple[str, bool], list[float]] = {key: [] for key in contenders}
        for _ in range(ROUNDS):
            ours.append(hotgrad_epoch(data, latent))
            for key, (loss, fused) in contenders.items():
                theirs[key].append(hand_written_epoch(data, loss, fused))
        for (name, fused), times in theirs.items():
            ratios = [a / b for a, b in zip(times, ours, strict=True)]
            lines.append(
                f"| {label} | {name} | {'fused' if fused else 'default'} "
                f"| {statistics.median(times) / STEPS * 1e3:.2f} "
                f"| {statistics.median(ours) / STEPS * 1e3:.2f} "
                f"| **{statistics.median(ratios):.2f}** ({min(ratios):.2f} to {max(ratios):.2f}) |"
            )
    write_results("training", "python -m benchmarks.training", lines)


def hotgrad_epoch(data: Tensor, latent: str) -> float:
    """Seconds that the library's own loop takes for its second epoch."""
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
    # from the first epoch's last step on: with drawing the order, validation and the checkpoint
    return marks[-1] - marks[STEPS - 1]


def hand_written_epoch(data: Tensor, objective: Callable[..., Tensor], fused: bool) -> float:
    """Seconds that a plain loop takes for its second epoch."""
    torch.manual_seed(0)
    encoder, decoder = nn.Linear(PIXELS, CODE), nn.Linear(CODE, PIXELS)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, 1e-3, fused=fused or None)
    for _ in range(2):
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
    return time.perf_counter() - began


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
    return reconstruction(decoder(z), x) + bit_kl(logits)


def bit_loss_two_classes(logits: Tensor, decoder: nn.Module, x: Tensor) -> Tensor:
    """Bits by torch's own function: a class for 1 and one for 0."""
    z = F.gumbel_softmax(torch.stack([logits, torch.zeros_like(logits)], -1), TEMPERATURE)[..., 0]
    return reconstruction(decoder(z), x) + bit_kl(logits)


def bit_kl(logits: Tensor) -> Tensor:
    q = torch.sigmoid(logits)
    kl = q * F.logsigmoid(logits) + (1 - q) * F.logsigmoid(-logits) + torch.tensor(2.0).log()
    return kl.sum(-1).mean()


def reconstruction(outputs: Tensor, x: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(outputs, x, reduction="none").sum(-1).mean()


if __name__ == "__main__":
    main()
