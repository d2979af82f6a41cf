"""`cylstm demo`: an LSTM learns a text byte by byte, is saved, loaded again, and writes."""

from __future__ import annotations

import argparse
import codecs
import os
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cylstm
from cylstm.network import Stream
from cylstm.ngram import ngram_bits

from . import arguments
from .console import check_output, count, emit, print_bars, say, size
from .describe import describe_network

BYTE_VALUES = 256
EMBEDDING_SIZE, HIDDEN_SIZE = 64, 256
STREAMS, STREAM_STEPS = 8, 50  # texts side by side; steps of truncated back-propagation
LEARNING_RATE, WEIGHT_DECAY = 4e-3, 0.05
WARMUP_STEPS = 100
NGRAM_ORDERS = range(1, 6)
LEAST_CHARACTERS = 1000

EPILOG = """\
The model is an LSTM of 256 units that reads the text as UTF-8 bytes. The last
tenth of the text is held out; what its characters cost, in bits, is printed
after each epoch, beside what they cost under n-gram models (Kneser-Ney) of the
orders 1 to 5: one of order n sees the n - 1 characters before.

examples
  cylstm demo
  cylstm demo --text book.txt --epochs 20 --prompt "Call me" --temperature 0.5
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "demo",
        help="train a character model on Python's manual, or any text, and let it write",
        description="Train a character model on the standard library's pydoc_data.topics\n"
        "(Python's manual), or any other text, save it, load it again, and let it write.",
        epilog=EPILOG,
    )
    parser.set_defaults(run=run)
    parser.add_argument("--text", metavar="FILE", help="a text to learn (UTF-8)")
    parser.add_argument(
        "--epochs",
        type=arguments.positive_int,
        default=5,
        metavar="N",
        help="passes over the text (default %(default)s)",
    )
    parser.add_argument(
        "-o",
        "--output",
        default="demo.safetensors",
        metavar="FILE",
        help="where to save the model (default %(default)s)",
    )
    writing = parser.add_argument_group("writing")
    writing.add_argument(
        "--length",
        type=arguments.natural,
        default=500,
        metavar="N",
        help="bytes to write (default %(default)s)",
    )
    writing.add_argument(
        "--temperature",
        type=arguments.temperature,
        default=0.7,
        metavar="T",
        help="0: always the likeliest byte; 1: as the model believes (default %(default)s)",
    )
    writing.add_argument(
        "--prompt", default="The ", metavar="TEXT", help="how to begin (default %(default)r)"
    )
    arguments.add_seed(parser)
    arguments.add_threads(parser)


def run(args: argparse.Namespace) -> int:
    """Train, compare, save, load, write; the exit status."""
    check_output(args.output, *([args.text] if args.text else []))
    if not args.prompt:
        raise ValueError("--prompt: expected at least one character")
    arguments.use_threads(args)
    name, text = read_text(args.text)
    cut = len(text) * 9 // 10
    training, held_out = text[:cut].encode(), text[cut:].encode()
    say(
        "text",
        f"{name}: {count(len(text), 'character')}, the last {len(text) - cut:,} of them held out",
    )

    model = make_model(args.seed)
    say("model", describe_network(model))
    history = _train(args, model, training, held_out)
    if not len(history):
        raise KeyboardInterrupt
    _compare(model, history, training, held_out, len(text) - cut)
    model.extras["text"] = name
    model.save(args.output)
    say("saved", f"{args.output} ({size(os.path.getsize(args.output))})")
    _write(args, cylstm.load(args.output).stream())
    return 130 if history.stopped == "interrupted" else 0


def read_text(path: str | None) -> tuple[str, str]:
    """Name and text of a file, by default of Python's manual in the standard library.

    Raises
    ------
    ValueError
        If the file is not UTF-8 or too short to learn from.
    OSError
        If it cannot be read.
    """
    if path is None:
        topics = import_module("pydoc_data.topics").topics
        return "pydoc_data.topics", "\n".join(topics[key] for key in sorted(topics))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    if len(text) < LEAST_CHARACTERS:
        raise ValueError(
            f"{path}: {count(len(text), 'character')}; too few, at least {LEAST_CHARACTERS:,} "
            "are needed"
        )
    return path, text


def make_model(seed: int) -> cylstm.SequenceModel:
    """The character model."""
    return cylstm.SequenceModel(
        task="language",
        vocab_size=BYTE_VALUES,
        embedding_size=EMBEDDING_SIZE,
        hidden_size=HIDDEN_SIZE,
        output_size=BYTE_VALUES,
        seed=seed,
    )


def as_tokens(data: bytes) -> NDArray[np.int32]:
    """Bytes as the model's tokens, shape (len(data),)."""
    return np.frombuffer(data, np.uint8).astype(np.int32)


