import importlib.util
import math
import runpy
from pathlib import Path

import pytest
import torch

from model_store.landmarks.topology import (
    EYEBROWS,
    FACE_EDGES,
    FACE_OVAL,
    FLIP_PERMUTATION,
    INNER_LIP_BOTTOM,
    INNER_LIP_TOP,
    IRISES,
    LANDMARK_COUNT,
    LEFT_EYE,
    LEFT_EYE_OUTER_CORNER,
    MOUTH,
    NOSE,
    RIGHT_EYE,
    RIGHT_EYE_OUTER_CORNER,
    normalized_adjacency,
)


def mirrored(edge: tuple[int, int]) -> tuple[int, int]:
    a, b = (FLIP_PERMUTATION[node] for node in edge)
    return min(a, b), max(a, b)


# --- adjacency ------------------------------------------------------------------------------------


def test_adjacency_of_a_path_by_hand() -> None:
    # 0 - 1 - 2: with themselves the nodes have 2, 3 and 2 neighbours.
    outer, inner, edge = 1 / 2, 1 / 3, 1 / math.sqrt(6)
    expected = torch.tensor([[outer, edge, 0], [edge, inner, edge], [0, edge, outer]])
    torch.testing.assert_close(normalized_adjacency([(0, 1), (1, 2)], 3), expected)


def test_an_edge_given_twice_counts_once() -> None:
    once = normalized_adjacency([(0, 1)], 2)
    assert torch.equal(normalized_adjacency([(0, 1), (1, 0), (0, 1)], 2), once)


def test_an_isolated_node_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"nodes without an edge: \[1, 4\]; join each"):
        normalized_adjacency([(0, 2), (2, 3)], 5)


@pytest.mark.parametrize("edge", [(0, 3), (-1, 2), (1, 1)])
def test_an_edge_to_nowhere_or_to_itself_is_an_error(edge: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"is not between two different nodes of 0 to 2"):
        normalized_adjacency([(0, 1), (1, 2), edge], 3)


def test_adjacency_of_the_face_mixes_without_growth() -> None:
    adjacency = normalized_adjacency(FACE_EDGES, LANDMARK_COUNT)
    assert adjacency.shape == (LANDMARK_COUNT, LANDMARK_COUNT)
    assert torch.equal(adjacency, adjacency.T)
    # Kipf and Welling's normalisation has its largest eigenvalue at 1.
    largest = torch.linalg.eigvalsh(adjacency.double())[-1]
    assert float(largest) == pytest.approx(1, abs=1e-5)


# --- edges ----------------------------------------------------------------------------------------


def test_the_face_is_one_piece() -> None:
    reached = {0}
    while True:
        further = {n for edge in FACE_EDGES if reached & {*edge} for n in edge} | reached
        if further == reached:
            break
        reached = further
    assert reached == set(range(LANDMARK_COUNT))


def test_edges_are_sorted_and_unique() -> None:
    assert len(FACE_EDGES) == 1342
    assert list(FACE_EDGES) == sorted(set(FACE_EDGES))
    assert all(a < b for a, b in FACE_EDGES)


@pytest.mark.parametrize(
    ("centre", "ring", "corners"),
    [(468, range(469, 473), {33, 133}), (473, range(474, 478), {263, 362})],
)
def test_irises_are_joined_to_their_rings_and_these_to_the_eye_corners(
    centre: int, ring: range, corners: set[int]
) -> None:
    def neighbours(node: int) -> set[int]:
        return {n for edge in FACE_EDGES if node in edge for n in edge} - {node}

    assert neighbours(centre) == {*ring}
    assert {n for node in ring for n in neighbours(node)} - {*ring, centre} == corners


def test_vendored_lists_are_mediapipes() -> None:
    # Its list module is read as a plain file, for importing mediapipe takes seconds.
    found = importlib.util.find_spec("mediapipe")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs mediapipe, an extra: pip install '.[mediapipe]'")
    lists = Path(found.submodule_search_locations[0]) / "python/solutions"
    published = runpy.run_path(str(lists / "face_mesh_connections.py"))
    names = ("CONTOURS", "NOSE", "IRISES", "TESSELATION")
    theirs = {(min(edge), max(edge)) for name in names for edge in published[f"FACEMESH_{name}"]}
    assert theirs <= {*FACE_EDGES}
    assert len({*FACE_EDGES} - theirs) == 12  # the joins of the irises
    for name, nodes in (
        ("LIPS", MOUTH),
        ("LEFT_EYE", LEFT_EYE),
        ("RIGHT_EYE", RIGHT_EYE),
        ("NOSE", NOSE),
        ("FACE_OVAL", FACE_OVAL),
    ):
        assert {n for edge in published[f"FACEMESH_{name}"] for n in edge} == {*nodes}


# --- mirror images --------------------------------------------------------------------------------


def test_mirroring_twice_is_no_change() -> None:
    assert len(FLIP_PERMUTATION) == LANDMARK_COUNT
    assert all(FLIP_PERMUTATION[FLIP_PERMUTATION[i]] == i for i in range(LANDMARK_COUNT))


def test_mirroring_keeps_the_midline_and_swaps_the_sides() -> None:
    midline = (
        10,
        151,
        9,
        8,
        168,
        6,
        197,
        195,
        5,
        4,
        1,
        19,
        94,
        2,
        164,
        0,
        INNER_LIP_TOP,
        INNER_LIP_BOTTOM,
        17,
        18,
        200,
        199,
        175,
        152,
    )
    assert all(FLIP_PERMUTATION[i] == i for i in midline)
    assert FLIP_PERMUTATION[RIGHT_EYE_OUTER_CORNER] == LEFT_EYE_OUTER_CORNER
    assert FLIP_PERMUTATION[61] == 291  # mouth corners
    assert FLIP_PERMUTATION[468] == 473  # iris centres
    assert {FLIP_PERMUTATION[i] for i in LEFT_EYE} == {*RIGHT_EYE}


@pytest.mark.parametrize("group", [MOUTH, EYEBROWS, NOSE, IRISES, FACE_OVAL])
def test_groups_over_both_sides_are_their_own_mirror_images(group: tuple[int, ...]) -> None:
    assert {FLIP_PERMUTATION[i] for i in group} == {*group}


def test_mirroring_keeps_the_edges_but_for_six_diagonals() -> None:
    # MediaPipe's mesh itself has six quads that are cut the other way on the other side.
    edges = {*FACE_EDGES}
    assert {mirrored(edge) for edge in edges} - edges == {
        mirrored(edge)
        for edge in ((75, 166), (79, 238), (161, 247), (250, 459), (260, 466), (289, 290))
    }


# --- named places ---------------------------------------------------------------------------------


def test_named_landmarks_lie_in_their_groups() -> None:
    assert RIGHT_EYE_OUTER_CORNER in RIGHT_EYE
    assert LEFT_EYE_OUTER_CORNER in LEFT_EYE
    assert {INNER_LIP_TOP, INNER_LIP_BOTTOM} <= {*MOUTH}
    assert tuple(range(468, 478)) == IRISES
