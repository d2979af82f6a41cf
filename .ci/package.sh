# The source distribution and a wheel for each Python there is: made, checked, and tried as users get them.
# Sourced by .ci/run.
# shellcheck shell=bash

# In $scratch/dist the source distribution, from a tree in which nothing was built, and a folder of each Python's wheel;
# in $scratch/users an environment of each Python, with nothing but the wheel and what that needs.
try_package() {
    local pythons python
    say "package"
    mapfile -t pythons < <(find_pythons)
    copy_tree "$scratch/clean"
    quietly python3 -m build --sdist --outdir "$scratch/dist" "$scratch/clean"
    make_wheels "${pythons[@]}"
    python3 tools/check_distributions.py "$scratch"/dist/*.tar.gz "$scratch"/dist/*/*.whl
    for python in "${pythons[@]##*/}"; do
        smoke_test "$scratch/users/$python"
    done
    test_installed "$scratch/users/${pythons[0]##*/}"
    [[ ${pythons[0]##*/} != python3.11 ]] || test_oldest "${pythons[0]}"
    try_whole_package "$scratch/users/${pythons[0]##*/}"
}

quietly() {
    local log
    log=$(mktemp --tmpdir="$scratch")
    "$@" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
}

# All at once, or compilers would wait while packages are installed.
make_wheels() {
    local python job jobs=()
    for python; do
        make_wheel "$python" &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do
        wait "$job"
    done
}

make_wheel() {
    local name=${1##*/}
    local user="$scratch/users/$name"
    "$1" -m venv "$user"
    quietly "$user/bin/pip" wheel --no-deps --wheel-dir "$user/built" "$scratch"/dist/*.tar.gz
    quietly auditwheel repair --wheel-dir "$scratch/dist/$name" "$user"/built/*.whl
    "$user/bin/pip" install --no-compile "$scratch/dist/$name"/*.whl # of SciPy's modules, few are used here
}

smoke_test() {
    cp docs/design.md "$1/text.md"
    (
        cd "$1"
        bin/python --version
        bin/python -W error -c 'import cylstm; cylstm.show_config()'
        bin/cylstm demo --text text.md --epochs 1 --length 40
    )
}

# What needs no second Python: the commands, the C library, extensions of others.
try_whole_package() {
    cp -r examples/c/score_csv.c examples/cython "$1"
    (
        cd "$1"
        bin/cylstm --help >/dev/null
        bin/python -m cylstm info demo.safetensors
        bin/cylstm export-c demo.safetensors -o demo.c
        gcc -std=c99 -O2 -c demo.c
        bin/python -c 'import cylstm; cylstm.LSTM(3, 2, seed=0).save("layer.safetensors")'
        try_c_library
        try_c_library --static
        try_cython
        weigh_library
    )
}

# A C program linked with the wheel's library, in a folder that is not the source tree's.
try_c_library() {
    local flags
    read -ra flags < <(bin/cylstm config --cflags --libs "$@")
    gcc -std=c99 -Wall -Wextra -Werror score_csv.c "${flags[@]}" -o score_csv
    echo 1,2,3 | ./score_csv layer.safetensors
}

# A package of somebody else's that takes the C functions from the installed one.
try_cython() {
    bin/pip install 'setuptools>=77' cython
    bin/pip install --no-build-isolation ./cython
    bin/python -c '
import numpy, series_scores
print(series_scores.Scorer("layer.safetensors").scores(numpy.float32([[[1, 2, 3]]])))'
}

weigh_library() {
    local size
    strip -o stripped.so lib/python*/site-packages/cylstm/lib/libcylstm.so.*
    size=$(stat --format=%s stripped.so)
    echo "the C library, stripped: $size bytes"
    ((size <= 300000)) || { echo "more than 300000" >&2; return 1; }
}

# As cibuildwheel tests a wheel: its command, in a folder with what that needs of the source tree, which is not the
# package.
test_installed() {
    local sources packages folder="$scratch/installed"
    say "tests of the installed package"
    mapfile -t sources < <(cibuildwheel_setting test-sources)
    mapfile -t packages < <(cibuildwheel_setting test-requires)
    mkdir "$folder"
    tar --create --directory="$scratch/clean" "${sources[@]}" | tar --extract --directory="$folder"
    "$1/bin/pip" install "${packages[@]}"
    (cd "$folder" && PATH="$1/bin:$PATH" bash -c "$(cibuildwheel_setting test-command)")
}

# The heart of the tests with the oldest packages that pyproject.toml allows, for which the oldest Python has wheels.
test_oldest() {
    local user="$scratch/users/oldest" wheel
    say "tests with the oldest packages"
    wheel=$(echo "$scratch/dist/${1##*/}"/*.whl)
    "$1" -m venv "$user"
    python3 tools/oldest.py >"$scratch/oldest.txt"
    "$user/bin/pip" install --constraint "$scratch/oldest.txt" "$wheel[csv,plot,test]"
    cat "$scratch/oldest.txt"
    (cd "$scratch/installed" && "$user/bin/python" -m pytest -q tests/test_{blas,formats,layers,model,optim,report,tables}.py)
}

# A string, or a list line by line.
cibuildwheel_setting() {
    python3 - "$1" <<'PYTHON'
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    value = tomllib.load(file)["tool"]["cibuildwheel"][sys.argv[1]]
print(value if isinstance(value, str) else "\n".join(value))
PYTHON
}
