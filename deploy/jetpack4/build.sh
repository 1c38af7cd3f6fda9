#!/usr/bin/env bash
# JetPack 4 has TensorRT 8.2 with bindings for its Python 3.6 alone. Run once on one such device, this
# makes what `edgelane bundle --wheel` then carries to all of them:
#
#   build.sh OUT
#
#   OUT/tensorrt-8.2.…-cp38-none-linux_aarch64.whl   bindings for the system's own libnvinfer
#   OUT/python3.8/*.deb                              Ubuntu's Python 3.8, unpacked beside a release
#
# The bindings are NVIDIA's own (github.com/NVIDIA/TensorRT, Apache-2.0), built as their python/
# folder says, against the headers and libraries that JetPack installed. It takes some ten minutes
# and 300 MB. Nothing of the system is changed but for the packages that compile it.
#
#   SOURCES=DIR   a checkout of NVIDIA/TensorRT instead of cloning it
#   PYBIND11=DIR  the include folder of a pybind11 instead of cloning it
#   PYTHON=…      the Python to build for [python3.8]
#   INCLUDE, LIB  where NvInferVersion.h and libnvinfer.so lie
#   TARGET        the machine [this one's]
#   NO_PACKAGES=1 what is needed is there already: install and download nothing by apt
set -euo pipefail

fail() { echo "build.sh: $*" >&2; exit 1; }

[ $# = 1 ] || fail "say where to put what is made: build.sh OUT"
mkdir -p "$1"
out=$(cd "$1" && pwd)
target=${TARGET:-$(uname -m)}
python=${PYTHON:-python3.8}
include=${INCLUDE:-/usr/include/$target-linux-gnu}
lib=${LIB:-/usr/lib/$target-linux-gnu}
cuda=${CUDA_ROOT:-/usr/local/cuda}

header=$include/NvInferVersion.h
[ -f "$header" ] || fail "no TensorRT here: $header is missing (JetPack's libnvinfer-dev has it)"
number() { awk -v name="NV_TENSORRT_$1" '$1 == "#define" && $2 == name {print $3}' "$header"; }
version=$(number MAJOR).$(number MINOR).$(number PATCH)
case $version in
  8.2.*) ;;
  *) fail "this is TensorRT $version, not JetPack 4's 8.2: its own bindings fit Python 3.8 or newer" ;;
esac
[ -f "$cuda/include/cuda_runtime_api.h" ] || fail "no CUDA headers in $cuda/include"

if [ -z "${NO_PACKAGES:-}" ]; then
  packages="python3.8 python3.8-minimal libpython3.8-minimal libpython3.8-stdlib python3.8-venv
    python3.8-distutils"
  sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  # shellcheck disable=SC2086
  $sudo apt-get install -y -qq $packages python3.8-dev cmake g++ make git
  mkdir -p "$out/python3.8"
  # shellcheck disable=SC2086
  (cd "$out/python3.8" && for name in $packages; do
    apt-get download -qq "$name" || [ "$name" = python3.8-distutils ]
  done)
fi
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 8))' || fail "$python is no Python 3.8"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sources=${SOURCES:-$work/TensorRT}
[ -d "$sources/python" ] ||
  git clone -q --depth 1 --branch 8.2.1 https://github.com/NVIDIA/TensorRT.git "$sources"
pybind=${PYBIND11:-}
if [ -z "$pybind" ]; then
  git clone -q --depth 1 --branch v2.6.2 https://github.com/pybind/pybind11.git "$work/pybind11"
  pybind=$work/pybind11/include
fi
read -r plain platform < <("$python" -c \
  'import sysconfig as s; print(s.get_path("include"), s.get_path("platinclude"))')

# The headers are the system's, so that the bindings are of what is installed.
mkdir -p "$work/system/parsers/onnx"
ln -s "$include" "$work/system/include"
ln -s "$include/NvOnnxParser.h" "$work/system/parsers/onnx/"
cmake -S "$sources/python" -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DTARGET="$target" \
  -DPYTHON_MAJOR_VERSION=3 -DPYTHON_MINOR_VERSION=8 \
  -DEXT_PATH="$work" -DPY_INCLUDE="$plain" -DPY_CONFIG_INCLUDE="$platform" -DPYBIND11_DIR="$pybind" \
  -DCUDA_INCLUDE_DIRS="$cuda/include" -DTENSORRT_ROOT="$work/system" -DTENSORRT_BUILD="$lib" >"$work/cmake.log" 2>&1 ||
  { cat "$work/cmake.log" >&2; fail "cmake failed"; }
# A Nano has four cores and memory for two compilers.
cmake --build "$work/build" -- -j"${JOBS:-2}"

full=$version.$(number BUILD)
(cd "$sources/python/packaging" && find . -type f) | while read -r file; do
  mkdir -p "$work/wheel/$(dirname "$file")"
  sed -e "s|##TENSORRT_VERSION##|$full|g" -e "s|##TENSORRT_MAJMINPATCH##|$version|g" \
    "$sources/python/packaging/$file" >"$work/wheel/$file"
done
cp "$work/build/tensorrt/tensorrt.so" "$work/wheel/tensorrt/"
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install -q "setuptools<70" wheel
(cd "$work/wheel" && "$work/venv/bin/python" setup.py -q bdist_wheel \
  --python-tag=cp38 --plat-name="linux_$target" --dist-dir "$out")

if [ -z "${NO_PACKAGES:-}" ]; then
  "$work/venv/bin/pip" install -q --no-deps "$out"/tensorrt-"$version"*.whl
  "$work/venv/bin/python" -c 'import tensorrt; print("bindings of TensorRT", tensorrt.__version__)'
fi
ls -l "$out"/*.whl
