"""A model as one C99 file and its header, weights included.

`export.c.in` and `export.h.in` are these files with all that any model needs: lines between ``%if
fact`` or ``%if not fact``, ``%else`` and ``%end`` are for those of which the fact is true, and
``$word`` stands for a number or a few words.
"""

from __future__ import annotations

import io
import json
import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import __version__, formats
from .arrays import as_path, as_size
from .atomic import write_files
from .model import load
from .network import Network

_FLOAT = 4  # bytes
_LINE = 120  # characters
_PER_LINE = 6  # numbers
_MOST_BYTES = 2**31 - 1  # the sizes of arrays are written as products of C's int
# A header of such a name would be found in place of C's, by the exported file or by its neighbours.
_STANDARD = re.compile(
    "assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|"
    "std(align|arg|atomic|bool|def|int|io|lib|noreturn)|string|tgmath|threads|time|uchar|wc(har|type)"
)
_CELLS = {"lstm": "LSTM", "rnn_tanh": "RNN with tanh", "rnn_relu": "RNN with relu"}


@dataclass(frozen=True)
class ExportedSizes:
    """Bytes that an exported model takes, beside its code.

    Attributes
    ----------
    weights : int
        Constant tables of numbers: flash, but on AVR, whose compilers copy constants to RAM.
    state : int
        `sizeof` of the state of a stream; 0 for a bidirectional model, which has none.
    work : int
        `sizeof` of the memory that a call works in.
    """

    weights: int
    state: int
    work: int


def export_c(
    model: Network | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    max_steps: int | None = None,
    description: Sequence[str] = (),
) -> ExportedSizes:
    """Write a model as a C99 file and its header, which need nothing but the standard headers.

    They have the weights, and calls for a step and for a block of steps of one sequence. These
    give the bits of the library's generic kernels, allocate nothing, and keep all that changes in
    structures of the caller's. Of a model from ``cylstm train`` they have the network alone, not
    what is made of a table before and after it; ``cylstm export-c`` describes that in the header.

    Parameters
    ----------
    model : SequenceModel, LSTM, RNN or path-like
        The model or layer, or the file of one.
    path : path-like
        Where to write the C file, ``something.c``; the header is put beside it,
        ``something.h``. What is there is replaced once both new files are whole.
    name : str, optional
        What the names of all functions, types and constants begin with: letters, digits and
        single underscores. By default the C file's name without ``.c``.
    max_steps : int, optional
        The most steps of one sequence, for a bidirectional model, and only for one: its calls
        work in memory for so many.
    description : sequence of str
        Paragraphs for the header's comment, such as what each input is.

    Returns
    -------
    ExportedSizes
        Bytes of constant tables, of a stream's state and of a call's working memory.

    Raises
    ------
    TypeError, ValueError
        Naming the argument that does not fit, or the weight that is NaN or infinite; nothing has
        been written then.
    OSError
        If a file cannot be read or written.

    Examples
    --------
    >>> import cylstm, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sizes = cylstm.export_c(cylstm.LSTM(3, 4), os.path.join(folder, "gate.c"))
    ...     sorted(os.listdir(folder))
    ['gate.c', 'gate.h']
    >>> sizes
    ExportedSizes(weights=512, state=32, work=64)
    """
    target = _as_target(path)
    header = target.with_suffix(".h")
    network = model if isinstance(model, Network) else load(as_path(model, "model"))
    export = _Export(_as_name(name, target), header.name, network, max_steps, description)
    if max(astuple(export.sizes)) > _MOST_BYTES:
        raise ValueError(
            f"model, max_steps: expected at most {_MOST_BYTES} bytes of each, got {export.sizes}"
        )
    write_files({header: export.render("h"), target: export.render("c")})
    return export.sizes


# --- arguments -----------------------------------------------------------------------------------


def _as_target(path: Any) -> Path:
    target = Path(as_path(path))
    includable = target.name.isprintable() and not set('"\\') & set(target.name)
    if target.suffix != ".c" or not includable:
        raise ValueError(
            f"path: expected a file that ends in .c and that C can include, got {target.name!r}"
        )
    if _STANDARD.fullmatch(target.stem):
        raise ValueError(
            f"path: expected a header beside it that C does not have, got {target.name!r}"
        )
    return target


def _as_name(name: Any, target: Path) -> str:
    """What names in C begin with: with an underscore more than these have, C++ reserves them."""
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name: expected a string, got {name!r}")
    found = target.stem if name is None else name
    if not re.fullmatch("[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", found):
        raise ValueError(
            "name: expected a letter, then letters, digits and single underscores between them, "
            f"got {found!r}{f' from {target.name}' if name is None else ''}"
        )
    return found


