#!/bin/sh
# Fuzz what nodes and agents receive, under AddressSanitizer and UndefinedBehaviorSanitizer: with
# libFuzzer where clang++ (or CLANGXX) has it (Debian: clang), else by the driver in native/fuzz,
# which mutates at random.
# Usage, in an environment with the project and its dev extra installed: native/fuzz.sh [SECONDS]
# It takes so long for each of the two targets.
set -eu
cd "$(dirname "$0")/.."
seconds=${1:-600}
build=build/fuzz
mkdir -p "$build"

cmake -S native -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLCP_TVM_TESTS=ON \
  -DPython_EXECUTABLE="$(command -v python)" -DLCP_TVM_SANITIZE=address,undefined >/dev/null
cmake --build "$build" -j 2 --target receive_fuzz agent_fuzz >/dev/null

# fuzz TARGET SOURCES...
fuzz() {
  target=$1
  shift
  corpus=$build/corpus-$target
  if "${CLANGXX:-clang++}" -std=c++17 -g -O1 -Inative -fsanitize=fuzzer,address,undefined \
    -fno-sanitize-recover=all "$@" -o "$build/$target-libfuzzer" 2>"$build/log"; then
    mkdir -p "$corpus"
    "$build/$target" --seeds "$corpus"
    "$build/$target-libfuzzer" -max_total_time="$seconds" -max_len=8192 -print_final_stats=1 \
      -artifact_prefix="$build/" "$corpus"
  else
    echo "$target: no libFuzzer here (see $build/log); mutating at random"
    "$build/$target" "$seconds" "$(date +%s)"
  fi
}

fuzz receive_fuzz native/fuzz/receive_fuzz.cc native/transport/*.cc
fuzz agent_fuzz native/fuzz/agent_fuzz.cc native/agent/address.cc native/agent/handshake.cc \
  native/agent/tracker.cc
