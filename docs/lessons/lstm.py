"""
How an LSTM remembers
=====================

A recurrent network reads a sequence one step after the other, and carries a few numbers with it:
its *state*, all that it knows of what came before. This page begins with the simplest one and
measures how fast it forgets. Then come the LSTM's answer to that, a conveyor belt with three gates,
and a network that needs it. At the end one reads three hundred years of sunspots, and we watch its
gates.

The code is all there is to it: the pictures are drawn by what stands above them. It takes some ten
seconds, and cylstm, matplotlib and, for the sunspots, statsmodels.
"""

import matplotlib.pyplot as plt
import numpy as np
from statsmodels.datasets import sunspots

import cylstm

rng = np.random.default_rng(0)

# %%
# A network that forgets
# ----------------------
#
# The plain recurrent network (RNN) has one equation. A step makes the new state of the input and
# the state before:
#
# .. code-block:: none
#
#     h[t] = tanh(W x[t] + U h[t-1] + b)
#
# In NumPy, with the weights of a layer of this library, and beside what the layer itself computes:

rnn = cylstm.RNN(1, 16, seed=0)
p = rnn.parameters
x = rng.standard_normal((100, 1), dtype=np.float32)  # 100 steps of one number

h = np.zeros(16)
for x_t in x:
    h = np.tanh(
        p["weight_ih_l0"] @ x_t
        + p["bias_ih_l0"]
        + p["weight_hh_l0"] @ h
        + p["bias_hh_l0"]
    )

y, _ = rnn(x)
assert np.allclose(h, y[-1], atol=1e-6)

# %%
# How far back does it see? Training changes the weights by the *gradient*: how much the result
# would change if something before it did. From the last state to an input forty steps back it
# passes through forty of these equations, and each multiplies it by U and by the slope of tanh,
# which is at most 1. We can measure what is left. ``record`` runs a layer and keeps what
# ``backward`` needs, which returns the gradient for every input:


def reach(layer):
    """How much an input moves the last output, by how many steps ago it was."""
    x = np.random.default_rng(1).standard_normal((100, 64, 1), dtype=np.float32)
    y, _, tape = layer.record(x)
    dy = np.zeros_like(y)
    dy[-1] = np.random.default_rng(2).standard_normal(
        dy[-1].shape
    )  # the last output alone
    dx, _ = layer.backward(tape, dy)
    return np.abs(dx).mean(axis=(1, 2))[::-1]


def lstm_with_forget_gates_at(bias):
    """A new LSTM whose forget gates start with a bias: 0 is half open, 5 almost entirely."""
    lstm = cylstm.LSTM(1, 16, seed=0)
    with lstm.editing() as parameters:
        parameters["bias_ih_l0"][16:32] = (
            bias  # the gates stand in the order i, f, g, o
        )
    return lstm


figure, axes = plt.subplots()
axes.semilogy(reach(rnn), label="RNN", color="C1")
axes.semilogy(
    reach(lstm_with_forget_gates_at(0)),
    "--",
    label="LSTM, forget gates half open",
    color="C0",
)
axes.semilogy(
    reach(lstm_with_forget_gates_at(5)),
    label="LSTM, forget gates open",
    color="C0",
)
axes.set(
    xlabel="steps back from the last output", ylabel="gradient", ylim=(1e-12, 1)
)
axes.legend()

# %%
# On this scale a straight line is a share that is lost at every step. Of what the RNN saw twenty
# steps ago, next to nothing comes through: that is the *vanishing gradient*. The network may need
# something from back there, but training does not get to hear of it.
#
# The LSTM is not immune. A new one, with its forget gates half open, loses half at each step. The
# difference is that how much it loses is a *gate's* business, and gates are learned.
#
# The conveyor belt
# -----------------
#
# An LSTM has a second state, the *cell state* c, which is made to last. Think of it as a conveyor
# belt that runs through all steps, with a place for each unit. Nothing happens to what lies on it,
# except at three gates. A gate is a number between 0 (shut) and 1 (open) for each unit, and is
# computed anew at each step from the input and from what the network last showed:
#
# .. raw:: html
#     :file: ../lessons/lstm_cell.svg
#
# .. code-block:: none
#
#     i = sigmoid(W_i x[t] + U_i h[t-1] + b_i)      input gate
#     f = sigmoid(W_f x[t] + U_f h[t-1] + b_f)      forget gate
#     g = tanh   (W_g x[t] + U_g h[t-1] + b_g)      candidate
#     o = sigmoid(W_o x[t] + U_o h[t-1] + b_o)      output gate
#
#     c[t] = f * c[t-1] + i * g                     the belt
#     h[t] = o * tanh(c[t])                         what is shown
#
# The fifth line is the point of it. From one step to the next, what is on the belt is multiplied by
# f, and by nothing else: there is no matrix in the way, and no tanh. Where f is 1, it passes
# unchanged, and so does the gradient on its way back.
#
# At work on sunspots
# -------------------
#
# Astronomers have counted spots on the sun since before 1700. They come and go in about eleven
# years, now more, now fewer. Given the years so far, how many will there be in the next? We take
# the root of the counts, which grow by leaps, and show the network pieces of sixty years from
# before 1950; what came after it does not see until it is trained.

