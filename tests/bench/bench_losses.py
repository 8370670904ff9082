"""What each term of the training loss costs over a step with the bare L1 distance.

    OMP_WAIT_POLICY=passive python -m tests.bench.bench_losses --feature-weights FOLDER

For each scale the published AffectSRNet goes forward and backward over random faces, without
augmentation and without the optimiser's step: once with L1 alone, once with each term beside it,
once with the paper's whole loss, in turn round by round, so that a busy machine hurts all alike.
Medians of the rounds are printed as Markdown, in wall time and in CPU time of all threads; the
ratio is of the latter.
"""

import argparse
import os
import platform
import statistics
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from model_store.affectsrnet.config import HR_SIZE_PX
from model_store.affectsrnet.network import AffectSRNet
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from training.config import LossConfig, Precision
from training.losses.affectsr_loss import AffectSRLoss
from training.precision import forward_autocast, resolve_precision
from training.tasks.build_loss import build_loss

CPU = torch.device("cpu")
L1 = LossConfig()
PAPER = replace(L1, perceptual_weight=20.0, gram_weight=50.0, node_weight=0.1)
LOSSES = {
    "L1 alone": L1,
    "+ LPIPS (SqueezeNet)": replace(L1, perceptual_weight=20.0),
    "+ VGG16 features": replace(L1, perceptual="vgg16", perceptual_weight=20.0),
    "+ Gram matrices": replace(L1, gram_weight=50.0),
    "+ node embeddings": replace(L1, node_weight=0.1),
    "+ facial regions": replace(L1, region_weight=1.0),
    "the paper's four": PAPER,
    "the four, by VGG16": replace(PAPER, perceptual="vgg16"),
}


class Bench:
    """One scale: the network and a batch of random faces."""

    def __init__(self, *, scale: int, batch_size: int, precision: Precision) -> None:
        store = ModelStore()
        network, landmarker = (
            store.load(name).module for name in (f"affectsrnet-x{scale}", "landmarker")
        )
        assert isinstance(network, AffectSRNet)
        assert isinstance(landmarker, Landmarker)
        self._network = network.train().requires_grad_(True)
        self._landmarker = landmarker
        self._store = store
        self._precision = precision
        self._lr = torch.rand(batch_size, 3, HR_SIZE_PX // scale, HR_SIZE_PX // scale)
        self._hr = torch.rand(batch_size, 3, HR_SIZE_PX, HR_SIZE_PX)
        self._landmarks: Tensor = landmarker.mean_landmarks.expand(batch_size, -1, -1)

    def build(self, config: LossConfig, feature_weights: Path) -> AffectSRLoss:
        return build_loss(
            self._network,
            config=config,
            landmarker=self._landmarker,
            store=self._store,
            feature_weights=feature_weights,
            device=CPU,
        )

    def measure(self, loss: AffectSRLoss) -> tuple[float, float]:
        """Milliseconds a face of one step: wall, and CPU of all threads."""
        started_at, started_cpu = time.perf_counter(), time.process_time()
        with forward_autocast(CPU, precision=self._precision):
            sr = self._network(self._lr, self._landmarks)
        with forward_autocast(CPU, precision=self._precision):
            total = loss(sr.float(), self._hr, landmarks=self._landmarks).total
        total.backward()
        self._network.zero_grad(set_to_none=True)
        wall, cpu = time.perf_counter() - started_at, time.process_time() - started_cpu
        return 1000 * wall / len(self._lr), 1000 * cpu / len(self._lr)


def _run(options: argparse.Namespace, scale: int) -> dict[str, tuple[float, float]]:
    bench = Bench(scale=scale, batch_size=options.batch_size, precision=options.precision)
    losses = {name: bench.build(config, options.feature_weights) for name, config in LOSSES.items()}
    bench.measure(losses["the paper's four"])  # first calls choose kernels
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in range(options.rounds):
        for name, loss in losses.items():
            samples[name].append(bench.measure(loss))
    return {
        name: (statistics.median(w for w, _ in found), statistics.median(c for _, c in found))
        for name, found in samples.items()
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--feature-weights", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    options = parser.parse_args()
    torch.manual_seed(0)
    found = {scale: _run(options, scale) for scale in (8, 4)}
    print(
        f"\n{options.rounds} rounds of {options.batch_size} faces, {os.cpu_count()} cores "
        f"({platform.machine()}), {torch.get_num_threads()} threads, "
        f"{resolve_precision(options.precision, CPU)}; ms a face, forward and backward:\n"
    )
    print("| loss | x8 wall | x8 CPU | ratio | x4 wall | x4 CPU | ratio |")
    print("|---|---|---|---|---|---|---|")
    for name in LOSSES:
        cells = []
        for scale in (8, 4):
            (wall, cpu), (_, bare) = found[scale][name], found[scale]["L1 alone"]
            cells.append(f"{wall:.0f} | {cpu:.0f} | {cpu / bare:.2f}")
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
