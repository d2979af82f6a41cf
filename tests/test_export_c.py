"""Models as C files: compiled by each compiler there is, they give the generic kernels' bits.

What they have to give is computed by a process of its own, since a process chooses its kernels
once: by this file as a program.
"""

from __future__ import annotations

import csv
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import pytest

import cylstm
from cylstm import atomic
from cylstm.cli import main
from cylstm.export import literal

LENGTHS, MAX_STEPS = (1, 7, 9), 9
FIRST = 3  # steps of a sequence's first part, where it goes in two
ALL_MAGNITUDES = np.concatenate(  # every 65,537th float that is finite, and where slopes are
    [
        np.arange(0, 2**32, 65537, dtype=np.uint64).astype(np.uint32).view(np.float32),
        np.linspace(-100, 100, 5001, dtype=np.float32),
        np.linspace(-10, 10, 100_001, dtype=np.float32),
    ]
)
ALL_MAGNITUDES = ALL_MAGNITUDES[np.isfinite(ALL_MAGNITUDES)]
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]

# --- every configuration that a file can have -----------------------------------------------------


def layers() -> Iterator[tuple[str, Any]]:
    choices = itertools.product(("lstm", "tanh", "relu"), (False, True), (False, True), (1, 2, 3))
    for cell, bidirectional, bias, num_layers in choices:
        options = {"bidirectional": bidirectional, "bias": bias, "num_layers": num_layers}
        name = f"{cell}_{'two_way' if bidirectional else 'one_way'}_{num_layers}{'b' * bias}"
        if cell == "lstm":
            yield name, cylstm.LSTM(3, 5, seed=1, **options)
        else:
            yield name, cylstm.RNN(3, 5, nonlinearity=cell, seed=1, **options)


def models() -> Iterator[tuple[str, Any]]:
    choices = itertools.product(
        ("lstm", "tanh", "relu"),
        (False, True),
        ("plain", "scaled", "tokens"),
        (None, "last", "mean", "max"),
    )
    for number, (cell, bidirectional, inputs, pooling) in enumerate(choices):
        sizes = {"vocab_size": 6, "embedding_size": 4} if inputs == "tokens" else {"input_size": 4}
        model = cylstm.SequenceModel(
            task="regression",
            cell="lstm" if cell == "lstm" else "rnn",
            nonlinearity="relu" if cell == "relu" else "tanh",
            hidden_size=5,
            num_layers=1 + number % 2,
            bidirectional=bidirectional,
            pooling=pooling,
            output_size=3,
            seed=2,
            **sizes,
        )
        if inputs == "scaled":
            model.set_input_scale([1, -2, 3, 0.1], [1, 2, 0.3, 7])
        if number % 3 > 0:
            model.set_output_scale([1, 2, 3], [0.3, 1.5, 2.5])
        way = "two_way" if bidirectional else "one_way"
        yield f"{cell}_{way}_{inputs}_{pooling or 'each'}", model


def activations() -> Iterator[tuple[str, Any]]:
    """Layers whose output is tanh(x), and, once their cell is large, sigmoid(x)."""
    tanh, sigmoid = cylstm.RNN(1, 1, bias=False), cylstm.LSTM(1, 1)
    with tanh.editing() as parameters:
        parameters["weight_ih_l0"][...], parameters["weight_hh_l0"][...] = 1, 0
    with sigmoid.editing() as parameters:
        parameters["weight_ih_l0"][:, 0] = [0, 0, 0, 1]
        parameters["weight_hh_l0"][...] = parameters["bias_hh_l0"][...] = 0
        parameters["bias_ih_l0"][...] = [100, 100, 100, 0]
    yield "tanh_alone", tanh
    yield "sigmoid_alone", sigmoid


def everything() -> dict[str, Any]:
    return dict(itertools.chain(layers(), models(), activations()))


# Enough to have every line of the templates, for the many ways to compile.
SOME = (
    "tanh_alone",
    "sigmoid_alone",
    "tanh_one_way_plain_each",  # gcc 12 made a vfmsubadd of it, contraction being off
    "lstm_one_way_2b",
    "lstm_two_way_1",
    "tanh_two_way_3b",
    "relu_one_way_2",
    "lstm_one_way_scaled_mean",
    "lstm_two_way_tokens_max",
    "lstm_two_way_scaled_each",
    "lstm_one_way_tokens_each",
    "tanh_two_way_plain_mean",
    "relu_one_way_plain_max",
    "tanh_two_way_plain_last",
    "lstm_one_way_plain_last",
)


def lengths_of(name: str) -> tuple[int, ...]:
    return (len(ALL_MAGNITUDES),) if name.endswith("_alone") else LENGTHS


# --- what they have to give, as a process of the generic kernels ----------------------------------


