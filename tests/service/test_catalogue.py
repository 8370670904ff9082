import pytest

from service.catalogue import ModelCatalogue
from service.errors import ConflictingParametersError, InvalidParameterError, UnknownModelError
from tests.fakes import served_model

X4, X8 = served_model(scale=4), served_model(scale=8, lr_size_px=16)
OLD_X4 = served_model(scale=4, version="0")
CATALOGUE = ModelCatalogue([X4, X8, OLD_X4])


@pytest.mark.parametrize(
    ("name", "model"),
    [("affectsrnet-x4", X4), ("affectsrnet-x8@1", X8), ("affectsrnet-x4@0", OLD_X4)],
)
def test_model_is_found_by_name_and_by_version(name: str, model: object) -> None:
    assert CATALOGUE.requested(name=name, scale=None) is model


def test_scale_means_the_first_model_of_that_scale() -> None:
    assert CATALOGUE.requested(name=None, scale=4) is X4


def test_nothing_asked_leaves_it_open() -> None:
    assert CATALOGUE.requested(name=None, scale=None) is None


def test_agreeing_model_and_scale_are_taken() -> None:
    assert CATALOGUE.requested(name="affectsrnet-x8", scale=8) is X8


def test_model_and_scale_that_disagree_are_refused() -> None:
    with pytest.raises(ConflictingParametersError, match="scale is 4 and model affectsrnet-x8@1"):
        CATALOGUE.requested(name="affectsrnet-x8", scale=4)


def test_unknown_model_is_told_what_is_served() -> None:
    with pytest.raises(UnknownModelError, match="served: affectsrnet-x4@1, affectsrnet-x8@1"):
        CATALOGUE.requested(name="esrgan", scale=None)


def test_other_scales_are_refused() -> None:
    with pytest.raises(InvalidParameterError, match="scale is 3; it must be 4 or 8"):
        CATALOGUE.requested(name=None, scale=3)


@pytest.mark.parametrize(
    ("width", "height", "model"), [(16, 16, X8), (22, 10, X8), (23, 10, X4), (10, 500, X4)]
)
def test_size_decides_where_nothing_is_asked(width: int, height: int, model: object) -> None:
    assert CATALOGUE.for_size(width, height) is model


def test_only_model_serves_every_size() -> None:
    assert ModelCatalogue([X8]).for_size(500, 500) is X8
