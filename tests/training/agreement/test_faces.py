from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.conftest import MakePack
from training.agreement.faces import open_fit_faces, open_test_faces
from training.data.expressions.pack import (
    ExpressionFace,
    ExpressionRecord,
    open_expression_pack,
    write_expression_pack,
)
from training.data.pack import Split, open_pack
from training.errors import DataError


def write_expressions(folder: Path, splits: tuple[Split, ...]) -> Path:
    rng = np.random.default_rng(0)
    write_expression_pack(
        folder,
        [
            ExpressionFace(
                ExpressionRecord(
                    file=f"happy/{index}.png",
                    sha256="0" * 64,
                    expression="happy",
                    split=split,
                    framing="official",
                ),
                rng.integers(0, 256, (112, 112, 3), dtype=np.uint8),
            )
            for index, split in enumerate(splits)
        ],
    )
    return folder


def test_of_a_face_pack_the_validation_slice_is_fitted_and_all_of_it_is_checked(
    make_pack: MakePack,
) -> None:
    folder = make_pack("faces", faces=9, validation=4) / "faces"
    pack = open_pack(folder)
    fit, test = open_fit_faces(folder), open_test_faces(folder)
    assert (fit.name, fit.digest) == ("faces:validation", f"{pack.digest}:validation")
    assert (test.name, test.digest) == ("faces", pack.digest)
    assert fit.stems == ("0", "1", "2", "3")
    assert all(np.array_equal(a, b) for a, b in zip(fit.originals, pack.images[:4], strict=True))
    assert len(test) == 9


def test_of_an_expression_pack_each_has_its_slice_and_crops_are_enlarged(tmp_path: Path) -> None:
    folder = write_expressions(tmp_path / "raf", ("train", "validation", "test", "test"))
    fit, test = open_fit_faces(folder), open_test_faces(folder)
    assert (fit.name, fit.stems) == ("raf:validation", ("1",))
    assert (test.name, test.stems) == ("raf", ("2", "3"))
    crop = Image.fromarray(open_expression_pack(folder).images[1])
    enlarged = crop.resize((128, 128), Image.Resampling.BICUBIC)
    assert np.array_equal(fit.originals[0], np.asarray(enlarged))
    assert fit.landmarks.isnan().all()


def test_what_has_no_such_faces_is_named(make_pack: MakePack, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gone is no pack"):
        open_fit_faces(tmp_path / "gone")
    alone = write_expressions(tmp_path / "alone", ("train",))
    with pytest.raises(DataError, match="alone has no validation slice to fit on"):
        open_fit_faces(alone)
    with pytest.raises(DataError, match="alone has no test slice to check on"):
        open_test_faces(alone)
    with pytest.raises(DataError, match="faces has no validation slice to fit on"):
        open_fit_faces(make_pack("faces", faces=3, validation=0) / "faces")
