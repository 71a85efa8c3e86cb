"""What the engine costs: ratios of times measured in alternation, and a peak of memory.

Ratios, because the clock of a shared machine means little; in alternation, because its speed
drifts.
"""

from __future__ import annotations

import copy
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor, nn

from benchmarks.grouped import Contest
from skdeepcluster.engine.schedule import Phase, Turn
from skdeepcluster.engine.table import Table
from skdeepcluster.engine.trainer import Trainer
from skdeepcluster.models.autoencoder import Autoencoder
from skdeepcluster.networks import make_decoder, make_encoder
from skdeepcluster.scaling import Scaling

HEADER = ["what", "ours", "reference", "ratio of CPU", "ratio of wall", "limit"]
BATCH_SIZE = 256
LR = 1e-3
LATENT_DIM = 10
# Widths, a factor on the epochs that gives the clock something to see, and the largest ratio.
NETWORKS = [((784, 500, 500, 2000), 1, 1.10), ((64, 64), 10, 1.30)]
LOADER_ROWS = 20_000
CONTEST_BATCHES = (100, 256)
MEMORY_LIMIT = 500  # MB

Work = Callable[[], object]


@dataclass(frozen=True)
class Times:
    """CPU and wall seconds of some repetitions of the same work."""

    cpu: list[float]
    wall: list[float]

    def measure(self, work: Work) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)


def measure_all(n_repeats: int, n_epochs: int, n_rows: int, memory_rows: int) -> list[list[str]]:
    """Return the table of costs, a row per comparison, under a header."""
    rows = [HEADER]
    for widths, factor, limit in NETWORKS:
        epochs = factor * n_epochs
        name = f"{epochs} epochs of {'-'.join(map(str, (*widths, LATENT_DIM)))}, bare loop"
        pair = against_bare_loop(widths, n_rows, epochs)
        rows.append(_compared(name, *pair, n_repeats, limit))
    name = f"{n_epochs} epochs of {LOADER_ROWS} x 32, skorch's own loader"
    pair = against_skorch((32, 64), LOADER_ROWS, n_epochs)
    rows.append(_compared(name, *pair, n_repeats, None))
    if memory_rows:
        rows.append(_memory(memory_rows))
    return rows


def measure_grouped(sizes: Sequence[int], n_repeats: int) -> list[list[str]]:
    """Return the costs of k networks computed as one, for several k, under a header."""
    rows = [HEADER]
    for n_networks, batch_size in itertools.product(sizes, CONTEST_BATCHES):
        contest = Contest(n_networks, batch_size)
        name = f"{n_networks} networks, batch {batch_size}"
        pairs = {
            "scores, loop over networks": contest.forward(),
            "update, loop over networks": contest.training(),
            "update, gradients for all": contest.strategies(),
        }
        for what, pair in pairs.items():
            rows.append(_compared(f"{name}: {what}", *pair, n_repeats, None))
    return rows


def against_bare_loop(widths: tuple[int, ...], n_rows: int, n_epochs: int) -> tuple[Work, Work]:
    """Return our epochs and the same epochs of a bare loop, on networks with equal weights."""
    X, autoencoder = problem(widths, n_rows)
    network = copy.deepcopy(nn.Sequential(autoencoder.encoder, autoencoder.decoder))
    return ours(autoencoder, X, n_epochs), lambda: bare_loop(network, X, n_epochs)


def against_skorch(widths: tuple[int, ...], n_rows: int, n_epochs: int) -> tuple[Work, Work]:
    """Return our epochs and those of a plain skorch net, which loads row by row."""
    X, autoencoder = problem(widths, n_rows)
    net = NeuralNet(
        copy.deepcopy(nn.Sequential(autoencoder.encoder, autoencoder.decoder)),
        nn.MSELoss,
        optimizer=torch.optim.Adam,
        lr=LR,
        max_epochs=n_epochs,
        batch_size=BATCH_SIZE,
        train_split=None,
        callbacks="disable",
        verbose=0,
    )
    return ours(autoencoder, X, n_epochs), lambda: net.fit(X.numpy(), X.numpy())


def bare_loop(network: nn.Module, X: Tensor, n_epochs: int) -> None:
    """Train an autoencoder as one would by hand."""
    optimizer = torch.optim.Adam(network.parameters(), LR)
    network.train()
    for _ in range(n_epochs):
        for rows in torch.randperm(len(X)).split(BATCH_SIZE):
            batch = X[rows]
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(network(batch), batch)
            loss.backward()
            optimizer.step()


def problem(widths: tuple[int, ...], n_rows: int) -> tuple[Tensor, Autoencoder]:
    """Return random rows in [0, 1] and an autoencoder for them."""
    shape = (widths[0],)
    X = torch.rand(n_rows, widths[0])
    encoder = make_encoder(shape, LATENT_DIM, widths[1:])
    return X, Autoencoder(Scaling(shape), encoder, make_decoder(LATENT_DIM, shape, widths[1:]))


def ours(autoencoder: Autoencoder, X: Tensor, n_epochs: int) -> Work:
    """Return the same training by our engine."""
    phase = Phase("training", [Turn("model", "reconstruction")], epochs=n_epochs)
    trainer = Trainer(autoencoder, optimizer=torch.optim.Adam, lr=LR, batch_size=BATCH_SIZE)
    table = Table(X.numpy())
    return lambda: trainer.run(table, [phase])


def compare(own: Work, reference: Work, n_repeats: int) -> tuple[Times, Times]:
    """Time two works in turn, after once without a clock, each the first every other time."""
    times = Times([], []), Times([], [])
    own()
    reference()
    both = list(zip(times, (own, reference), strict=True))
    for _ in range(n_repeats):
        for kept, work in both:
            kept.measure(work)
        both.reverse()
    return times


def _compared(
    name: str, own: Work, reference: Work, n_repeats: int, limit: float | None
) -> list[str]:
    mine, other = compare(own, reference, n_repeats)
    cpu = float(np.median(np.divide(mine.cpu, other.cpu)))
    wall = float(np.median(np.divide(mine.wall, other.wall)))
    return [
        name,
        f"{np.median(mine.cpu):.3f} s",
        f"{np.median(other.cpu):.3f} s",
        f"{cpu:.2f}",
        f"{wall:.2f}",
        "" if limit is None else _judged(f"{limit:.2f}", cpu <= limit),
    ]


def _memory(n_rows: int) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.memory", str(n_rows)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    peak = float(result.stdout)
    name = f"memory of predict on a memory map of {n_rows} rows"
    limit = _judged(f"{MEMORY_LIMIT} MB", peak <= MEMORY_LIMIT)
    return [name, f"{peak:.0f} MB", "", "", "", limit]


def _judged(limit: str, holds: bool) -> str:
    return f"{limit}: {'kept' if holds else 'EXCEEDED'}"
