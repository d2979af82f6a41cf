#!/usr/bin/env bash
# LLVM's OpenMP runtime for macOS, which Apple's compiler comes without, into a folder.
#
#     tools/install_libomp.sh FOLDER
#
# It is bundled with the wheels, so it must be as old as the oldest macOS they run on: conda-forge builds it for that,
# and Homebrew only for the macOS of the machine. This version is of the last that were built for macOS before 11.
set -euo pipefail
brew install --quiet micromamba
micromamba create --yes --no-deps --prefix "$1" --override-channels --channel conda-forge llvm-openmp=19.1.7