def _train(
    args: argparse.Namespace, model: cylstm.SequenceModel, training: bytes, held_out: bytes
) -> cylstm.History:
    steps = args.epochs * len(training) // (STREAMS * STREAM_STEPS)
    begin = time.perf_counter()
    history = model.fit(
        as_tokens(training),
        validation=as_tokens(held_out),
        epochs=args.epochs,
        batch_size=STREAMS,
        bptt_steps=STREAM_STEPS,
        optimizer=cylstm.AdamW(LEARNING_RATE, weight_decay=WEIGHT_DECAY),
        schedule="cosine",
        warmup=min(WARMUP_STEPS, steps // 10),
        clip_norm=1.0,
        seed=args.seed,
    )
    seconds = time.perf_counter() - begin
    speed = f"{np.mean(history.speed):,.0f} bytes/s" if len(history) else ""
    say("trained", f"{count(len(history), 'epoch')} in {seconds:.1f} s, {speed}")
    return history


def _compare(
    model: cylstm.SequenceModel,
    history: cylstm.History,
    training: bytes,
    held_out: bytes,
    characters: int,
) -> None:
    """Draw what a held-out character costs, in bits: the n-grams, the learning curve, the model.

    The first byte, for which the model has no context, is left out for all.
    """
    bits = {
        f"n-grams, order {order} ({count(order - 1, 'character')} of context)": ngram_bits(
            training, held_out, order
        )[1:].sum()
        for order in NGRAM_ORDERS
    }
    predicted = len(held_out) - 1
    for epoch, per_byte in enumerate(history.validation_score, 1):
        bits[f"LSTM after epoch {epoch}"] = per_byte * predicted
    bits["LSTM, as it is saved"] = model.evaluate(as_tokens(held_out))["bits_per_token"] * predicted
    emit()
    print_bars(
        ("held-out part", "bits per character"),
        {name: float(total / characters) for name, total in bits.items()},
    )
    emit()


# --- writing ------------------------------------------------------------------------------------


def generate(
    stream: Stream, prompt: bytes, length: int, temperature: float, seed: int
) -> Iterator[bytes]:
    """Let a language model of bytes continue a text, one byte at a time.

    Parameters
    ----------
    stream : Stream
        The model's stream, where the text begins.
    prompt : bytes
        What comes before, at least one byte.
    length : int
        How many bytes to write.
    temperature : float
        Divides the scores before the softmax; 0 takes the likeliest byte.
    seed : int

    Yields
    ------
    bytes
        One more byte.
    """
    rng = np.random.default_rng(seed)
    for token in prompt:
        scores = stream.step(token)
    for _ in range(length):
        token = _draw(scores, temperature, rng)
        yield bytes([token])
        scores = stream.step(token)


def _draw(scores: NDArray[np.float32], temperature: float, rng: np.random.Generator) -> int:
    """Draw a byte by softmax(scores / temperature)."""
    if temperature == 0:
        return int(scores.argmax())
    weights = np.exp((scores - scores.max()) / np.float64(temperature))
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _write(args: argparse.Namespace, stream: Stream) -> None:
    """Let the stream write on stdout, byte by byte."""
    say(
        "writing",
        f"{count(args.length, 'byte')} by the loaded model, temperature {args.temperature:g}",
    )
    emit()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    emit(args.prompt, end="")
    for byte in generate(stream, args.prompt.encode(), args.length, args.temperature, args.seed):
        emit(decoder.decode(byte), end="")
    emit(decoder.decode(b"", final=True))
