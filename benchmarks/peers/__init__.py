"""The libraries that are measured."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # base imports NumPy, whose BLAS must not be loaded before threads are pinned
    from benchmarks.peers.base import Peer

OURS = "cylstm"

# name -> module and class here
PEERS = {
    OURS: ("cylstm", "Cylstm"),
    "torch": ("torch", "Torch"),
    "torch-padded": ("torch", "TorchPadded"),
    "onnxruntime": ("onnxruntime", "OnnxRuntime"),
    "openvino": ("openvino", "OpenVino"),
    "jax": ("jax", "Jax"),
}


def load_peer(name: str) -> Peer:
    """Import the named library and what stands before it here.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    module, class_name = PEERS[name]
    peer: Peer = getattr(import_module(f"benchmarks.peers.{module}"), class_name)()
    return peer
