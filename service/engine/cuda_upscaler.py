"""A network on a GPU as CUDA graphs: one for each size of batch, launched as a whole.

Call by call PyTorch launches about a thousand kernels for a batch, which takes longer than they do.
8-bit faces go in and 8-bit results come out, through pinned buffers, two of each, so that the host
packs and unpacks while the device computes.

Without capture the same code runs on any device, a CPU among them; tests do so.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from model_store.affectsrnet.network import AffectSRNet
from service.engine.base import LandmarkSource
from service.engine.face_graph import FaceGraph
from service.engine.upscaling import UpscaledBatch

if TYPE_CHECKING:  # the type of torch.cuda.graph_pool_handle, which has no public name
    from torch.cuda import _POOL_HANDLE

_NUM_SLOTS = 2
_RUNS_BEFORE_CAPTURE = 3  # libraries choose their kernels and allocate in the first ones


def to_bfloat16(network: AffectSRNet) -> AffectSRNet:
    """Copy a network with its trunk in bfloat16, channels last.

    What costs nothing stays in float32: landmark graph, attention, skip and projection. Autocast
    would come to the same and convert every weight in every replay.
    """
    reduced = copy.deepcopy(network)
    for name, part in reduced.named_children():
        if name.startswith("conv_") or name == "body":
            part.to(torch.bfloat16)
    for merge in reduced.merges:
        merge.get_submodule("fuse").to(torch.bfloat16)
    # The annotations of torch do not know this argument of `to`.
    reduced.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return reduced


@dataclass(frozen=True, eq=False)
class _Slot:
    """Buffers of the host: what is sent, what comes back, and when it has come."""

    faces: Tensor
    outputs: tuple[Tensor, ...]
    done: "torch.cuda.Event | None"


class _Bucket:
    """A size of batch: its buffers, and its graph of kernels."""

    def __init__(self, graph: FaceGraph, faces: Tensor, *, pool: "_POOL_HANDLE | None") -> None:
        """Make buffers, and capture the graph if there is a pool of memory for it."""
        self._faces = faces
        self._graph = graph
        self.size = len(faces)
        outputs = graph(faces)
        self._outputs = tuple(torch.empty_like(output) for output in outputs)
        is_pinned = faces.device.type == "cuda"
        self.slots = [
            _Slot(
                torch.empty(faces.shape, dtype=torch.uint8, pin_memory=is_pinned),
                tuple(
                    torch.empty(output.shape, dtype=output.dtype, pin_memory=is_pinned)
                    for output in outputs
                ),
                torch.cuda.Event() if is_pinned else None,
            )
            for _ in range(_NUM_SLOTS)
        ]
        self._replay: Callable[[], None] = self._run
        if pool is not None:
            self._replay = self._capture(pool)

    def start(self, slot: _Slot, faces: Tensor) -> None:
        """Send faces, compute, fetch; returns before that is done where the device can."""
        slot.faces[: len(faces)].copy_(faces)
        self._faces.copy_(slot.faces, non_blocking=True)
        self._replay()
        for host, output in zip(slot.outputs, self._outputs, strict=True):
            host.copy_(output, non_blocking=True)
        if slot.done is not None:
            slot.done.record()

    def _run(self) -> None:
        for kept, output in zip(self._outputs, self._graph(self._faces), strict=True):
            kept.copy_(output)

    def _capture(self, pool: "_POOL_HANDLE") -> Callable[[], None]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_RUNS_BEFORE_CAPTURE):
                self._run()
        torch.cuda.current_stream().wait_stream(stream)
        captured = torch.cuda.CUDAGraph()
        with torch.cuda.graph(captured, pool=pool):
            self._run()
        return captured.replay


class CudaUpscaler:
    """One model; see `BatchUpscaler`."""

    def __init__(
        self,
        graph: FaceGraph,
        *,
        size_px: int,
        batch_sizes: Sequence[int],
        device: torch.device,
        captures: bool = True,
    ) -> None:
        """Make buffers and graphs.

        Args:
            graph: on the device, in eval mode.
            size_px: side of the network's grid.
            batch_sizes: faces of each graph; smaller batches are padded to the next one, larger
                ones run in parts of the largest.
            device: where the graph lies.
            captures: needs CUDA.
        """
        self._graph = graph
        self._device = device
        # One pool, for one graph runs at a time, and what it gives out lies elsewhere. The largest
        # is captured first, so that the others find room in what it took.
        pool = torch.cuda.graph_pool_handle() if captures else None
        # Sizes never change, so it pays to try cuDNN's kernels out for each.
        kernels = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
        with torch.inference_mode(), kernels:
            buckets = [
                _Bucket(
                    graph,
                    torch.zeros(size, size_px, size_px, 3, dtype=torch.uint8, device=device),
                    pool=pool,
                )
                for size in sorted(batch_sizes, reverse=True)
            ]
        self._buckets = buckets[::-1]

    @torch.inference_mode()
    def upscale(self, faces: Tensor) -> UpscaledBatch:
        found: list[tuple[Tensor, ...]] = []
        pending: Callable[[], tuple[Tensor, ...]] | None = None
        for index, part in enumerate(faces.split(self._buckets[-1].size)):
            started = self._start(part, index % _NUM_SLOTS)
            if pending is not None:
                found.append(pending())
            pending = started
        if pending is not None:
            found.append(pending())
        images, is_finite, confidences = (torch.cat(part) for part in zip(*found, strict=True))
        sure: list[float | None] = confidences.tolist()
        return UpscaledBatch(images.numpy(), is_finite.tolist(), *self._sources(sure))

    def bare_run(self, faces: Tensor) -> Callable[[], object]:
        bucket = self._bucket(len(faces))

        @torch.inference_mode()
        def run() -> None:
            bucket.start(bucket.slots[0], faces)
            _wait(bucket.slots[0])

        return run

    def _start(self, faces: Tensor, slot_index: int) -> Callable[[], tuple[Tensor, ...]]:
        bucket = self._bucket(len(faces))
        slot = bucket.slots[slot_index]
        bucket.start(slot, faces)

        def finish() -> tuple[Tensor, ...]:
            _wait(slot)
            # The slot is written again; what is given out is the caller's.
            return tuple(output[: len(faces)].clone() for output in slot.outputs)

        return finish

    def _bucket(self, num_faces: int) -> _Bucket:
        return next(bucket for bucket in self._buckets if bucket.size >= num_faces)

    def _sources(
        self, confidences: list[float | None]
    ) -> tuple[list[LandmarkSource], list[float | None]]:
        if not self._graph.takes_landmarks:
            return ["none"] * len(confidences), [None] * len(confidences)
        least = self._graph.min_confidence
        return [
            "fallback" if confidence is None or confidence < least else "landmarker"
            for confidence in confidences
        ], confidences


def _wait(slot: _Slot) -> None:
    if slot.done is not None:
        slot.done.synchronize()
