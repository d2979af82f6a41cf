"""A program that computes with several packages in one process: python neighbours.py NAME...

The packages are imported in the order of their names and then compute one after the other, all at
once from threads, and cylstm in a forked child too. What came out is printed as JSON, "in turn" and
"at once", by package: numbers, before which cylstm has the names of all bits. With one name it is
what that package computes alone.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module


def cylstm():
    """Steps of a team; calls and gradients of a layer that uses SciPy's sgemm, and of a team.

    The bits of the first, those of the others, and how large the others' outputs and gradients are.
    """
    from test_blas import make_input, make_layer
    from test_threads import infer, learn
    from test_threads import make_layer as make_wide

    layer, x = make_layer(), make_input(60)
    wide, narrow_x = make_wide(), x[..., :48]
    own = infer(wide, narrow_x[:1], num_threads=2)
    bits = infer(layer, x) + learn(layer, x)
    bits += infer(wide, narrow_x, num_threads=2) + learn(wide, narrow_x)
    return [own, bits, *sizes(layer, x), *sizes(wide, narrow_x)]


def sizes(layer, x):
    """Norms of the output and of all gradients."""
    import numpy as np

    grads = {name: np.zeros_like(value) for name, value in layer.grads.items()}
    y, _, tape = layer.record(x)
    dx, _ = layer.backward(tape, np.ones_like(y), grads=grads)
    return [float(np.linalg.norm(array)) for array in (y, dx, *grads.values())]


def torch():
    """An LSTM and its gradients; weights are not drawn, since threads share the generator."""
    import torch

    torch.set_num_threads(2)
    layer, x = torch.nn.LSTM(64, 64), torch.linspace(-1, 1, 50 * 32 * 64).reshape(50, 32, 64)
    for parameter in layer.parameters():
        parameter.data = torch.linspace(-0.1, 0.1, parameter.numel()).reshape(parameter.shape)
    y = layer(x)[0]
    y.square().mean().backward()
    return [float(y.detach().std()), *(float(p.grad.norm()) for p in layer.parameters())]


def sklearn():
    """K-means: OpenMP's loops around products by SciPy's BLAS, which it holds at one thread too."""
    import numpy as np
    from sklearn.cluster import KMeans

    x = np.random.default_rng(0).normal(size=(5000, 20))
    model = KMeans(5, init=x[:5], n_init=1, max_iter=10).fit(x)
    return [float(model.inertia_), *map(float, model.cluster_centers_.ravel())]


PACKAGES = {"cylstm": cylstm, "torch": torch, "sklearn": sklearn}


def main(*names: str) -> None:
    for name in names:
        import_module(name)
    found = {name: [PACKAGES[name]() for _ in range(2)] for name in names}
    together = {name: [] for name in names}
    if len(names) > 1:
        from test_threads import at_once

        for _ in range(3):
            for name, result in zip(
                2 * names, at_once([PACKAGES[n] for n in 2 * names]), strict=True
            ):
                together[name].append(result)
    if "cylstm" in names and hasattr(os, "fork"):
        from test_same_bits import in_forked_child

        found["cylstm"].append(json.loads(in_forked_child(lambda: json.dumps(cylstm()))))
    found |= {name: [*results, PACKAGES[name]()] for name, results in found.items()}
    print(json.dumps({"in turn": found, "at once": together}))


if __name__ == "__main__":
    main(*sys.argv[1:])
