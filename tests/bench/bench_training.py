"""What a whole training step costs over its network's bare forward and backward, on this machine.

    python -m tests.bench.bench_training [CONFIG...] [--rounds 5] [--steps 4] [--batch-size N]
                                         [--device cpu] [--packs FOLDER]

For each configuration (by default three of the shipped ones), alternating round by round so that a
busy machine hurts all alike:
- bare: forward, the loss's gradient of ones and backward of the same network on the same batch
  size and precision, inputs ready;
- step: what the trainer takes: faces from the pack, augmentation, degradation, landmarks, loss,
  gradients, clipping, optimizer, weight average;
- loader: drawing the faces and bringing them to the device alone; and preparing them, which is
  augmentation and degradation besides.
Medians of the rounds are printed as Markdown, and the ratio of each round's pair; by CPU time too,
which other work on the machine hardly changes. Without --packs
the faces are random pixels in a pack of 256, which costs the same; weights are random.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

# Before torch is imported, as the command line does: beside a busy process OpenMP must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from torch import Tensor, nn

from model_store.landmarks.landmarker import LandmarkPrediction
from model_store.store import ModelStore
from training.config import LandmarkTaskConfig, TrainConfig, load_config
from training.data.augmentation import augment_faces
from training.data.datasets import FaceDataset
from training.data.degradation import degrade
from training.data.draws import BatchDraws
from training.data.pack import FaceRecord, write_pack
from training.loop.stepping import Stepper
from training.precision import forward_autocast, resolve_precision
from training.processes import DeviceChoice, open_processes
from training.tasks.build import build_task

CONFIGS = Path(__file__).parents[2] / "training" / "configs"
DEFAULT_CONFIGS = ("affectsrnet-x8-psnr", "affectsrnet-x4-psnr", "landmarker")
NUM_FACES = 256


@dataclass
class Samples:
    """Images per second of each kind, one a round; the last two per second of CPU time."""

    bare: list[float] = field(default_factory=list)
    step: list[float] = field(default_factory=list)
    faces: list[float] = field(default_factory=list)
    prepared: list[float] = field(default_factory=list)
    bare_cpu: list[float] = field(default_factory=list)
    step_cpu: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Bench:
    """One configuration's ways to spend a step, each taking the step's number."""

    config: TrainConfig
    bare: Callable[[int], None]
    step: Callable[[int], None]
    faces: Callable[[int], None]
    prepared: Callable[[int], None]

    def run_round(self, samples: Samples, *, first: int, steps: int) -> None:
        """Measure each kind over the same steps."""
        for name in ("bare", "step", "faces", "prepared"):
            call: Callable[[int], None] = getattr(self, name)
            started_at, cpu_before = time.perf_counter(), time.process_time()
            for step in range(first, first + steps):
                call(step)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            images = steps * self.config.batch_size
            getattr(samples, name).append(images / (time.perf_counter() - started_at))
            if name in ("bare", "step"):
                rate = images / (time.process_time() - cpu_before)
                getattr(samples, f"{name}_cpu").append(rate)


def build_bench(config: TrainConfig, *, packs: Path, device: DeviceChoice) -> Bench:
    """Set up everything that a step needs."""
    with open_processes(device) as processes:
        dataset = FaceDataset(config.data, root=packs, device=processes.device)
        task = build_task(config, dataset=dataset, store=ModelStore(), device=processes.device)
        stepper = Stepper(config, task, processes=processes)
    inputs = _make_inputs(config, processes.device)

    def draws_of(step: int) -> BatchDraws:
        return BatchDraws.of_step(seed=config.seed, step=step, batch_size=config.batch_size)

    def prepare(step: int) -> None:
        draws = draws_of(step)
        faces = dataset.train_batch(draws)
        images, _ = augment_faces(
            faces.images, faces.landmarks, config=config.augmentation, draws=draws
        )
        degrade(
            images,
            side_px=inputs[0].shape[-1],
            config=config.degradation,
            draws=draws,
            ids=faces.ids,
        )

    return Bench(
        config,
        bare=lambda step: _run_bare(task.network, inputs, config, processes.device),
        step=lambda step: _take(stepper, step),
        faces=lambda step: _draw(dataset, draws_of(step)),
        prepared=prepare,
    )


def _take(stepper: Stepper, step: int) -> None:
    if stepper.take(step).is_skipped:
        raise SystemExit(f"step {step} was not finite; what was measured is not a step")


def _draw(dataset: FaceDataset, draws: BatchDraws) -> None:
    dataset.train_batch(draws)


def _make_inputs(config: TrainConfig, device: torch.device) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    count = config.batch_size
    if isinstance(config.task, LandmarkTaskConfig):
        images = torch.rand(count, 3, 32, 32, generator=generator)
        return (images.to(device, memory_format=torch.channels_last),)
    side = config.task.network.lr_size_px
    lr = torch.rand(count, 3, side, side, generator=generator)
    landmarks = torch.rand(count, 478, 3, generator=generator)
    return lr.to(device), landmarks.to(device)


def _run_bare(
    network: nn.Module, inputs: tuple[Tensor, ...], config: TrainConfig, device: torch.device
) -> None:
    network.train()
    network.zero_grad(set_to_none=True)
    with forward_autocast(device, precision=config.precision):
        result = network(*inputs)
    if isinstance(result, LandmarkPrediction):
        total = result.landmarks.mean() + result.confidence_logits.mean()
    else:
        total = result.float().mean()
    total.backward()


def _write_random_pack(root: Path, names: Sequence[str]) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (NUM_FACES, 128, 128, 3), dtype=np.uint8)
    landmarks = rng.uniform(0.2, 0.8, (NUM_FACES, 478, 3)).astype(np.float32)
    records = [
        FaceRecord(
            file=f"{i}.png",
            sha256="0" * 64,
            group=str(i),
            split="validation" if i < 8 else "train",
            sharpness=100.0 + i,
        )
        for i in range(NUM_FACES)
    ]
    for name in names:
        write_pack(root / name, records, images=images, landmarks=landmarks, skipped=[])


def _report(
    options: argparse.Namespace, found: dict[str, Samples], benches: dict[str, Bench]
) -> None:
    print(
        f"\n{os.cpu_count()} cores ({platform.machine()}), torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {options.rounds} rounds of {options.steps} steps:\n"
    )
    print(
        "| configuration | batch | forward + backward | step | ratio | by CPU | faces | prepared |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, samples in found.items():
        config = benches[name].config
        ratio = _describe_ratios(samples.step, samples.bare)
        ratio_cpu = _describe_ratios(samples.step_cpu, samples.bare_cpu)
        rates = [
            f"{statistics.median(rate):.1f}/s"
            for rate in (samples.bare, samples.step, samples.faces, samples.prepared)
        ]
        print(
            f"| {name} | {config.batch_size} | {rates[0]} | {rates[1]} "
            f"| {ratio} | {ratio_cpu} | {rates[2]} | {rates[3]} |"
        )


def _describe_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> str:
    ratios = [a / b for a, b in zip(numerators, denominators, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="steps in a round")
    parser.add_argument("--batch-size", type=int, help="instead of the configuration's")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--packs", type=Path, help="folder of the face packs, if not random ones")
    options = parser.parse_args()
    paths = options.configs or [CONFIGS / f"{name}.toml" for name in DEFAULT_CONFIGS]
    with tempfile.TemporaryDirectory() as folder:
        benches: dict[str, Bench] = {}
        for path in paths:
            config = load_config(path)
            if options.batch_size is not None:
                config = replace(config, batch_size=options.batch_size)
            packs = options.packs
            if packs is None:
                packs = Path(folder) / path.stem
                _write_random_pack(packs, config.data.packs)
            benches[path.stem] = build_bench(config, packs=packs, device=options.device)
            precision = resolve_precision(config.precision, torch.device(options.device))
            print(f"{path.stem}: warming up in {precision}", flush=True)
            benches[path.stem].run_round(Samples(), first=0, steps=1)
        found = {name: Samples() for name in benches}
        for number in range(options.rounds):
            for name, bench in benches.items():
                bench.run_round(found[name], first=1 + number * options.steps, steps=options.steps)
        _report(options, found, benches)


if __name__ == "__main__":
    main()
