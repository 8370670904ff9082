"""The paper's Tables I, II and III (arXiv:2502.09932), as printed there.

Some cells are slips of the paper's own (Helen x4: SRCNN's LPIPS, Bicubic's SSIM; FFHQ's SRCNN above
SPARNet). They stand here unchanged: what is compared with them is a gain, on faces of our own.
"""

from collections.abc import Mapping
from typing import Literal

Method = Literal["Bicubic", "SRCNN", "EDSR", "FSRNet", "DIC", "SPARNet", "AffectSRNet"]
METHODS: tuple[Method, ...] = (
    "Bicubic",
    "SRCNN",
    "EDSR",
    "FSRNet",
    "DIC",
    "SPARNet",
    "AffectSRNet",
)
OURS: Method = "AffectSRNet"

Component = Literal["RRDB", "RRDB + Instance Norm", "RRDB + Instance Norm + MSAF + GCN"]
COMPONENTS: tuple[Component, ...] = (
    "RRDB",
    "RRDB + Instance Norm",
    "RRDB + Instance Norm + MSAF + GCN",
)
ABLATION_SCALE = 8

Dataset = Literal["CelebA", "Helen", "FFHQ"]
DATASETS: tuple[Dataset, ...] = ("CelebA", "Helen", "FFHQ")

PaperMetric = Literal["PSNR", "SSIM", "LPIPS", "ECM"]
PAPER_METRICS: tuple[PaperMetric, ...] = ("PSNR", "SSIM", "LPIPS", "ECM")
ABLATION_METRICS: tuple[PaperMetric, ...] = ("PSNR", "SSIM", "ECM")
# Which column of ours stands beside which of the paper's; a metric without one is shown as "-".
COLUMN_OF: Mapping[PaperMetric, str] = {
    "PSNR": "psnr_db",
    "SSIM": "ssim",
    "LPIPS": "lpips_squeeze",
    "ECM": "ecm",
}
METRIC_DECIMALS: Mapping[PaperMetric, int] = {"PSNR": 2, "SSIM": 4, "LPIPS": 4, "ECM": 2}

TABLE_NAMES: Mapping[int, str] = {4: "Table I", 8: "Table II"}
_METHODS_AT: Mapping[int, Mapping[Dataset, Mapping[PaperMetric, tuple[float | None, ...]]]] = {
    4: {
        "CelebA": {
            "PSNR": (27.48, 28.04, 31.45, 31.46, 31.53, 31.71, 31.68),
            "SSIM": (0.8166, 0.8369, 0.9095, 0.9084, 0.9107, 0.9129, 0.9141),
            "LPIPS": (0.3589, 0.1599, 0.0518, 0.0519, 0.0532, 0.0476, 0.0394),
            "ECM": (16.88, 15.78, 13.26, 13.05, 12.67, 12.12, 10.11),
        },
        "Helen": {
            "PSNR": (28.22, 28.77, 31.87, 31.93, 31.98, 31.98, 31.94),
            "SSIM": (0.6628, 0.8730, 0.9286, 0.9283, 0.9303, 0.9300, 0.9320),
            "LPIPS": (0.1771, 0.556, 0.0574, 0.0543, 0.0576, 0.0592, 0.0522),
            "ECM": (15.97, 15.24, 13.22, 13.15, 12.06, 11.23, 9.89),
        },
        "FFHQ": {
            "PSNR": (29.82, 32.65, 31.9, 31.94, None, 32.36, 32.42),
            "SSIM": (0.8459, 0.8980, 0.9161, 0.9155, None, 0.8933, 0.928),
            "LPIPS": (0.3361, 0.1720, 0.0502, 0.0498, None, 0.1878, 0.1260),
            "ECM": (16.02, 15.03, 13.44, 12.34, None, 10.87, 9.64),
        },
    },
    8: {
        "CelebA": {
            "PSNR": (23.58, 23.93, 26.84, 26.66, 27.37, 27.42, 27.39),
            "SSIM": (0.6258, 0.6348, 0.7787, 0.7714, 0.8022, 0.8036, 0.8124),
            "LPIPS": (0.6290, 0.2559, 0.1159, 0.1098, 0.0920, 0.0891, 0.0768),
            "ECM": (17.23, 15.83, 13.85, 13.66, 12.94, 12.48, 11.26),
        },
        "Helen": {
            "PSNR": (23.88, 24.27, 26.60, 26.43, 26.94, 26.95, 26.68),
            "SSIM": (0.6628, 0.6770, 0.7851, 0.7799, 0.8026, 0.8029, 0.8086),
            "LPIPS": (0.2560, 0.2430, 0.1400, 0.1356, 0.1144, 0.1169, 0.1023),
            "ECM": (16.34, 16.02, 13.87, 13.65, 12.97, 11.87, 10.97),
        },
        "FFHQ": {
            "PSNR": (25.99, 28.17, 27.72, 27.78, None, 28.20, 28.24),
            "SSIM": (0.7313, 0.7932, 0.7841, 0.7839, None, 0.7965, 0.7986),
            "LPIPS": (0.5594, 0.3329, 0.3554, 0.3552, None, 0.3355, 0.3234),
            "ECM": (16.55, 15.49, 14.13, 12.82, None, 11.77, 10.54),
        },
    },
}
_ABLATION: Mapping[Component, Mapping[Dataset, tuple[float, float, float]]] = {
    "RRDB": {
        "CelebA": (25.93, 0.7811, 14.12),
        "Helen": (24.36, 0.7232, 13.89),
        "FFHQ": (26.25, 0.7112, 14.54),
    },
    "RRDB + Instance Norm": {
        "CelebA": (26.54, 0.7924, 13.89),
        "Helen": (26.22, 0.7826, 13.11),
        "FFHQ": (27.13, 0.7621, 13.76),
    },
    "RRDB + Instance Norm + MSAF + GCN": {
        "CelebA": (27.46, 0.8124, 11.26),
        "Helen": (26.68, 0.8086, 10.97),
        "FFHQ": (28.24, 0.7986, 10.54),
    },
}


def paper_value(
    metric: PaperMetric, *, method: Method, dataset: Dataset, scale: int
) -> float | None:
    """A cell of Table I (x4) or II (x8); None where the paper has none."""
    return _METHODS_AT[scale][dataset][metric][METHODS.index(method)]


def ablation_value(metric: PaperMetric, *, component: Component, dataset: Dataset) -> float:
    """A cell of Table III; its metrics are PSNR, SSIM and ECM, at x8."""
    return _ABLATION[component][dataset][ABLATION_METRICS.index(metric)]


def dataset_of(pack: str) -> Dataset | None:
    """Which of the paper's sets a pack stands for: the one that its name ends with."""
    return next((d for d in DATASETS if pack.lower().endswith(d.lower())), None)
