"""`affectsr models`."""

from collections.abc import Mapping

from service.settings import Settings
from service.terminal import EXIT_NO_START, fail, print_table

# The columns of a line in `affectsr models`; a version has those that are of its kind.
_HEADLINE_METRICS = (
    "psnr_gain_db",
    "ssim",
    "lpips_squeeze",
    "ecm",
    "expression_agreement",
    "nme_32px",
    "nme_16px",
    "mouth_correlation_32px",
    "mouth_correlation_16px",
)


def run(settings: Settings) -> int:
    """List the published models; returns the exit status."""
    from model_store.errors import ModelStoreError
    from service.engine.loading import open_store

    store = open_store(settings)
    try:
        manifests = store.manifests()
        defaults = {store.resolve(name).reference for name in store.names()}
    except ModelStoreError as error:
        return fail(str(error), EXIT_NO_START)
    header = ("MODEL", "DEFAULT", "KIND", "SCALE", "PARAMETERS", "MEASURED")
    rows = [
        (
            manifest.reference,
            "yes" if manifest.reference in defaults else "",
            manifest.architecture,
            "" if manifest.scale is None else f"x{manifest.scale}",
            f"{manifest.num_parameters:,}",
            _describe_metrics(manifest.metrics),
        )
        for manifest in manifests
    ]
    print_table([header, *rows])
    return 0


def _describe_metrics(metrics: Mapping[str, float]) -> str:
    """What tells versions apart, as means over the test sets; the manifest has every number."""
    means = {name: metrics.get(f"mean/{name}", metrics.get(name)) for name in _HEADLINE_METRICS}
    return " ".join(f"{name}={value:g}" for name, value in means.items() if value is not None)
