import torch
from torch import Tensor

from model_store.affectsrnet.landmark_gcn import LandmarkGCN
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from tests.training.losses.tiny_networks import random_faces, random_landmarker
from training.losses.nodes import NodeDistance, embed_by, embed_by_coordinates


def distance_by_hand(landmarker: Landmarker, gcn: LandmarkGCN, sr: Tensor, hr: Tensor) -> Tensor:
    found, wanted = (gcn(landmarker(images).landmarks) for images in (sr, hr))
    return torch.stack(
        [
            sum(((a - b) ** 2).sum() for a, b in zip(*face, strict=True)) / 478
            for face in zip(found, wanted, strict=True)
        ]
    )


def test_node_distance_is_the_mean_over_nodes_of_squared_distances() -> None:
    landmarker, gcn = random_landmarker(), LandmarkGCN(4, 2).double()
    sr, hr, _ = random_faces()
    expected = distance_by_hand(landmarker, gcn, sr, hr)
    distance = NodeDistance(landmarker, embed_by(gcn))(sr, hr)
    torch.testing.assert_close(distance, expected)
    assert bool((distance > 0).all())


def test_equal_images_have_no_distance_whatever_the_landmarker_finds() -> None:
    _, hr, _ = random_faces()
    distance = NodeDistance(random_landmarker(), embed_by_coordinates)(hr, hr.clone())
    assert torch.equal(distance, torch.zeros(2, dtype=torch.float64))


def test_the_gradient_reaches_the_sr_image_alone() -> None:
    landmarker, gcn = random_landmarker(), LandmarkGCN(4, 2).double()
    sr, hr, _ = random_faces()
    sr.requires_grad_()
    hr.requires_grad_()
    NodeDistance(landmarker, embed_by(gcn))(sr, hr).sum().backward()
    assert sr.grad is not None
    assert float(sr.grad.abs().sum()) > 0
    assert hr.grad is None
    assert all(p.grad is None for p in (*gcn.parameters(), *landmarker.parameters()))


def test_a_graph_network_embeds_as_it_stands_at_the_time() -> None:
    gcn = LandmarkGCN(4, 2)
    embed, landmarks = embed_by(gcn), torch.rand(1, 478, 3)
    before = embed(landmarks)
    with torch.no_grad():
        for parameter in gcn.parameters():
            parameter.add_(0.1)
    assert not torch.equal(embed(landmarks), before)
    assert torch.equal(embed(landmarks), gcn(landmarks))
    assert all(p.requires_grad for p in gcn.parameters())


def test_autocast_does_not_change_the_distance() -> None:
    distance = NodeDistance(random_landmarker().float(), embed_by_coordinates)
    sr, hr, _ = (t.float() for t in random_faces())
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = distance(sr, hr)
    assert torch.equal(under_autocast, distance(sr, hr))


def test_the_published_landmarker_passes_the_gradient_on_to_a_large_image() -> None:
    landmarker = ModelStore().load("landmarker").module
    assert isinstance(landmarker, Landmarker)
    sr = torch.rand(1, 3, 128, 128, requires_grad=True)
    hr = torch.rand(1, 3, 128, 128)
    NodeDistance(landmarker, embed_by_coordinates)(sr, hr).sum().backward()
    assert sr.grad is not None
    assert float(sr.grad.abs().max()) > 0