def _as_max_steps(value: Any, bidirectional: bool) -> int | None:
    if bidirectional:
        if value is None:
            raise ValueError(
                "max_steps: expected a number, since a bidirectional model works on whole "
                "sequences, got None"
            )
        return as_size(value, "max_steps")
    if value is not None:
        raise ValueError(
            "max_steps: expected None, since a model of one direction takes any number of steps, "
            f"got {value!r}"
        )
    return None


# --- tables --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """Constant numbers of the C file: a vector, or a matrix by rows."""

    name: str
    length: str
    numbers: NDArray[Any]
    meaning: str

    def __post_init__(self) -> None:
        if not np.isfinite(self.numbers).all():
            wrong = self.numbers[~np.isfinite(self.numbers)][0]
            raise ValueError(f"model: expected finite weights, got {wrong} in {self.name}")

    @property
    def declaration(self) -> str:
        return f"static const {self._type} {self.name}[{self.length}];"

    @property
    def _type(self) -> str:
        return "double" if self.numbers.dtype == np.float64 else "float"

    @property
    def definition(self) -> str:
        head = f"/* {self.meaning} */\nstatic const {self._type} {self.name}[{self.length}] = {{"
        return "\n".join([head, *_table_lines(np.atleast_2d(self.numbers)), "};"])


def _table_lines(rows: NDArray[Any]) -> Iterator[str]:
    """The numbers of a table; each row begins a line, and is numbered where there are several."""
    for k, row in enumerate(rows):
        if len(rows) > 1:
            yield f"    /* {k} */"
        # Of a double, repr has the fewest digits that no other double is nearer to.
        write, width = (repr, 25) if row.dtype == np.float64 else (literal, 17)
        literals = [f"{write(number)},".rjust(width) for number in row.tolist()]
        for first in range(0, len(literals), _PER_LINE):
            yield "    " + " ".join(literals[first : first + _PER_LINE])


def literal(number: float) -> str:
    """A float32 in C. Nine digits are never as near to another float32.

    >>> [literal(float(np.float32(number))) for number in (0.1, -2, 1e-45, -0.0)]
    ['0.100000001f', '-2.0f', '1.40129846e-45f', '-0.0f']
    """
    text = f"{number:.9g}"
    return text + ("f" if "." in text or "e" in text else ".0f")


# --- templates -----------------------------------------------------------------------------------


def _render(template: str, facts: Mapping[str, bool], words: Mapping[str, Any]) -> str:
    """A template's lines whose facts are true, with words put in."""
    lines, shown = [], [True]
    for line in template.splitlines(keepends=True):
        match line.split():
            case ["%if", "not", fact]:
                shown.append(not facts[fact])
            case ["%if", fact]:
                shown.append(facts[fact])
            case ["%else"]:
                shown[-1] = not shown[-1]
            case ["%end"]:
                shown.pop()
            case _ if all(shown):
                lines.append(line)
    return Template("".join(lines)).substitute(words)


