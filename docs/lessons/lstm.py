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
from matplotlib.colors import CenteredNorm
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
# .. code-block:: text
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
# which is at most 1. What is left of it can be measured. ``record`` runs a layer and keeps what
# ``backward`` needs, which returns the gradient for each input. Beside the RNN stand two LSTMs,
# which the next section explains; the second has its *forget gates* opened by a large bias.


def reach(layer):
    """How much an input moves the last output, by how many steps ago it was."""
    rng = np.random.default_rng(1)
    y, _, tape = layer.record(rng.standard_normal((100, 64, 1)))
    dy = np.zeros_like(y)
    dy[-1] = rng.standard_normal(dy[-1].shape)  # some mix of the last outputs
    dx, _ = layer.backward(tape, dy)
    return np.abs(dx).mean(axis=(1, 2))[::-1]


def open_forget_gates(network):
    """Set their bias to 5: the gates of a new network are then at 0.99."""
    with network.editing() as parameters:
        for name, array in parameters.items():
            if name.endswith("bias_ih_l0"):
                np.split(array, 4)[1][:] = 5  # the gates' order is i, f, g, o
    return network


layers = {
    "RNN": rnn,
    "LSTM, forget gates half open": cylstm.LSTM(1, 16, seed=0),
    "LSTM, forget gates open": open_forget_gates(cylstm.LSTM(1, 16, seed=0)),
}
colours = dict(zip(layers, ("C1", "C2", "C0"), strict=True))

figure, axes = plt.subplots(
    num="Gradient by steps back, of an RNN and two LSTMs"
)
for name, layer in layers.items():
    gradient = reach(layer)
    left = gradient[30] / gradient[0]
    print(f"{name}: {left:.0e} of the gradient is left after 30 steps")
    axes.semilogy(gradient, label=name, color=colours[name])
axes.set(xlabel="steps back from the last output", ylabel="gradient")
axes.set(xlim=(0, 99), ylim=(1e-12, 1))
axes.legend()

# %%
# On this scale a straight line loses the same share at every step. What the RNN saw thirty steps
# ago might as well not have been: that is the *vanishing gradient*. A network may need something
# from back there, but training does not get to hear of it.
#
# An LSTM is not immune. A new one, whose forget gates stand half open, loses more than a third at
# each step. The difference is that the loss is a *gate's* business. With the gates open a hundred
# steps cost next to nothing, but for the first few, in which all is lost that does not travel
# on the belt. And gates are learned.
#
# The conveyor belt
# -----------------
#
# An LSTM has a second state, the *cell state* c, which is made to last. Think of it as a conveyor
# belt that runs through all steps, with a place for each unit. Nothing happens to what lies on it,
# except at three gates. A gate is a number between 0 (shut) and 1 (open) for each unit, and is
# computed anew at each step from the input and from what the network last showed:
#
# .. container:: drawing
#
#     .. raw:: html
#         :file: ../lessons/lstm_cell.svg
#
# .. code-block:: text
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
# A task for a memory
# -------------------
#
# So an LSTM *can* keep something. Does it learn to? Here is a task that takes nothing else: forty
# random numbers, of which one in the first ten is marked. When all have passed, which was it?


def draw(count, steps=40):
    """Numbers and marks (steps, count, 2), and the numbers that are marked."""
    rng = np.random.default_rng(count)
    x = np.zeros((steps, count, 2))
    x[..., 0] = rng.uniform(-1, 1, (steps, count))
    marked = rng.integers(10, size=count), np.arange(count)
    x[*marked, 1] = 1
    return x, x[*marked, 0]


def make(cell):
    """A new model for it."""
    return cylstm.SequenceModel(
        task="regression",
        cell=cell,
        input_size=2,
        hidden_size=32,
        pooling="last",
        output_size=1,
        seed=0,
    )


models = {
    "RNN": make("rnn"),
    "LSTM, forget gates half open": make("lstm"),
    "LSTM, forget gates open": open_forget_gates(make("lstm")),
}
figure, axes = plt.subplots(num="Errors by epoch of three networks")
for name, model in models.items():
    history = model.fit(
        *draw(2000), validation=draw(500), epochs=10, learning_rate=5e-3, seed=0
    )
    errors = history.validation_score
    axes.semilogy(range(1, 11), errors, ".-", label=name, color=colours[name])
axes.axhline(1 / 3, linestyle=":", color="black", label="always answering 0")
axes.set(xlabel="epoch", ylabel="mean squared error")
axes.legend(loc="lower left")

# %%
# Two of them get nowhere: they do as well as somebody who always answers 0, which is the mean. The
# third has it after a few times through the two thousand sequences. (That is why one often starts
# with a bias on the forget gates where something has to be kept for long.)
#
# What did it learn? We look at the belt for two hundred new sequences, at the unit that follows the
# marked number best. A line is a sequence, its colour the number that it had to keep:

x, kept = draw(200)
mean, std = model.input_scale  # inputs are scaled before the network sees them
layer = model.recurrent_layer()
_, _, tape = layer.record((x - mean) / std)
trace = tape.layers[0][0]  # layer 0, direction 0; (steps, sequences, units)

belt = trace.cell_state
unit = max(
    range(layer.hidden_size),
    key=lambda unit: abs(np.corrcoef(belt[-1, :, unit], kept)[0, 1]),
)

figure, (top, bottom) = plt.subplots(
    2,
    num="Cell state and forget gate of one unit in 200 sequences",
    sharex=True,
    figsize=(8, 5),
    height_ratios=(3, 2),
)
for axes, lines in ((top, belt), (bottom, trace.forget_gate)):
    axes.set_prop_cycle(color=plt.cm.coolwarm((kept + 1) / 2))
    axes.plot(lines[..., unit], linewidth=0.7)
