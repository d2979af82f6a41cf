"""The libraries that are measured, and which of them are installed."""

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


def find_peers(names: list[str]) -> tuple[dict[str, Peer], dict[str, str]]:
    """Import the named libraries.

    Returns
    -------
    present : dict of str to Peer
    absent : dict of str to str
        Why a library takes no part: the error of its import.
    """
    present: dict[str, Peer] = {}
    absent: dict[str, str] = {}
    for name in names:
        module, class_name = PEERS[name]
        try:
            present[name] = getattr(import_module(f"benchmarks.peers.{module}"), class_name)()
        except ImportError as error:
            absent[name] = f"absent: {error}"
    return present, absent
