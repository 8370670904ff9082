"""From the configuration of a loss to the loss, with the frozen networks that it compares by."""

from pathlib import Path

import torch
from torch import nn

from model_store.affectsrnet.network import AffectSRNet
from model_store.emotion.classifier import EmotionClassifier
from model_store.errors import ModelStoreError
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from training.config import LossConfig
from training.errors import ConfigError
from training.losses.affectsr_loss import AffectSRLoss, LossNetworks
from training.losses.nodes import Embedder, NodeDistance, embed_by, embed_by_coordinates
from training.perceptual.lpips import load_squeeze_lpips, load_vgg_lpips
from training.perceptual.vgg16 import load_caffe_vgg16
from training.perceptual.weight_files import feature_weights_folder


def build_loss(
    network: nn.Module,
    *,
    config: LossConfig,
    landmarker: Landmarker | None,
    store: ModelStore,
    feature_weights: Path | None,
    device: torch.device,
) -> AffectSRLoss:
    """Build a loss; a network whose term has no weight is not loaded.

    Args:
        network: What the loss is going to train; its graph network may embed the landmarks.
        config: Terms and weights.
        landmarker: Frozen, on the device; only the node-embedding term needs it.
        store: Where the networks are published that the loss needs.
        feature_weights: Folder with the weights of LPIPS and VGG16; None takes the environment's.
        device: Where the images will be.

    Raises:
        ConfigError: a network that a term needs is not published, or has no graph.
        FeatureWeightsError: a feature network has no weights.
    """
    lpips = vgg16 = nodes = expression = None
    if config.needs_lpips:
        load = load_squeeze_lpips if config.perceptual == "lpips_squeeze" else load_vgg_lpips
        lpips = load(feature_weights_folder(feature_weights)).to(device)
    if config.needs_vgg16:
        vgg16 = load_caffe_vgg16(feature_weights_folder(feature_weights)).to(device)
    if config.node_weight > 0:
        if landmarker is None:
            raise ValueError("a loss with node embeddings needs a landmarker")
        nodes = NodeDistance(landmarker, _embedder(config.node_embeddings, network, store, device))
    if config.expression_weight > 0:
        expression = _load_classifier(config.expression_network, store, device)
    networks = LossNetworks(lpips=lpips, vgg16=vgg16, nodes=nodes, expression=expression)
    return AffectSRLoss(config, networks)


def _embedder(name: str, network: nn.Module, store: ModelStore, device: torch.device) -> Embedder:
    if name == "landmarks":
        return embed_by_coordinates
    if name == "network":
        gcn = _graph_of(network)
        if gcn is None:
            raise ConfigError(
                f'task.loss.node_embeddings is "network", but {type(network).__name__} has no '
                'graph network here; name a published AffectSRNet, or "landmarks" for the plain '
                "distance of the landmarks"
            )
        return embed_by(gcn)
    gcn = _graph_of(_load(name, store, device, key="node_embeddings"))
    if gcn is None:
        raise ConfigError(
            f"task.loss.node_embeddings: {name} has no graph network; name an AffectSRNet with "
            "landmark_fusion"
        )
    return embed_by(gcn)


def _graph_of(network: nn.Module) -> nn.Module | None:
    return network.gcn if isinstance(network, AffectSRNet) else None


def _load_classifier(reference: str, store: ModelStore, device: torch.device) -> EmotionClassifier:
    network = _load(reference, store, device, key="expression_network")
    if not isinstance(network, EmotionClassifier):
        raise ConfigError(
            f"task.loss.expression_network: {reference} is a {type(network).__name__}, which "
            "reads no expressions"
        )
    return network


def _load(reference: str, store: ModelStore, device: torch.device, *, key: str) -> nn.Module:
    try:
        return store.load(reference, device=device).module
    except ModelStoreError as error:
        raise ConfigError(f"task.loss.{key}: {error}") from error
