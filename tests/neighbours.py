"""A program that computes with several packages in one process: python neighbours.py NAME...

The packages are imported in the order of their names and then compute one after the other, all at
once from threads, and cylstm in a forked child too. What came out is printed as JSON, by package:
numbers, or of cylstm the name of all bits. With one name it is what that package computes alone.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module


def cylstm():
    """A layer that uses SciPy's sgemm, and one that has a team: all bits of calls and gradients."""
    from test_blas import make_input, make_layer
    from test_threads import infer, learn
    from test_threads import make_layer as make_wide

    layer, x = make_layer(), make_input(60)
    wide = make_wide()
    bits = infer(layer, x) + learn(layer, x)
    bits += infer(wide, x[..., :48], num_threads=2) + learn(wide, x[..., :48])
    return [bits]


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
    if len(names) > 1:
        from test_threads import at_once

        for _ in range(3):
            for name, result in zip(
                2 * names, at_once([PACKAGES[n] for n in 2 * names]), strict=True
            ):
                found[name].append(result)
    if "cylstm" in names and hasattr(os, "fork"):
        from test_same_bits import in_forked_child

        found["cylstm"].append([in_forked_child(lambda: cylstm()[0])])
    found |= {name: [*results, PACKAGES[name]()] for name, results in found.items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
