"""The CUDA engine on a GPU: its checks and its times, in one run of a few minutes.

    python -m tests.bench.bench_cuda [--sizes 1 2 4 ... 256] [--seconds 1.0] [--out FOLDER]

Needs torch with CUDA, numpy, safetensors and Pillow, and no more of the service's packages. Prints,
and writes as bench_cuda.json, for every model and size of batch the time through pinned buffers and
of the replay alone, faces a second, memory, and the share of the device's measured limits; the rate
with both buffers in use; PSNR against float32 in PyTorch; the most that company moves a colour;
float32 call by call and bfloat16 without capture beside them; the kernels that take longest. What
fails is written with its traceback, and the rest goes on. The exit status is 1 if a check fails.
"""

import argparse
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model_store.affectsrnet.network import AffectSRNet
from model_store.image_tensor import resize_bicubic
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from service.engine.cuda_upscaler import CudaUpscaler, to_bfloat16
from service.engine.face_graph import FaceGraph
from service.engine.roofline import Roofline, measure_roofline, measure_work

MODELS = ("affectsrnet-x8", "affectsrnet-x4")
MIN_PSNR_DB = 50.0
MAX_BATCH_LEVELS = 1
_STREAMED_BATCHES = 8


def main() -> int:
    """Run everything; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[2**power for power in range(9)])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each time (1.0)")
    parser.add_argument("--checked", type=int, default=64, help="pictures of the checks (64)")
    parser.add_argument("--device", default="cuda", help="cpu tries the script, without capture")
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    device = torch.device(options.device)
    torch.backends.cudnn.allow_tf32 = False  # as the service has it
    roofline = measure_roofline(device=device, dtype=torch.bfloat16)
    title = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{title}, torch {torch.__version__}: {asdict(roofline)}")
    store = ModelStore()
    found: list[dict[str, object]] = []
    document = {"device": title, "torch": torch.__version__, "roofline": asdict(roofline)}
    for name in MODELS:
        try:
            found.append(measure_model(store, name, roofline, options, device))
        except Exception:
            traceback.print_exc()
            found.append({"model": name, "failure": traceback.format_exc(), "is_accurate": False})
        (options.out / "bench_cuda.json").write_text(
            json.dumps({**document, "models": found}, indent=1)
        )
    return 0 if all(model["is_accurate"] for model in found) else 1


def measure_model(
    store: ModelStore,
    name: str,
    roofline: Roofline,
    options: argparse.Namespace,
    device: torch.device,
) -> dict[str, object]:
    """Check and time one model."""
    sizes, seconds = options.sizes, options.seconds
    network, landmarker = (store.load(one, device=device).module for one in (name, "landmarker"))
    assert isinstance(network, AffectSRNet)
    assert isinstance(landmarker, Landmarker)
    size_px = network.config.lr_size_px
    faces = smooth_faces(max(*sizes, options.checked), size_px)
    reference = FaceGraph(network, landmarker, min_confidence=0.5).to(device).eval()
    reduced = FaceGraph(to_bfloat16(network), landmarker, min_confidence=0.5).to(device).eval()
    started_at = time.perf_counter()
    upscaler = CudaUpscaler(
        reduced, size_px=size_px, batch_sizes=sizes, device=device, captures=device.type == "cuda"
    )
    capture_seconds = time.perf_counter() - started_at
    accuracy = check(upscaler, reference, faces[: options.checked], device)
    print(f"{name}: {capture_seconds:.1f} s to capture; {accuracy}", flush=True)
    example = torch.rand(2, 3, size_px, size_px, device=device)
    landmarks = landmarker.mean_landmarks.expand(2, -1, -1)
    work = measure_work(network, (example, landmarks))
    rows = []
    for size in sizes:
        batch = faces[:size]
        through = median_seconds(lambda batch=batch: upscaler.upscale(batch), seconds, device)
        bare = median_seconds(upscaler.bare_run(batch), seconds, device)
        row = {
            "batch_size": size,
            "engine_ms": 1000 * through,
            "replay_and_copies_ms": 1000 * bare,
            "faces_per_second": size / through,
            "roofline_share": roofline.seconds(work, num_faces=size) / through,
        }
        print(row, flush=True)
        rows.append(row)
    stream = faces[: max(sizes)].repeat(_STREAMED_BATCHES, 1, 1, 1)
    streamed = len(stream) / median_seconds(lambda: upscaler.upscale(stream), seconds, device)
    print(f"{streamed:.0f} faces/s with both buffers in use", flush=True)
    eager = faces[: max(sizes)].to(device)
    with torch.inference_mode():
        others = {
            "float32_call_by_call_ms": 1000
            * median_seconds(lambda: reference(eager), seconds, device),
            "bfloat16_call_by_call_ms": 1000
            * median_seconds(lambda: reduced(eager), seconds, device),
            "kernels": slowest_kernels(lambda: reduced(eager), device),
        }
    print(others)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else None
    is_accurate = (
        accuracy["psnr_db"] >= MIN_PSNR_DB and accuracy["batch_levels"] <= MAX_BATCH_LEVELS
    )
    return {
        "model": name,
        "capture_seconds": capture_seconds,
        "gflop_per_face": work.flops_per_face / 1e9,
        "memory_bytes": peak,
        "is_accurate": is_accurate,
        **accuracy,
        "batches": rows,
        "streamed_faces_per_second": streamed,
        "largest_batch": others,
    }


def check(
    upscaler: CudaUpscaler, reference: FaceGraph, faces: Tensor, device: torch.device
) -> dict[str, float]:
    """PSNR against float32, and what company does to a face."""
    together = upscaler.upscale(faces)
    with torch.inference_mode():
        expected = torch.cat([reference(part.to(device))[0].cpu() for part in faces.split(8)])
    error = np.mean((together.rgb.astype(float) - expected.numpy()) ** 2)
    alone = np.concatenate([upscaler.upscale(face[None]).rgb for face in faces[:16]])
    return {
        "psnr_db": float(10 * np.log10(255**2 / max(error, 1e-9))),
        "batch_levels": float(np.abs(alone.astype(int) - together.rgb[:16]).max()),
    }


def smooth_faces(count: int, size_px: int) -> Tensor:
    """Smooth pictures in place of faces: (N, h, h, 3) uint8."""
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    smooth = resize_bicubic(coarse, height=size_px, width=size_px).clamp(0, 1)
    return smooth.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def median_seconds(work: Callable[[], object], seconds: float, device: torch.device) -> float:
    """Median time of a call, device included, over so many seconds and three calls at least."""
    work()
    times: list[float] = []
    while len(times) < 3 or sum(times) < seconds:
        synchronize(device)
        started_at = time.perf_counter()
        work()
        synchronize(device)
        times.append(time.perf_counter() - started_at)
    return statistics.median(times)


def slowest_kernels(work: Callable[[], object], device: torch.device) -> list[tuple[str, float]]:
    """The ten that take most time in a call: name, milliseconds."""
    if device.type != "cuda":
        return []
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        work()
        synchronize(device)
    totals = [(event.key, event.self_device_time_total / 1000) for event in profiler.key_averages()]
    return sorted(totals, key=lambda total: -total[1])[:10]


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
