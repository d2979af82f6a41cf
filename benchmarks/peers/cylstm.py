"""cylstm through its public functions."""

from __future__ import annotations

import numpy as np

import cylstm
from benchmarks import characters
from benchmarks.characters import Characters
from benchmarks.peers.base import Peer, Stepper, Task, training_outputs
from benchmarks.problem import LEARNING_RATE, Problem


class Cylstm(Peer):
    """cylstm.LSTM, its streams, its tape and its Adam."""

    def inference(self, problem: Problem, threads: int) -> Task:
        lstm = make_lstm(problem, threads)

        def run():
            return lstm(problem.x, lengths=problem.lengths)

        def outputs():
            y, (h, c) = run()
            return {"y": y, "h": h, "c": c}

        return Task(run, outputs)

    def training(self, problem: Problem, threads: int, need_dx: bool) -> Task:
        lstm = make_lstm(problem, threads)
        adam = cylstm.Adam(LEARNING_RATE)

        def run():
            lstm.zero_grad()
            y, _, tape = lstm.record(problem.x, lengths=problem.lengths)
            loss, dy = cylstm.mean_squared_error(y, problem.target)
            dx, _ = lstm.backward(tape, dy, need_dx=need_dx)
            adam.step(lstm)
            return loss, dx

        def outputs():
            run()
            loss, dx = run()
            gradients = {name: gradient.copy() for name, gradient in lstm.grads.items()}
            return training_outputs(loss, gradients, problem.weights, lstm.state_dict(), dx)

        return Task(run, outputs)

    def characters(self, problem: Characters, threads: int) -> Task:
        cylstm.set_num_threads(threads)
        model = cylstm.SequenceModel(
            task="language",
            vocab_size=characters.VOCABULARY,
            embedding_size=characters.EMBEDDING,
            hidden_size=characters.HIDDEN,
            output_size=characters.VOCABULARY,
        )
        model.load_state_dict(problem.weights)
        adam = cylstm.Adam(characters.LEARNING_RATE)

        def run():
            return model.fit(
                problem.tokens,
                epochs=1,
                batch_size=characters.BATCH,
                bptt_steps=characters.STEPS,
                optimizer=adam,
                clip_norm=characters.CLIP,
                progress=False,
            )

        return Task(run, lambda: {"loss": np.asarray(run().loss[0])})

    def stream(self, problem: Problem, threads: int) -> Stepper:
        return make_lstm(problem, threads).stream(problem.cell.batch).step


def make_lstm(problem: Problem, threads: int) -> cylstm.LSTM:
    """The cell's network with the problem's weights."""
    cylstm.set_num_threads(threads)
    cell = problem.cell
    lstm = cylstm.LSTM(cell.inputs, cell.hidden, cell.layers, bidirectional=cell.bidirectional)
    lstm.load_state_dict(problem.weights)
    return lstm