def inputs_of(network: Any, steps: int, rng: np.random.Generator) -> np.ndarray:
    """A sequence; a long one has extreme numbers, and NaN near its end."""
    if (vocabulary := network._network_config["vocab_size"]) > 0:
        return rng.integers(vocabulary, size=steps, dtype=np.int32)
    if steps == len(ALL_MAGNITUDES):
        return rng.permutation(ALL_MAGNITUDES)[:, np.newaxis]
    x = rng.standard_normal((steps, network._network_config["input_size"]), np.float32)
    if steps == max(LENGTHS):
        x *= np.float32(10) ** rng.integers(-44, 30, x.shape).astype(np.float32)
        x[-2, 1] = np.nan
    return x


def expected_of(network: Any, x: np.ndarray) -> Iterator[np.ndarray]:
    """What the driver prints of a sequence: see DRIVER."""
    scores = network(x, reproducible=True)[0]
    yield scores
    if isinstance(network, cylstm.SequenceModel) and network.output_scale is not None:
        yield network.predict(x, reproducible=True)
    if network._network_config["bidirectional"]:
        return
    stream = network.stream()
    steps = np.array([stream.step(step) for step in x])
    yield steps
    if len(x) > FIRST:
        pooled = network._network_config["pooling"] is not None
        yield steps[[FIRST - 1, -1]] if pooled else steps


def make(folder: Path) -> None:
    """Export all; the inputs and what has to come of them."""
    assert cylstm._core.build_info()["isa"] == "generic"
    rng = np.random.default_rng(0)
    for name, network in everything().items():
        steps = MAX_STEPS if network._network_config["bidirectional"] else None
        sizes = cylstm.export_c(network, folder / f"{name}.c", max_steps=steps)
        sequences = [inputs_of(network, length, rng) for length in lengths_of(name)]
        expected = [part.ravel() for x in sequences for part in expected_of(network, x)]
        np.savez(
            folder / name,
            inputs=np.concatenate([x.ravel() for x in sequences]),
            expected=np.concatenate(expected),
            sizes=np.array(list(asdict(sizes).values())),
        )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: Any) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    environment = os.environ | {"CYLSTM_ISA": "generic"}
    subprocess.run([sys.executable, __file__, str(folder)], check=True, env=environment)
    return folder


# --- what they give -------------------------------------------------------------------------------

# Structures and arrays lie in memory of exactly their size, full of NaN: a sanitizer sees what is
# read beyond, and the outputs show what is read before it is written.
DRIVER = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
$includes

static void *fresh(size_t size)
{
    void *memory = malloc(size);
    if (memory == NULL) abort();
    return memset(memory, 0xff, size);
}

static void print(const float *numbers, size_t count)
{
    if (fwrite(numbers, sizeof *numbers, count, stdout) != count) abort();
}

static void print_size(size_t size)
{
    const float number = (float)size;
    print(&number, 1);
}
$functions
int main(void)
{
    $calls
    return 0;
}
"""
DRIVE = """
static void drive_$name(void)
{
    static const size_t lengths[] = {$lengths};
$make
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const size_t steps = lengths[i], inputs = steps * ${NAME}_INPUTS;
        const size_t outputs = ($pooled ? 1 : steps) * ${NAME}_OUTPUTS;
        $element *x = fresh(inputs * sizeof *x);
        float *y = fresh(outputs * sizeof *y);
        if (fread(x, sizeof *x, inputs, stdin) != inputs) abort();
$run
        free(x);
        free(y);
    }
$free
}
"""
SEQUENCE = {
    "make": """
    ${name}_work *work = fresh(sizeof *work);
    print_size(0);
    print_size(sizeof *work);
""",
    "run": """
        if (${name}_run(work, 0, x, y) != -1) abort();
        if (${name}_run(work, ${NAME}_MAX_STEPS + 1, x, y) != -1) abort();
        if (${name}_run(work, steps, x, y) != 0) abort();
        print(y, outputs);
$values
""",
    "free": "    free(work);",
}
STREAM = {
    "make": """
    ${name}_state *state = fresh(sizeof *state);
    ${name}_work *work = fresh(sizeof *work);
    print_size(sizeof *state);
    print_size(sizeof *work);
""",
    "run": """
        ${name}_reset(state);
        if (${name}_run(state, work, 0, x, y) != -1) abort();
        if (${name}_run(state, work, steps, x, y) != 0) abort();
        print(y, outputs);
$values
        ${name}_reset(state);
        for (size_t t = 0; t < steps; t++) {
            $step
            print(y, ${NAME}_OUTPUTS);
        }
        if (steps > $first) {
            const size_t rest = steps - $first;
            ${name}_reset(state);
            if (${name}_run(state, work, $first, x, y) != 0) abort();
            print(y, ($pooled ? 1 : $first) * ${NAME}_OUTPUTS);
            if (${name}_run(state, work, rest, x + $first * ${NAME}_INPUTS, y) != 0) abort();
            print(y, ($pooled ? 1 : rest) * ${NAME}_OUTPUTS);
        }
""",
    "free": "    free(state);\n    free(work);",
}
VALUES = """
        for (size_t at = 0; at < outputs; at += ${NAME}_OUTPUTS) ${name}_values(y + at, y + at);
        print(y, outputs);
