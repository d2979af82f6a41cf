"""ONNX Runtime on its CPU provider."""

from __future__ import annotations

import numpy as np
import onnxruntime

from benchmarks.peers.base import Peer, Stepper, Task
from benchmarks.peers.onnx_model import step_model, whole_model
from benchmarks.problem import Problem


class OnnxRuntime(Peer):
    """One session of one LSTM node a layer, called by ``session.run`` on NumPy arrays.

    I/O binding would save about 2 µs a call.
    """

    def inference(self, problem: Problem, threads: int) -> Task:
        session = make_session(whole_model(problem), threads)
        feed = {"x": problem.x}

        def run():
            return session.run(None, feed)

        return Task(run, lambda: {"y": run()[0]})

    def stream(self, problem: Problem, threads: int) -> Stepper:
        session = make_session(step_model(problem), threads)
        shape = (1, problem.cell.batch, problem.cell.hidden)
        feed = {"h0": np.zeros(shape, np.float32), "c0": np.zeros(shape, np.float32)}

        def step(x_t: np.ndarray) -> np.ndarray:
            feed["x"] = x_t[None]
            y, feed["h0"], feed["c0"] = session.run(None, feed)
            return y[0]

        return step


def make_session(model: bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session whose calls use `threads` threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