top.set(ylabel="cell state", title=f"unit {unit + 1}: what lies on the belt")
bottom.set(ylabel="forget gate", xlabel="step", ylim=(0, 1.02))
colour_bar = plt.cm.ScalarMappable(plt.Normalize(-1, 1), "coolwarm")
figure.colorbar(colour_bar, ax=(top, bottom), label="the marked number")

# %%
# Each sequence goes to a place of its own, by the number that it has to keep, and stays there, so
# that the output has only to read it off. The forget gate is what keeps it. It moves in the first
# ten steps, where the marks are; later numbers do not get through to it, and it stays at 1.
#
# At work on sunspots
# -------------------
#
# Astronomers have counted spots on the sun since before 1700. They come and go in about eleven
# years, now more, now fewer. Given the years so far, how many will there be in the next? We take
# the root of the counts, whose ups and downs are more alike, and train on pieces of sixty years
# from before 1950. What came later the network has not seen.

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

figure, axes = plt.subplots(num="Sunspots since 1900, counted and forecast")
axes.plot(years, spots, color="black", linewidth=1, label="counted")
axes.plot(years[1:], forecast, color="C0", label="forecast, a year ahead")
axes.axvline(1950, linestyle=":", color="black")
axes.set(xlim=(1900, 2008), xlabel="year", ylabel="root of the number of spots")
axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))

# %%
# Now the inside. What an LSTM does at a step is the six lines from above; here they are in NumPy,
# with the weights that it has learned. They give the library's numbers, for each of its gates:

layer = model.recurrent_layer()
mean, std = model.input_scale
x = (x - mean) / std
_, _, tape = layer.record(x)
trace = tape.layers[0][0]  # gates, cell and hidden states, (steps, 1, 8) each


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
    for ours, theirs in zip((i, f, g, o, c, h), trace, strict=True):
        assert np.allclose(ours, theirs[t, 0], atol=1e-5)

# %%
# Now the gates over the years. A row is a unit; yellow is an open gate, dark blue a shut one.

gates = {
    "forget gate": trace.forget_gate,
    "input gate": trace.input_gate,
    "output gate": trace.output_gate,
}
shown = years[:-1] >= 1880
span = (1879.5, 2007.5)

figure, (top, *panels) = plt.subplots(
    4,
    num="Three gates of eight units, 1880 to 2007",
    sharex=True,
    figsize=(8, 7),
)
top.plot(years[:-1][shown], spots[:-1][shown], color="black")
top.set(xlim=span, title="input")
for axes, (name, gate) in zip(panels, gates.items(), strict=True):
    image = axes.imshow(
        gate[shown, 0].T,
        vmin=0,
        vmax=1,
        aspect="auto",
        extent=(*span, 8.5, 0.5),
    )
    axes.set(title=name, ylabel="unit", yticks=(1, 8))
    axes.grid(False)
axes.set(xlabel="year")
figure.colorbar(image, ax=panels, label="0: shut, 1: open")

# %%
# The gates have found the cycle. Look at the forget gates: some units hold on to what they have
# while the spots are many, and let go of it when they are few, so that each cycle begins with an
# empty belt. Others forget all the time, and know the last years only.
#
# So we can say what lies on the belt, and since when. What a unit holds is the sum of all that was
# put on it, each part multiplied by every forget gate that it has passed:

unit = trace.forget_gate[shown].std(axis=0).argmax()  # whose gate moves most
i, f, g, o, c, h = (part[:, 0, unit] for part in trace)

belt = np.zeros((len(c), len(c)))  # (step, since when)
for t in range(len(c)):
    belt[t] = f[t] * belt[t - 1]
    belt[t, t] = i[t] * g[t]
assert np.allclose(belt.sum(axis=1), c, atol=1e-5)

oldest = 12
ages = np.array(
    [belt[t, t - oldest : t + 1][::-1] for t in np.flatnonzero(shown)]
)
figure, (top, bottom) = plt.subplots(
    2,
    num="What lies on the belt of one unit, by age",
    sharex=True,
    figsize=(8, 5),
    height_ratios=(1, 2),
)
top.plot(years[:-1][shown], c[shown])
top.set(
    xlim=span, title=f"unit {unit + 1}: the cell state, and what it is made of"
)
image = bottom.imshow(
    ages.T,
    cmap="RdBu_r",
    norm=CenteredNorm(),
    aspect="auto",
    origin="lower",
    extent=(*span, -0.5, oldest + 0.5),
)
bottom.set(xlabel="year", ylabel="put there so many years ago")
bottom.grid(False)
figure.colorbar(image, ax=bottom, label="share in the cell state")

# %%
# A column is a year: at the bottom what that year put on the belt, above it what is left of the
# years before. So a stripe to the upper right is something that stays. This unit adds to its belt
# as long as a cycle lasts, and is emptied at its end: it measures how far the cycle has come, which
# is what one needs to know when it will turn.
#
# One year at a time
# ------------------
#
# All this was computed at once, from a table. A network can also be fed as the data come in: a
# *stream* keeps the two states from step to step, and nothing else.

stream = model.stream()
for value in spots:
    score = stream.step([value])
mean, std = model.output_scale  # targets were scaled too
print(f"forecast for 2009: {(score * std + mean).item() ** 2:.0f} spots")

plt.show()

# %%
# From here, :doc:`../guides/training` has models for texts, classes and sequences of unequal
# length, and :doc:`../guides/embedding` takes this one into a program without Python.