"""
STEP = {
    "float": "${name}_step(state, work, x + t * ${NAME}_INPUTS, y);",
    "int32_t": "if (${name}_step(state, work, x[t], y) != 0) abort();",
}


def driver_of(networks: dict[str, Any]) -> str:
    """A program that reads the inputs of these models and prints what they give, in order."""
    functions = [drive(name, network) for name, network in networks.items()]
    return Template(DRIVER).substitute(
        includes="\n".join(f'#include "{name}.h"' for name in networks),
        functions="".join(functions),
        calls="\n    ".join(f"drive_{name}();" for name in networks),
    )


def drive(name: str, network: Any) -> str:
    config = network._network_config
    scaled = isinstance(network, cylstm.SequenceModel) and network.output_scale is not None
    element = "int32_t" if config["vocab_size"] else "float"
    words = {
        "name": name,
        "NAME": name.upper(),
        "element": element,
        "pooled": int(config["pooling"] is not None),
        "lengths": ", ".join(map(str, lengths_of(name))),
        "first": FIRST,
        "step": STEP[element],
        "values": VALUES if scaled else "",
    }
    text = DRIVE
    for _ in range(2):  # words have words in them
        kind = SEQUENCE if config["bidirectional"] else STREAM
        text = Template(text).safe_substitute(kind | words)
    return Template(text).substitute(words)


def build(folder: Path, names: Iterable[str], command: list[str], to: Path) -> list[str]:
    """The program of these models, all compiled by one command."""
    networks = everything()
    driver = to / "driver.c"
    driver.write_text(driver_of({name: networks[name] for name in names}))
    sources = [str(folder / f"{name}.c") for name in names]
    program = str(to / "program")
    subprocess.run([*command, f"-I{folder}", *sources, str(driver), "-o", program], check=True)
    return [program]


def check(folder: Path, names: Iterable[str], program: list[str]) -> None:
    """Run it; all numbers are those of Python, to the bit."""
    wanted = {name: np.load(folder / f"{name}.npz") for name in names}
    given = b"".join(one["inputs"].tobytes() for one in wanted.values())
    done = subprocess.run(program, input=given, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    numbers = np.frombuffer(done.stdout, np.float32)
    for name, one in wanted.items():
        _, *sizes = one["sizes"]
        expected = np.concatenate([np.float32(sizes), one["expected"]])
        found, numbers = numbers[: len(expected)], numbers[len(expected) :]
        same = (found.view(np.int32) == expected.view(np.int32)) | (
            np.isnan(found) & np.isnan(expected)
        )
        assert len(found) == len(expected) and same.all(), (name, np.flatnonzero(~same))
    assert not len(numbers)


def need(*tools: str) -> None:
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def test_every_configuration_gives_pythons_bits_under_sanitizers(exported, tmp_path):
    options = [
        "-std=c99",
        "-O1",
        *STRICT,
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
    ]
    names = list(everything())
    check(exported, names, build(exported, names, ["gcc", *options], tmp_path))


NATIVE = ["-O3", "-march=native"]
CONTRACTING = ["-std=gnu11", *NATIVE, "-ffp-contract=fast"]  # gcc's default, where it has FMA
AARCH64 = ["aarch64-linux-gnu-gcc", "-O3", "-static"]
ARM = ["arm-linux-gnueabihf-gcc", "-O3", "-mfpu=neon-vfpv4", "-static"]


@pytest.mark.parametrize(
    ("command", "emulator"),
    [
        (["gcc", "-std=c99", "-O0", *STRICT], []),
        (["gcc", "-O2"], []),
        (["gcc", *CONTRACTING], []),
        (["clang", "-std=c99", "-O0", *STRICT], []),
        (["clang", "-O2"], []),
        (["clang", *NATIVE], []),
        (AARCH64, ["qemu-aarch64"]),
        (ARM, ["qemu-arm"]),
    ],
    ids=lambda words: "".join(words) or "here",
)
def test_every_compiler_gives_pythons_bits(exported, tmp_path, command, emulator):
    need(command[0], *emulator)
    check(exported, SOME, [*emulator, *build(exported, SOME, command, tmp_path)])


def test_unsafe_optimizations_of_clang_change_nothing(exported, tmp_path):
    """In what they compile. Linking with them makes the whole program flush subnormals to zero."""
    need("clang")
    networks, objects = everything(), []
    for name in SOME:
        objects.append(str(tmp_path / f"{name}.o"))
        options = [*NATIVE, "-funsafe-math-optimizations", "-Werror", "-o", objects[-1]]
        subprocess.run(["clang", *options, "-c", str(exported / f"{name}.c")], check=True)
    driver, program = tmp_path / "driver.c", str(tmp_path / "program")
    driver.write_text(driver_of({name: networks[name] for name in SOME}))
    link = ["clang", "-O1", f"-I{exported}", str(driver), *objects, "-o", program]
    subprocess.run(link, check=True)
    check(exported, SOME, [program])


def test_no_configuration_has_warnings_from_clang(exported):
    need("clang")
    sources = [str(exported / f"{name}.c") for name in everything()]
    subprocess.run(["clang", "-std=c99", *STRICT, "-fsyntax-only", *sources], check=True)


@pytest.mark.parametrize("standard", ["c99", "c11", "c++11"])
def test_headers_compile_alone(exported, tmp_path, standard):
    compiler = "g++" if "+" in standard else "gcc"
    need(compiler)
    source = tmp_path / ("alone.cpp" if "+" in standard else "alone.c")
    for name in SOME:
        source.write_text(f'#include "{name}.h"\n')
        command = [compiler, f"-std={standard}", *STRICT, f"-I{exported}", "-fsyntax-only"]
        subprocess.run([*command, str(source)], check=True)


def test_what_a_header_begins_with_compiles(exported, tmp_path):
    """The use it shows, in a function of what the reader has."""
    need("gcc")
    source = tmp_path / "use.c"
    for name in SOME:
        lines = re.findall(r"^ \*     (.*)$", (exported / f"{name}.h").read_text(), re.MULTILINE)
        use = "\n".join(lines).replace("...", "return 1;")
        source.write_text(
            f'#include "{name}.h"\n#include <stdint.h>\n'
            "int use(size_t steps, int more, int32_t token, const float *x);\n"
            "int use(size_t steps, int more, int32_t token, const float *x)\n"
            f"{{\n(void)steps, (void)more, (void)token, (void)x;\n{{\n{use}\n}}\nreturn 0;\n}}\n"
        )
        command = ["gcc", "-std=c99", *STRICT, f"-I{exported}", "-fsyntax-only", str(source)]
        subprocess.run(command, check=True)


# --- the text -------------------------------------------------------------------------------------


def awkward(count: int) -> np.ndarray:
    """Floats of all kinds that are finite."""
    bits = np.random.default_rng(0).integers(2**32, size=count, dtype=np.uint32)
    bits[:8] = [0, 1 << 31, 1, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0x3F800000, 0xBF800001]
    numbers = bits.view(np.float32)
    return np.where(np.isfinite(numbers), numbers, np.float32(1))


def test_literals_are_exact():
    numbers = awkward(200_000)
    read = np.array([literal(number).removesuffix("f") for number in numbers.tolist()], np.float32)
    np.testing.assert_array_equal(read.view(np.int32), numbers.view(np.int32))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_tables_have_every_bit_and_the_size_that_is_said(tmp_path, compiler):
    need(compiler)
    layer = cylstm.RNN(40, 100, bias=False)
    with layer.editing() as parameters:
        parameters["weight_ih_l0"].T[...] = awkward(4000).reshape(40, 100)
    sizes = cylstm.export_c(layer, tmp_path / "layer.c")
    source = """
        #include <stdio.h>
        #include "layer.c"
        int main(void)
        {
            fwrite(weight_ih_l0, sizeof weight_ih_l0, 1, stdout);
            return fwrite(weight_hh_l0, sizeof weight_hh_l0, 1, stdout) != 1;
        }
    """
    (tmp_path / "main.c").write_text(source + "\n")
    program = str(tmp_path / "main")
    command = [compiler, "-std=c99", *STRICT, str(tmp_path / "main.c"), "-o", program]
    subprocess.run(command, check=True)
    tables = subprocess.run([program], check=True, capture_output=True).stdout
    assert len(tables) == sizes.weights
    found = np.frombuffer(tables, np.int32)[:4000]
    np.testing.assert_array_equal(found, awkward(4000).view(np.int32))


def test_a_model_has_only_the_code_that_it_needs(exported):
    lstm, tanh, relu = (
        (exported / f"{cell}_one_way_1b.c").read_text() for cell in ("lstm", "tanh", "relu")
    )
    assert "sigmoid" in lstm and "hyperbolic_tangent" in lstm
    assert "sigmoid" not in tanh and "hyperbolic_tangent" in tanh
    assert "sigmoid" not in relu and "hyperbolic_tangent" not in relu and "stdint" not in relu
    for text in (lstm, tanh, relu):
        assert not re.search("[%$]|pool|score|embedding|reverse|None|max_steps", text)


def test_the_polynomial_is_the_librarys():
    """Bits show a wrong coefficient only where it is far off."""
    root = Path(__file__).parents[1]
    found = []
    for path in ("src/activation.h", "cylstm/export.c.in"):
        body = re.search(
            r"reduced_expm1\([^;]*?\{\n(.*?)^\}", (root / path).read_text(), re.M | re.S
        )
        found.append(re.findall(r"-?(?:0x)?[\da-f.]+(?:[pe][+-]\d+)?f\b", body[1]))
    assert found[0] == found[1] and len(found[0]) == 11
    assert "0x1.6d839ap-10f" in found[0]


def test_lines_are_not_too_long(tmp_path):
    for name, network in everything().items():
        steps = MAX_STEPS if network._network_config["bidirectional"] else None
        cylstm.export_c(network, tmp_path / "waves.c", max_steps=steps)
        for suffix in "ch":
            lines = (tmp_path / f"waves.{suffix}").read_text().splitlines()
            assert max(map(len, lines)) <= 120, name


def test_labels_stand_in_the_header_and_cannot_break_it(tmp_path):
    model = cylstm.SequenceModel(
        task="classification", input_size=1, hidden_size=2, pooling="last", output_size=4
    )
    model.classes = ["*/ int", "/*", "sn\u00f6\\", "??/\n"]
    cylstm.export_c(model, tmp_path / "labels.c")
    assert r"sn\u00f6\\" in (tmp_path / "labels.h").read_text("ascii")
    command = ["gcc", "-std=c99", *STRICT, "-fsyntax-only", str(tmp_path / "labels.c")]
    subprocess.run(command, check=True)


@pytest.mark.parametrize("name", ["lstm", "layer", "int", "max", "input", "units", "E1", "a_b_2"])
def test_any_name_compiles(tmp_path, name):
    """What is of the file's own never has a public name."""
    model = cylstm.SequenceModel(
        task="regression", input_size=1, hidden_size=2, pooling="max", output_size=1
    )
    model.set_input_scale([1], [2])
    model.set_output_scale([1], [2])
    cylstm.export_c(model, tmp_path / f"{name}.c")
    command = ["gcc", "-std=c99", *STRICT, "-c", str(tmp_path / f"{name}.c")]
    subprocess.run([*command, "-o", str(tmp_path / "object.o")], check=True)
    symbols = subprocess.run(
        ["nm", "-g", "--defined-only", str(tmp_path / "object.o")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = {line.split()[-1] for line in symbols.splitlines()}
    assert found == {f"{name}_{what}" for what in ("reset", "step", "run", "values")}


# --- scales of float64 ----------------------------------------------------------------------------

WIDE_STREAM = """
#include <stdio.h>
#include "wide.h"

int main(void)
{
    wide_state state;
    wide_work work;
    double x[2], values[1];
    float y[1];
    wide_reset(&state);
    while (scanf("%lf,%lf", &x[0], &x[1]) == 2) {
        wide_step(&state, &work, x, y);
        wide_values(y, values);
        printf("%.17g\\n", values[0]);
    }
    return 0;
}
"""
WIDE_SEQUENCE = """
#include <stdio.h>
#include "wide.h"

int main(void)
{
    static double x[WIDE_MAX_STEPS + 1][2];
    static wide_work work;
    double values[1];
    float y[1];
    size_t steps = 0;
    while (scanf("%lf,%lf", &x[steps][0], &x[steps][1]) == 2) steps++;
    if (wide_run(&work, steps, x[0], y) != 0) return 1;
    wide_values(y, values);
    printf("%.17g\\n", values[0]);
    return 0;
}
"""


def wide_model(**options: Any) -> cylstm.SequenceModel:
    model = cylstm.SequenceModel(
        task="regression", input_size=2, hidden_size=6, output_size=1, seed=0, **options
    )
    model.set_input_scale([1.7e9, 4_492_557.1], [32.0, 0.25])
    model.set_output_scale([4_492_557.1], [0.25])
    return model


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize(
    ("source", "options"),
    [(WIDE_STREAM, {}), (WIDE_SEQUENCE, {"bidirectional": True, "pooling": "last"})],
    ids=["stream", "sequence"],
)
def test_scales_of_float64_stay_double(tmp_path, compiler, source, options):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    model = wide_model(**options)
    steps = 20 if options else None
    sizes = cylstm.export_c(model, tmp_path / "wide.c", max_steps=steps)
    narrow = cylstm.SequenceModel(**model.config)
    narrow.set_input_scale([0, 0], [1, 1])
    narrow.set_output_scale([0], [1])
    others = cylstm.export_c(narrow, tmp_path / "narrow.c", max_steps=steps)
    assert sizes.weights == others.weights + 6 * 4  # six numbers of twice the size
    (tmp_path / "main.c").write_text(source)
    program = str(tmp_path / "main")
    files = [str(tmp_path / name) for name in ("main.c", "wide.c")]
    subprocess.run([compiler, "-std=c99", "-O2", *STRICT, *files, "-o", program], check=True)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((20, 2)) * [32.0, 0.25] + [1.7e9, 4_492_557.1]
    text = "\n".join(f"{a!r},{b!r}" for a, b in x.tolist())
    done = subprocess.run([program], input=text, check=True, capture_output=True, text=True)
    found = np.array(done.stdout.split(), float)
    np.testing.assert_allclose(found, model.predict(x).ravel(), rtol=0, atol=1e-6 * 0.25)


def test_a_double_of_32_bits_is_refused(tmp_path):
    cylstm.export_c(wide_model(), tmp_path / "wide.c")
    smaller = ["-U__DBL_MANT_DIG__", "-D__DBL_MANT_DIG__=24"]
    command = ["gcc", "-std=c99", "-fsyntax-only", *smaller, str(tmp_path / "wide.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "double to be IEEE's of 64 bits" in done.stderr


# --- what compilers must not do -------------------------------------------------------------------


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("-ffast-math", "without -ffast-math"),
        ("-Ofast", "without -ffast-math"),
        ("-D_M_FP_FAST", "without -ffast-math (/fp:fast)"),  # as Microsoft's compiler says it
        ("-ffinite-math-only", "without -ffinite-math-only"),
        ("-U__FLT_EVAL_METHOD__ -D__FLT_EVAL_METHOD__=2", "-mfpmath=sse"),
    ],
)
def test_inexact_arithmetic_is_refused(exported, compiler, option, complaint):
    need(compiler)
    command = [compiler, *option.split(), "-fsyntax-only", str(exported / "lstm_one_way_1.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and complaint in done.stderr


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_cpp_is_refused(exported, compiler):
    need(compiler)
    command = [compiler, "-x", "c++", "-fsyntax-only", str(exported / "lstm_one_way_1.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "compile this file as C" in done.stderr


def test_avr_holds_the_tables_in_ram_as_the_file_says(exported, tmp_path):
    need("avr-gcc", "avr-nm")
    source, object_file = exported / "lstm_one_way_1.c", tmp_path / "object.o"
    command = ["avr-gcc", "-mmcu=atmega2560", "-std=c99", "-Os", "-c", str(source)]
    subprocess.run([*command, "-o", str(object_file)], check=True)
    symbols = subprocess.run(["avr-nm", object_file], check=True, capture_output=True, text=True)
    assert " r weight_hh_l0\n" in symbols.stdout  # .rodata, which avr-gcc links into .data: RAM
    assert "on AVR these too take RAM" in source.read_text()


@pytest.mark.parametrize("options", [["-O0"], ["-Os"], ["-O2"], ["-O3"]])
def test_the_stack_holds_no_arrays(tmp_path, options):
    """However wide the model is; and nothing recurs, so that this is all, some calls deep."""
    cylstm.export_c(cylstm.LSTM(50, 100, bidirectional=True), tmp_path / "wide.c", max_steps=50)
    command = [
        "gcc",
        *options,
        "-Wframe-larger-than=250",
        "-Werror",
        "-c",
        str(tmp_path / "wide.c"),
    ]
    subprocess.run([*command, "-o", str(tmp_path / "wide.o")], check=True)


def test_nothing_outside_is_called_and_nothing_changes_but_the_callers(exported, tmp_path):
    for name in SOME:
        command = ["gcc", "-std=c99", "-O1", "-ffreestanding", "-fno-pie", "-c"]
        files = [str(exported / f"{name}.c"), "-o", str(tmp_path / "object.o")]
        subprocess.run([*command, *files], check=True)
        symbols = subprocess.run(
            ["nm", str(tmp_path / "object.o")], check=True, capture_output=True, text=True
        ).stdout
        kinds = {line.split()[-2] for line in symbols.splitlines()}
        assert kinds == {"T", "t", "r"}, name  # code, and constants: no U, no d, no b


# --- tokens, arguments, files ---------------------------------------------------------------------


def test_unknown_tokens_change_nothing(exported, tmp_path):
    name = "lstm_one_way_tokens_mean"
    source = Template("""
        #include <stdlib.h>
        #include <string.h>
        #include "${name}.h"
        int main(void)
        {
            const int32_t wrong[] = {-1, ${NAME}_VOCABULARY, INT32_MAX, INT32_MIN};
            static ${name}_state state, before;
            static ${name}_work work;
            float y[${NAME}_OUTPUTS] = {7};
            ${name}_reset(&state);
            if (${name}_step(&state, &work, ${NAME}_VOCABULARY - 1, y) != 0) abort();
            y[0] = 7;
            before = state;
            for (int i = 0; i < 4; i++) {
                const int32_t tokens[] = {0, 1, wrong[i]};
                if (${name}_step(&state, &work, wrong[i], y) != -1) abort();
                if (${name}_run(&state, &work, 3, tokens, y) != -1) abort();
                if (y[0] != 7 || memcmp(&state, &before, sizeof state) != 0) abort();
            }
            return 0;
        }
    """).substitute(name=name, NAME=name.upper())
    (tmp_path / "main.c").write_text(source)
    sources = [str(tmp_path / "main.c"), str(exported / f"{name}.c")]
    program = str(tmp_path / "main")
    options = ["-std=c99", *STRICT, f"-I{exported}", "-fsanitize=address,undefined"]
    subprocess.run(["gcc", *options, *sources, "-o", program], check=True)
    subprocess.run([program], check=True)


def test_a_file_and_its_model_give_the_same_text(tmp_path):
    layer = cylstm.LSTM(2, 3)
    layer.save(tmp_path / "layer.safetensors")
    cylstm.export_c(layer, tmp_path / "one.c", name="it")
    cylstm.export_c(str(tmp_path / "layer.safetensors"), str(tmp_path / "two.c"), name="it")
    one, two = (tmp_path / f"{name}.c" for name in ("one", "two"))
    assert (
        one.read_text().replace('"one.h"', '"two.h"').replace("one.h", "two.h") == two.read_text()
    )
    assert one.with_suffix(".h").read_text() == two.with_suffix(".h").read_text()


@pytest.mark.parametrize(
    ("path", "options", "error", "message"),
    [
        (
            "model.cpp",
            {},
            ValueError,
            r"path: expected a file that ends in \.c .* got 'model\.cpp'",
        ),
        ("model", {}, ValueError, "path: expected a file that ends in"),
        ('a"b.c', {"name": "ab"}, ValueError, "path: expected .* that C can include"),
        ("a\rb.c", {"name": "ab"}, ValueError, "path: expected .* that C can include"),
        ("\udcff.c", {"name": "ab"}, ValueError, "path: expected .* that C can include"),
        ("float.c", {}, ValueError, "path: expected a header beside it that C does not have"),
        ("math.c", {}, ValueError, "path: expected a header beside it that C does not have"),
        (7, {}, TypeError, "path: expected a path, got 7"),
        ("my-model.c", {}, ValueError, "name: expected a letter.*got 'my-model' from my-model.c"),
        ("1.c", {}, ValueError, "name: expected a letter.*got '1' from 1.c"),
        ("m.c", {"name": "_m"}, ValueError, "name: expected a letter.*got '_m'$"),
        ("m.c", {"name": "a__b"}, ValueError, "name: expected a letter"),
        ("m.c", {"name": "m_"}, ValueError, "name: expected a letter"),
        ("m.c", {"name": "\u00e9t\u00e9"}, ValueError, "name: expected a letter"),
        ("m.c", {"name": "m\n"}, ValueError, "name: expected a letter"),
        ("m.c", {"name": ""}, ValueError, "name: expected a letter"),
        ("m.c", {"name": 3}, TypeError, "name: expected a string, got 3"),
        ("m.c", {"max_steps": 3}, ValueError, "max_steps: expected None.* got 3"),
    ],
)
def test_bad_arguments(tmp_path, path, options, error, message):
    target = tmp_path / path if isinstance(path, str) else path
    with pytest.raises(error, match=message):
        cylstm.export_c(cylstm.LSTM(2, 3), target, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("max_steps", "error", "message"),
    [
        (None, ValueError, "max_steps: expected a number.* got None"),
        (0, ValueError, "max_steps: expected an integer in 1"),
        (True, TypeError, "max_steps: expected an integer, got True"),
    ],
)
def test_bad_max_steps_of_a_bidirectional_model(tmp_path, max_steps, error, message):
    layer = cylstm.RNN(2, 3, bidirectional=True)
    with pytest.raises(error, match=message):
        cylstm.export_c(layer, tmp_path / "layer.c", max_steps=max_steps)


def test_what_is_too_large_for_a_compiler(tmp_path):
    """A product of sizes that int cannot hold would be negative in C."""
    layer = cylstm.LSTM(1, 64, num_layers=2, bidirectional=True)
    with pytest.raises(ValueError, match=r"max_steps: expected at most 2147483647 bytes .*work="):
        cylstm.export_c(layer, tmp_path / "m.c", max_steps=2**24)
    assert not list(tmp_path.iterdir())


def test_what_is_no_model(tmp_path):
    with pytest.raises(TypeError, match="model: expected a path, got 3"):
        cylstm.export_c(3, tmp_path / "m.c")
    with pytest.raises(FileNotFoundError):
        cylstm.export_c(tmp_path / "none", tmp_path / "m.c")
    (tmp_path / "text").write_text("no model")
    with pytest.raises(ValueError, match="text: expected a cylstm model"):
        cylstm.export_c(tmp_path / "text", tmp_path / "m.c")


@pytest.mark.parametrize(
    ("name", "value", "table"),
    [
        ("weight_hh_l0", np.nan, "nan in weight_hh_l0"),
        ("weight_ih_l0", -np.inf, "-inf in weight_ih_l0"),
        ("bias_hh_l0", 3e38, "inf in bias_l0"),  # too much with the other
    ],
)
def test_weights_that_are_not_finite(tmp_path, name, value, table):
    layer = cylstm.LSTM(2, 3)
    with layer.editing() as parameters:
        parameters["bias_ih_l0"][0] = 3e38
        parameters[name].flat[0] = value
    with pytest.raises(ValueError, match=f"model: expected finite weights, got {table}$"):
        cylstm.export_c(layer, tmp_path / "layer.c")
    assert not list(tmp_path.iterdir())


def test_both_files_or_none(tmp_path, monkeypatch):
    """Where the second cannot be written, the first is as it was."""
    source, header = tmp_path / "m.c", tmp_path / "m.h"
    cylstm.export_c(cylstm.LSTM(2, 3), source)
    before, written = header.read_bytes(), []

    def fail_at_second(target, file, data):
        if written:
            raise OSError("no space left")
        written.append(file.write(data))

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_write", fail_at_second)
        with pytest.raises(OSError, match="no space"):
            cylstm.export_c(cylstm.LSTM(5, 6), source)
    assert header.read_bytes() == before and len(list(tmp_path.iterdir())) == 2
    source.unlink()
    source.mkdir()
    with pytest.raises(ValueError, match="path: expected a file, or none yet"):
        cylstm.export_c(cylstm.LSTM(5, 6), source)
    assert header.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cylstm.LSTM(2, 3, bidirectional=True).save("layer.safetensors")
    words = ["export-c", "layer.safetensors", "-o", "out.c", "--name", "net", "--max-steps", "5"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "out.c, out.h" in printed and "bytes of weights" in printed
    assert re.search(r"RAM +72 bytes to work in", printed)
    assert "int net_run(" in (tmp_path / "out.h").read_text()
    assert main(["export-c", "layer.safetensors", "-o", "layer.c"]) == 2
    assert "max_steps: expected a number" in capsys.readouterr().err
    assert main(["export-c", "none", "-o", "layer.c"]) == 2
    assert main(["export-c", "layer.safetensors", "-o", ""]) == 2
    assert not (tmp_path / "layer.c").exists()
    cylstm.RNN(2, 3).save("rnn.safetensors")
    assert main(["export-c", "rnn.safetensors", "-o", "rnn.c"]) == 0
    assert re.search(r"RAM +12 bytes of state for each stream, 12 bytes", capsys.readouterr().out)


if __name__ == "__main__":
    make(Path(sys.argv[1]))


# --- models of tables ----------------------------------------------------------------------------

ROWS = """
#include <stdio.h>
#include "net.h"

int main(void)
{
    static net_state state;
    static net_work work;
    float x[NET_INPUTS], y[NET_OUTPUTS];
    net_reset(&state);
    for (size_t i = 0; scanf("%f", &x[i]) == 1; i = (i + 1) % NET_INPUTS) {
        if (i + 1 == NET_INPUTS) net_step(&state, &work, x, y);
    }
    net_values(y, y);
    printf("%.9g", (double)y[0]);
}
"""


def write_table(path: Path) -> list[list[Any]]:
    """Rows of a day, a number, a share, a category and what follows from them."""
    rng = np.random.default_rng(0)
    rows = []
    for n in range(120):
        heat, damp, sky = rng.normal(20, 5), rng.normal(50, 9), ("rain", "sun")[n // 3 % 2]
        day = np.datetime64("2024-01-01") + n
        rows.append([str(day), f"{heat:.2f}", f"{damp:.1f} %", sky, f"{heat + damp:.3f}"])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["day", "heat*/", "damp", "sky", "load"], *rows])
    return rows


@pytest.mark.parametrize("fold", [1, 2])
def test_a_row_of_a_table_goes_in_as_the_header_says(tmp_path, monkeypatch, capsys, fold):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    rows = write_table(tmp_path / "t.csv")
    options = ["--task", "regression", "--calendar", "weekday", "--window", "5", "--epochs", "3"]
    options += ["--fold", str(fold)]
    assert main(["train", "t.csv", "--target", "load", "-q", *options]) == 0
    assert main(["export-c", "model.safetensors", "-o", "net.c"]) == 0
    assert "net.h says what each is" in capsys.readouterr().out
    header = (tmp_path / "net.h").read_text()
    names = re.findall(r"x\[\d+\]  (.*)", header)
    assert names[0].startswith(r"heat*\u002f, the number; where it is missing")
    assert names[1].startswith("damp, the number in %; where")
    assert names[2:4] == ['1 where sky is "rain", else 0', '1 where sky is "sun", else 0']
    assert names[4] == "1 on weekday Mon, else 0"
    assert "looks at 5 rows" in header and "load in units of its deviation" in header

    folded = "2 rows, oldest first: those of row n from x[n * 11] on. Before the oldest row it"
    assert (folded in " ".join(header.replace("*/", "").split())) == (fold == 2)

    numbers = []
    for day, heat, damp, sky, _ in [*rows[-5:][: fold - 1], *rows[-5:]]:
        weekday = (np.datetime64(day).astype(int) + 3) % 7
        numbers += [heat, damp.removesuffix(" %"), int(sky == "rain"), int(sky == "sun")]
        numbers += [int(weekday == n) for n in range(7)]
    (tmp_path / "main.c").write_text(ROWS)
    subprocess.run(["gcc", "-O1", "main.c", "net.c", "-o", "main"], check=True)
    printed = subprocess.run(
        ["./main"], input=" ".join(map(str, numbers)), text=True, capture_output=True, check=True
    ).stdout
    assert main(["predict", "model.safetensors", "t.csv", "-o", "out.csv"]) == 0
    with open("out.csv", newline="") as file:
        predicted = [row["load_predicted"] for row in csv.DictReader(file)][-1]
    assert float(printed) == pytest.approx(float(predicted), rel=1e-5)


def test_a_forecast_is_refused(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "t.csv")
    assert main(["train", "t.csv", "--target", "load", "-q", "--epochs", "1"]) == 0
    assert main(["export-c", "model.safetensors", "-o", "net.c"]) == 2
    assert "a forecast is more than its network" in capsys.readouterr().err
    assert not (tmp_path / "net.c").exists()
