"""Weights between a warm start and what a run made of it, the share chosen by validation.

A short fine-tuning moves well-annealed weights by signal and by noise alike; part of the way often
does better than all of it (WiSE-FT, Wortsman et al., CVPR 2022, arXiv:2109.01903).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from model_store.store import ModelStore
from training.checkpoint import BEST_NAME, LAST_NAME, load_checkpoint, save_checkpoint
from training.config import DataConfig
from training.errors import CheckpointError
from training.tasks.build import build_task, open_dataset
from training.tasks.start import initialise_from

DEFAULT_SHARES = (0.25, 0.5, 0.75, 1.0)


def blend_with_start(
    run: Path,
    target: Path,
    *,
    start: str | None = None,
    shares: Sequence[float] = DEFAULT_SHARES,
    min_sharpness: float | None = None,
    max_psnr_cost_db: float | None = None,
    packs_root: Path,
    store: ModelStore,
    notify: Callable[[str], None],
    feature_weights: Path | None = None,
) -> float:
    """Score weights on the line from a run's start to its last weight average; keep the best.

    Args:
        run: Folder of a run that started from weights of its own network.
        target: Folder to make; its ``best.pt`` is evaluated and published like a run's.
        start: What the run started from, where its checkpoint names only a file.
        shares: Parts of the way to try, each above 0 and up to 1.
        min_sharpness: Softer validation faces are left out; None leaves that to the run.
        max_psnr_cost_db: Shares whose PSNR on the validation slice is further below the start's are
            left out; None leaves none out.
        packs_root: Folder of the packs that the run learnt from.
        store: Where published versions are looked up.
        notify: Is told each score.
        feature_weights: Folder with the weights of the loss's feature networks, if not the
            environment's.

    Returns:
        The share that was kept.

    Raises:
        CheckpointError: the run started from nothing or from other tensors, its start is not to be
            had, a share is out of bounds, ``target`` exists, the run has no PSNR and its cost is
            bounded, or no share is better than the start.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise CheckpointError(f"shares are {list(shares)}; give some, each above 0 and up to 1")
    if target.exists():
        raise CheckpointError(f"{target} exists; name another folder")
    checkpoint = load_checkpoint(run / LAST_NAME)
    origin = start or checkpoint.start
    if origin == "nothing":
        raise CheckpointError(f"{run} started from nothing; there is no start to blend it with")
    config = checkpoint.config
    if min_sharpness is not None:
        if not isinstance(config.data, DataConfig):
            raise CheckpointError(f"{run} learnt from labelled faces, which have no sharpness")
        data = replace(config.data, min_validation_sharpness=min_sharpness)
        config = replace(config, data=data)
    task = build_task(
        config,
        dataset=open_dataset(config, root=packs_root),
        store=store,
        device=torch.device("cpu"),
        feature_weights=feature_weights,
    )
    network = task.network.eval()
    new = initialise_from(network, origin, store=store)
    if new:
        raise CheckpointError(
            f"{origin} lacks {len(new)} tensors of the run's network, {new[0]} first; only a start "
            "that is whole can be blended"
        )
    first = {name: value.clone() for name, value in network.state_dict().items()}
    scores: dict[float, float] = {}
    least_psnr_db = None
    for share in (0.0, *sorted(set(shares))):
        network.load_state_dict(interpolate(first, checkpoint.ema, share=share))
        measured = task.validate(network, "validation")
        notify(f"{share:.3f} of the way: {_describe(measured)}")
        if max_psnr_cost_db is not None:
            if least_psnr_db is None:
                least_psnr_db = _psnr_of(measured, run) - max_psnr_cost_db
            if _psnr_of(measured, run) < least_psnr_db:
                continue
        scores[share] = measured[task.score_name]
    best = max(scores, key=lambda share: scores[share])
    if best == 0:
        raise CheckpointError(f"no share of {run} is better than its start; nothing was written")
    target.mkdir(parents=True)
    blended = replace(
        checkpoint,
        config=config,
        ema=interpolate(first, checkpoint.ema, share=best),
        best_score=scores[best],
        share_of_run=best,
    )
    save_checkpoint(target / BEST_NAME, blended)
    return best


def _describe(measured: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4f}" for name, value in measured.items())


def _psnr_of(measured: Mapping[str, float], run: Path) -> float:
    if "psnr_db" not in measured:
        raise CheckpointError(f"{run} learnt no images; leave out the bound of what they may cost")
    return measured["psnr_db"]


def interpolate(
    first: dict[str, Tensor], last: dict[str, Tensor], *, share: float
) -> dict[str, Tensor]:
    """Return the weights ``share`` of the way from ``first`` to ``last``.

    Tensors that are no floating-point values (counters) are ``last``'s.
    """
    return {
        name: torch.lerp(first[name], value, share) if value.is_floating_point() else value
        for name, value in last.items()
    }
