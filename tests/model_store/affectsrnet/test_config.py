import pytest

from model_store.affectsrnet import AffectSRNetConfig


@pytest.mark.parametrize(("scale", "lr_size_px", "num_upsamplings"), [(4, 32, 2), (8, 16, 3)])
def test_scale_decides_the_grid_and_the_stages(
    scale: int, lr_size_px: int, num_upsamplings: int
) -> None:
    config = AffectSRNetConfig(scale=scale)
    assert config.lr_size_px == lr_size_px
    assert config.num_upsamplings == num_upsamplings


def test_blocks_of_split_attention_divide_both_modalities() -> None:
    assert AffectSRNetConfig(scale=8).msaf_block_channels == 32
    narrow = AffectSRNetConfig(scale=8, num_features=24, graph_map_channels=16)
    assert narrow.msaf_block_channels == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 3}, r"scale is 3; it must be one of \(4, 8\)"),
        ({"graph_map": "heat"}, "graph_map is 'heat'; it must be 'pooled' or 'splat'"),
        ({"upsampling": "sinc"}, "upsampling is 'sinc'; it must be 'nearest' or 'bicubic'"),
        ({"num_blocks": 0}, "num_blocks is 0; it must be at least 1"),
        ({"gcn_layers": -1}, "gcn_layers is -1; it must be at least 1"),
        ({"splat_sigma": 0.0}, "splat_sigma is 0.0; it must be above 0 crop units"),
        ({"msaf_block_dropout": 1.0}, r"msaf_block_dropout is 1.0; it must be in \[0, 1\)"),
    ],
)
def test_a_value_outside_its_range_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AffectSRNetConfig(**{"scale": 8, **options})
