"""The ONNX model of a cell, for the runtimes that read one."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, checker, helper, numpy_helper

from benchmarks.problem import Problem, suffixes


def whole_model(problem: Problem) -> bytes:
    """x (T, B, I) to y (T, B, D*H) and the final h and c of the last layer, (D, B, H).

    Sequences of unequal length have theirs in the model, as constants.
    """
    lengths = {}
    if problem.lengths is not None:
        lengths["lengths"] = problem.lengths.astype(np.int32)
    cell = problem.cell
    return build(problem, cell.steps, lengths, state=False)


def step_model(problem: Problem) -> bytes:
    """One step: x (1, B, I), h and c (1, B, H) to y (1, B, H), h and c; for one-layer networks."""
    return build(problem, 1, {}, state=True)


def build(problem: Problem, steps: int, constants: dict[str, np.ndarray], state: bool) -> bytes:
    """Chain one LSTM node a layer and serialise the model."""
    cell = problem.cell
    nodes, source = [], "x"
    for layer in range(cell.layers):
        names = layer_weights(problem, layer)
        constants |= names
        state_names = ["h0", "c0"] if state else ["", ""]
        lengths = "lengths" if "lengths" in constants else ""
        nodes += layer_nodes(problem, layer, [source, *names, lengths, *state_names])
        source = f"y_{layer}"
    output_shape = [steps, cell.batch, cell.directions * cell.hidden]
    constants["merged"] = np.array(output_shape)
    state_shape = [cell.directions, cell.batch, cell.hidden]
    graph = helper.make_graph(
        nodes,
        "lstm",
        [tensor("x", [steps, cell.batch, cell.inputs])]
        + ([tensor("h0", state_shape), tensor("c0", state_shape)] if state else []),
        [
            tensor(source, output_shape),
            tensor(f"h_{cell.layers - 1}", state_shape),
            tensor(f"c_{cell.layers - 1}", state_shape),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    # Opset 14 and IR 8 are old enough for every runtime in use.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    checker.check_model(model)
    return model.SerializeToString()


def layer_nodes(problem: Problem, layer: int, inputs: list[str]) -> list[NodeProto]:
    """An LSTM node and the joining of its directions: (T, D, B, H) to (T, B, D*H)."""
    direction = "bidirectional" if problem.cell.bidirectional else "forward"
    raw, swapped = f"raw_{layer}", f"swapped_{layer}"
    return [
        helper.make_node(
            "LSTM",
            inputs,
            [raw, f"h_{layer}", f"c_{layer}"],
            hidden_size=problem.cell.hidden,
            direction=direction,
        ),
        helper.make_node("Transpose", [raw], [swapped], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", [swapped, "merged"], [f"y_{layer}"]),
    ]


def layer_weights(problem: Problem, layer: int) -> dict[str, np.ndarray]:
    """W (D, 4H, I), R (D, 4H, H) and B (D, 8H) of an LSTM node."""

    def stack(kind: str) -> np.ndarray:
        ends = suffixes(problem.cell, layer)
        return np.stack([to_onnx_gates(problem.weights[kind + end]) for end in ends])

    biases = np.concatenate([stack("bias_ih"), stack("bias_hh")], axis=1)
    return {f"W{layer}": stack("weight_ih"), f"R{layer}": stack("weight_hh"), f"B{layer}": biases}


def to_onnx_gates(array: np.ndarray) -> np.ndarray:
    """Rows of the gates i, f, g, o in ONNX's order: i, o, f, g."""
    i, f, g, o = np.split(array, 4)
    return np.concatenate([i, o, f, g])


def tensor(name: str, shape: list[int]) -> ValueInfoProto:
    """A float32 input or output of the graph."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
