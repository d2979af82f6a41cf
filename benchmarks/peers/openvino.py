"""OpenVINO on the CPU, held to float32."""

from __future__ import annotations

import numpy as np
import openvino

from benchmarks.peers.base import Peer, Stepper, Task
from benchmarks.peers.onnx_model import step_model, whole_model
from benchmarks.problem import Problem


class OpenVino(Peer):
    """A compiled model and one request, whose tensors are set once.

    Passing arrays to ``infer`` instead makes a call of one step four times as long.
    """

    def inference(self, problem: Problem, threads: int) -> Task:
        request = make_request(whole_model(problem), threads)
        request.set_input_tensor(openvino.Tensor(problem.x))  # a copy, which lives as long
        return Task(request.infer, lambda: {"y": run_copied(request)})

    def stream(self, problem: Problem, threads: int) -> Stepper:
        request = make_request(step_model(problem), threads)
        x, h, c = (request.get_input_tensor(index).data for index in range(3))
        y, new_h, new_c = (request.get_output_tensor(index).data for index in range(3))

        def step(x_t: np.ndarray) -> np.ndarray:
            x[0] = x_t
            request.infer()
            h[...] = new_h
            c[...] = new_c
            return y[0]

        h[...] = c[...] = 0
        return step


def run_copied(request: openvino.InferRequest) -> np.ndarray:
    """Run the request; its first output, which the next run would overwrite."""
    request.infer()
    return request.get_output_tensor(0).data.copy()


def make_request(model: bytes, threads: int) -> openvino.InferRequest:
    """A request of a model compiled for low latency on `threads` threads."""
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model),
        "CPU",
        {
            # Without this hint OpenVINO computes in bfloat16 where the CPU has it.
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    return compiled.create_infer_request()
