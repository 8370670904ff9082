import numpy as np
import torch
from torch import Tensor

from model_store.affectsrnet.landmark_gcn import LandmarkGCN
from model_store.landmarks.topology import FACE_EDGES, LANDMARK_COUNT


def test_gcn_equals_kipfs_formula_in_dense_numpy(landmarks: Tensor) -> None:
    gcn = LandmarkGCN(num_features=5, num_layers=3).double()

    neighbours = np.eye(LANDMARK_COUNT)
    for a, b in FACE_EDGES:
        neighbours[a, b] = neighbours[b, a] = 1.0
    degree = np.diag(neighbours.sum(axis=0) ** -0.5)
    mixing = degree @ neighbours @ degree
    for face in landmarks.double():
        nodes = 2 * (face.numpy() - np.array([0.5, 0.5, 0.0]))
        for i in range(3):
            weight = gcn.get_parameter(f"layers.{i}.weight").detach().numpy()
            bias = gcn.get_parameter(f"layers.{i}.bias").detach().numpy()
            nodes = mixing @ nodes @ weight.T + bias
            if i < 2:
                nodes = np.maximum(nodes, 0.2 * nodes)
        # The network's adjacency is rounded to float32.
        np.testing.assert_allclose(gcn(face[None])[0].detach().numpy(), nodes, atol=1e-6)


def test_one_embedding_per_landmark(landmarks: Tensor) -> None:
    assert LandmarkGCN(num_features=64, num_layers=4)(landmarks).shape == (4, LANDMARK_COUNT, 64)


def test_a_landmark_reaches_as_far_as_there_are_layers() -> None:
    gcn = LandmarkGCN(num_features=8, num_layers=2)
    face = torch.rand(1, LANDMARK_COUNT, 3)
    moved = face.clone()
    moved[0, 13] += 0.1  # the upper lip's middle

    changed = (gcn(moved) - gcn(face)).abs().sum(dim=2)[0] > 1e-6

    reached = {13}
    for _ in range(2):
        reached |= {b for a, b in FACE_EDGES if a in reached} | {
            a for a, b in FACE_EDGES if b in reached
        }
    assert set(torch.nonzero(changed).flatten().tolist()) == reached


def test_embeddings_are_differentiable_in_the_landmarks(landmarks: Tensor) -> None:
    landmarks.requires_grad_()
    LandmarkGCN(num_features=8, num_layers=4)(landmarks).square().sum().backward()
    assert landmarks.grad is not None
    assert bool((landmarks.grad.abs().sum(dim=2) > 0).all())


def test_adjacency_is_no_part_of_the_weights() -> None:
    keys = LandmarkGCN(num_features=8, num_layers=1).state_dict().keys()
    assert set(keys) == {"layers.0.weight", "layers.0.bias"}


def test_embeddings_stay_in_float32_under_autocast(landmarks: Tensor) -> None:
    gcn = LandmarkGCN(num_features=8, num_layers=4)
    with torch.autocast("cpu", torch.bfloat16):
        embedded = gcn(landmarks)
    assert torch.equal(embedded, gcn(landmarks))