data = sunspots.load_pandas().data
years = data["YEAR"].to_numpy(dtype=int)
spots = np.sqrt(data["SUNACTIVITY"].to_numpy())
x, y = spots[:-1, np.newaxis], spots[1:, np.newaxis]  # from each year, the next

starts = range(0, 190, 2)  # 1700, 1702 ... 1888
model = cylstm.SequenceModel(
    task="regression", input_size=1, hidden_size=8, output_size=1, seed=0
)
model.fit(
    [x[s : s + 60] for s in starts],
    [y[s : s + 60] for s in starts],
    epochs=60,
    learning_rate=1e-2,
    seed=0,
)

unseen = years[1:] >= 1950
forecast = model.predict(x)
for name, guess in (("the network", forecast), ("the year before", x)):
    error = np.sqrt(np.mean((guess[unseen] - y[unseen]) ** 2))
    print(f"error of {name}: {error:.2f}")

figure, axes = plt.subplots()
axes.plot(years, spots, color="black", linewidth=1, label="counted")
axes.plot(years[1:], forecast, color="C0", label="forecast, a year ahead")
axes.axvline(1950, linestyle=":", color="black")
axes.set(xlim=(1900, 2008), xlabel="year", ylabel="root of the number of spots")
axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))

# %%
# Now the inside. What an LSTM does at a step is the six lines from above; here they are in NumPy,
# with the weights that it has learned. They give the library's numbers, for each of its gates:

layer = model.recurrent_layer()
mean, std = model.input_scale  # inputs are scaled before the network sees them
x = (x - mean) / std
_, _, tape = layer.record(x)
trace = tape.layers[0][
    0
]  # layer 0, direction 0: all gates and states, (steps, 1, 8) each


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


W, U = layer.parameters["weight_ih_l0"], layer.parameters["weight_hh_l0"]
b = layer.parameters["bias_ih_l0"] + layer.parameters["bias_hh_l0"]
h = c = np.zeros(8)
for t, x_t in enumerate(x):
    i, f, g, o = np.split(W @ x_t + U @ h + b, 4)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    c = f * c + i * g
    h = o * np.tanh(c)
    for ours, theirs in zip(
        (i, f, g, o, c, h),
        (
            trace.input_gate,
            trace.forget_gate,
            trace.candidate,
            trace.output_gate,
            trace.cell_state,
            trace.hidden,
        ),
        strict=True,
    ):
        assert np.allclose(ours, theirs[t, 0], atol=1e-5)

# %%
# Over the years, then. A row is a unit; yellow is an open gate, dark blue a shut one.

shown = years[1:] >= 1880
gates = {
    "forget gate": trace.forget_gate,
    "input gate": trace.input_gate,
    "output gate": trace.output_gate,
}
figure, (top, *rest) = plt.subplots(4, sharex=True, figsize=(8, 7))
top.plot(years[1:][shown], spots[:-1][shown], color="black")
top.set(ylabel="input")
for axes, (name, gate) in zip(rest, gates.items(), strict=True):
    image = axes.imshow(
        gate[shown, 0].T,
        aspect="auto",
        vmin=0,
        vmax=1,
        extent=(1880.5, 2008.5, 8.5, 0.5),
    )
    axes.set(ylabel="unit", title=name, yticks=(1, 8))
    axes.grid(False)
figure.colorbar(image, ax=rest, label="0 shut, 1 open")
axes.set(xlabel="year")

plt.show()