class _Export:
    """What the templates are filled with, of one model."""

    def __init__(
        self,
        name: str,
        header: str,
        network: Network,
        max_steps: Any,
        description: Sequence[str],
    ) -> None:
        contents = formats.decode(io.BytesIO(network._to_bytes()))
        self._name, self._header = name, header
        self._network, self._tensors = contents.network, contents.tensors
        self._classes = contents.python.get("classes")
        self._description = description
        self._max_steps = _as_max_steps(max_steps, contents.network["bidirectional"])

    def render(self, suffix: str) -> bytes:
        template = resources.files(__package__).joinpath(f"export.{suffix}.in").read_text("utf-8")
        return _render(template, self._facts, self._words).encode()

    # sizes

    @property
    def _directions(self) -> int:
        return 2 if self._network["bidirectional"] else 1

    @property
    def _width(self) -> int:
        return self._directions * self._network["hidden_size"]

    @property
    def _outputs(self) -> int:
        return self._network["output_size"] or self._width

    @property
    def _buffers(self) -> int:
        """Outputs of layers that a bidirectional model keeps: of one, and of the one below."""
        kept = self._network["num_layers"] - (not self._facts["head"])
        return min(kept, 2)

    @cached_property
    def sizes(self) -> ExportedSizes:
        facts, hidden, width = self._facts, self._network["hidden_size"], self._width
        units = 2 * hidden if facts["lstm"] else hidden
        work = 4 * hidden if facts["lstm"] else hidden
        work += self._network["input_size"] if facts["scaled"] else 0
        if self._max_steps is not None:
            state = 0
            work += units + self._buffers * self._max_steps * width
            work += width if facts["pooled"] else 0
        else:
            state = self._network["num_layers"] * units
            state += hidden + 1 if facts["carried"] else 0
            work += hidden if facts["mean"] else 0
        weights = sum(table.numbers.nbytes for table in self._tables)
        return ExportedSizes(weights, _FLOAT * state, _FLOAT * work)

    # facts and words

    @cached_property
    def _facts(self) -> dict[str, bool]:
        network, scales = self._network, self._tensors.keys()
        pooling, tokens = network["pooling"], network["vocab_size"] > 0
        head, carried = network["output_size"] > 0, pooling in ("mean", "max")
        return {
            "lstm": network["cell"] == "lstm",
            "exponential": network["cell"] != "rnn_relu",
            "bias": network["bias"],
            "bidirectional": network["bidirectional"],
            "stacked": network["num_layers"] > 1,
            "buffered": head or network["num_layers"] > 1,
            "tokens": tokens,
            "scaled": "input_scale.mean" in scales,
            "wide": self._is_wide("input") or self._is_wide("output"),
            "wide_inputs": self._is_wide("input"),
            "wide_outputs": self._is_wide("output"),
            "pooled": pooling is not None,
            "last": pooling == "last",
            "mean": pooling == "mean",
            "max": pooling == "max",
            "carried": carried,
            "head": head,
            "values": "output_scale.mean" in scales,
            "labelled": bool(self._classes),
            "described": len(self._description) > 0,
        }

    def _is_wide(self, which: str) -> bool:
        """Whether this scale, "input" or "output", is of float64."""
        mean = self._tensors.get(f"{which}_scale.mean")
        return mean is not None and mean.dtype == np.float64

    def _element(self) -> str:
        if self._facts["tokens"]:
            return "int32_t"
        return "double" if self._facts["wide_inputs"] else "float"

    @property
    def _words(self) -> dict[str, Any]:
        facts, network = self._facts, self._network
        two, upper = facts["bidirectional"], self._name.upper()
        return {
            "name": self._name,
            "NAME": upper,
            "header": self._header,
            "version": __version__,
            "summary": self._summary(),
            "memory": self._memory(),
            "classes": self._class_lines(),
            "description": "\n".join(_comment(_harmless(text)) for text in self._description),
            "inputs": network["input_size"],
            "vocabulary": network["vocab_size"],
            "outputs": self._outputs,
            "outputs_are": self._outputs_are(),
            "layers": network["num_layers"],
            "hidden": network["hidden_size"],
            "max_steps": self._max_steps,
            "buffers": self._buffers,
            "sums": f"4 * {upper}_HIDDEN" if facts["lstm"] else f"{upper}_HIDDEN",
            "state_bytes": self.sizes.state,
            "work_bytes": self.sizes.work,
            "in_each_direction": ", in each direction" if two else "",
            "in_one_direction": " in one direction" if two else "",
            "pooled_as": "sum" if facts["mean"] else "greatest",
            "element": self._element(),
            "value": "double" if facts["wide_outputs"] else "float",
            "x": "tokens" if facts["tokens"] else "x",
            "input": self._input(),
            "y_shape": "(OUTPUTS)" if facts["pooled"] else "(steps, OUTPUTS)",
            "y_length": f"{upper}_OUTPUTS"
            if facts["pooled"]
            else f"{upper}_MAX_STEPS * {upper}_OUTPUTS",
            "so_far": " of the sequence so far" if facts["pooled"] else "",
            "readable": "state, work" if facts["mean"] else "state",
            "declarations": "\n".join(table.declaration for table in self._tables),
            "layer_list": self._layer_list(),
            "tables": "\n\n".join(table.definition for table in self._tables),
        }

    def _summary(self) -> str:
        """The network in a sentence, as the first of a comment."""
        network, facts = self._network, self._facts
        count, units = network["num_layers"], network["hidden_size"]
        layers = f"{count} layer{'s' if count > 1 else ''} of {units} units"
        inputs = network["input_size"]
        parts = [
            f"tokens -> embedding of {inputs}" if facts["tokens"] else f"numbers ({inputs})",
            f"{_CELLS[network['cell']]}, {layers}{', bidirectional' * facts['bidirectional']}",
            *([f"{network['pooling']} over steps"] if facts["pooled"] else []),
            *([f"linear ({self._outputs})"] if facts["head"] else []),
        ]
        return _comment(f"{self._name}: {' -> '.join(parts)}.")

    def _memory(self) -> str:
        sizes = self.sizes
        stream = f"{sizes.state} of each {self._name}_state, " if sizes.state else ""
        return _comment(
            f"Memory: {sizes.weights} bytes of constant tables (on AVR these too take RAM); "
            f"{stream}{sizes.work} of each {self._name}_work."
        )

    def _class_lines(self) -> str:
        """The labels as JSON has them, which ends no comment and begins none."""
        return _comment(_harmless(", ".join(map(json.dumps, self._classes or ()))))

    def _input(self) -> str:
        """What the first layer reads at a step, in C: step t of a sequence, or the one at hand."""
        sequence = self._facts["bidirectional"]
        if self._facts["tokens"]:
            return f"embedding + (size_t){'tokens[t]' if sequence else '*tokens'} * EMBEDDING"
        row = "x + t * INPUTS" if sequence else "x"
        return f"scale_input({row}, work->x)" if self._facts["scaled"] else row

    def _outputs_are(self) -> str:
        if not self._facts["head"]:
            return "the last layer's units"
        return "scores of a sequence" if self._facts["pooled"] else "scores of a step"

    # tables

    @property
    def _stacks(self) -> list[list[str]]:
        """What the names of the parameters end in, of each layer's directions."""
        ends = ("", "_reverse")[: self._directions]
        return [[f"_l{layer}{end}" for end in ends] for layer in range(self._network["num_layers"])]

    def _inputs_of(self, layer: int) -> str:
        if layer > 0:
            return "WIDTH"
        return "EMBEDDING" if self._facts["tokens"] else "INPUTS"

    def _layer_list(self) -> str:
        """The initialiser of the array of layers."""
        tables = ("weight_ih", "weight_hh", *(("bias",) if self._facts["bias"] else ()))
        rows = []
        for layer, ends in enumerate(self._stacks):
            walks = [
                ", ".join([self._inputs_of(layer), *(table + end for table in tables)])
                for end in ends
            ]
            own = [f"    {{{walk}}}," for walk in walks]
            rows += own if len(own) == 1 else ["    {", *(f"    {line}" for line in own), "    },"]
        dimensions = "[LAYERS][2]" if self._facts["bidirectional"] else "[LAYERS]"
        return "\n".join([f"static const layer layers{dimensions} = {{", *rows, "};"])

    @cached_property
    def _tables(self) -> list[_Table]:
        tensors = self._tensors
        tables = []
        if self._facts["tokens"]:
            length = f"{self._name.upper()}_VOCABULARY * EMBEDDING"
            tables.append(_Table("embedding", length, tensors["embedding.weight"], "by token"))
        if self._facts["scaled"]:
            tables += self._scale("input", "INPUTS")
        for layer, ends in enumerate(self._stacks):
            for end in ends:
                tables += self._layer_tables(layer, end)
        if self._facts["head"]:
            weight, bias = tensors["head.weight"].T, tensors["head.bias"]
            tables.append(_Table("head_weight", "WIDTH * OUTPUTS", weight, "(WIDTH, OUTPUTS)"))
            tables.append(_Table("head_bias", "OUTPUTS", bias, "(OUTPUTS)"))
        if self._facts["values"]:
            tables += self._scale("output", "OUTPUTS")
        return tables

    def _layer_tables(self, layer: int, end: str) -> Iterator[_Table]:
        for kind, rows in (("ih", self._inputs_of(layer)), ("hh", "HIDDEN")):
            weight = self._tensors[f"recurrent.weight_{kind}{end}"].T
            yield _Table(f"weight_{kind}{end}", f"{rows} * SUMS", weight, f"({rows}, SUMS)")
        if self._facts["bias"]:
            both = (self._tensors[f"recurrent.bias_{kind}{end}"] for kind in ("ih", "hh"))
            with np.errstate(over="ignore"):  # a table refuses infinity
                bias = np.add(*both)
            yield _Table(f"bias{end}", "SUMS", bias, "b_ih + b_hh")

    def _scale(self, which: str, length: str) -> Iterator[_Table]:
        for part in ("mean", "std"):
            numbers = self._tensors[f"{which}_scale.{part}"]
            yield _Table(f"{which}_{part}", length, numbers, f"({length})")


def _harmless(text: str) -> str:
    r"""Text that ends no comment and begins none, in printable ASCII.

    >>> _harmless("*/ caf\u00e9")
    '*\\u002f caf\\u00e9'
    """
    plain = (c.isascii() and c.isprintable() and c != "/" for c in text)
    return "".join(c if ok else f"\\u{ord(c):04x}" for c, ok in zip(text, plain, strict=True))


def _comment(text: str) -> str:
    """Text as lines of a comment."""
    return textwrap.fill(
        text,
        _LINE,
        initial_indent=" * ",
        subsequent_indent=" * ",
        break_long_words=False,
        break_on_hyphens=False,
    )
