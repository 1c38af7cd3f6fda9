# `make demo` and `make test` set up what they need; `make check` is the fast part for everyday use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VENV38 := .venv38
PYTHON38 ?= $(shell command -v "$$(ls -d $${PYENV_ROOT:-$$HOME/.pyenv}/versions/3.8.*/bin/python3.8 2>/dev/null | tail -1)" || command -v /usr/bin/python3.8)
DEVICE_ROOMS := core runtime pipelines dashboard deploy cli
DEVICE_TESTS := $(addprefix tests/,$(DEVICE_ROOMS)) $(wildcard tests/benchmarks/test_profile_*.py)
PYTEST_ARGS ?=
# Training and export are tested where torch is: make test TORCH=torch==2.13.0
TORCH ?=
OUT ?= runs/demo

.PHONY: demo test check lint test38 bench peers clean

# With nothing given, a rendered store whose truth is known; or your own video with your own detector.
demo: $(VENV)/.demo
ifeq ($(MODEL)$(VIDEO),)
	$(BIN)/edgelane demo --out "$(OUT)"
else
	@if [ -z "$(MODEL)" ] || [ -z "$(VIDEO)" ]; then \
	  echo "both are needed to count people in a video of yours:"; \
	  echo; \
	  echo "  make demo MODEL=yolox_nano.onnx VIDEO=door.mp4"; \
	  echo; \
	  echo "MODEL is a detector as ONNX that knows the class person. This downloads one:"; \
	  echo; \
	  echo "  $(BIN)/edgelane models get yolox-nano --out yolox_nano.onnx"; \
	  echo; \
	  echo "VIDEO is a file with people in it. A line is laid across the middle of the picture."; \
	  exit 2; \
	fi
	$(BIN)/edgelane run examples/demo.yaml --model "$(MODEL)" --source "$(VIDEO)" --out "$(OUT)" --overwrite
endif

# Everything that must hold, on this Python and, where there is one, on 3.8.
test: lint test38
	$(BIN)/python -m pytest -c tests/pytest.ini tests -n 2 $(PYTEST_ARGS)

check: lint
	$(BIN)/python -m pytest -c tests/pytest.ini tests -n 2 -m "not slow" -q $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/vermin -q -t=3.8- --no-tips --violations $(DEVICE_ROOMS) benchmarks/profile \
	  __init__.py __main__.py

test38:
	@if [ -x "$(PYTHON38)" ]; then \
	  $(MAKE) --no-print-directory $(VENV38)/.test && \
	  $(VENV38)/bin/python -m pytest -c tests/pytest.ini $(DEVICE_TESTS) -n 2 -q $(PYTEST_ARGS); \
	elif [ -n "$$CI" ]; then \
	  echo "Python 3.8 is missing, and the device rooms must pass on it"; exit 1; \
	else \
	  echo "no Python 3.8 here: the device rooms are tested on $(PYTHON) only"; \
	fi

$(VENV)/.python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10))" || \
	  { echo "edgelane's workstation side needs Python 3.10 or newer: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install -q -e ".[cpu]"
	touch $@

$(VENV)/.test: $(VENV)/.python pyproject.toml
	$(if $(TORCH),$(BIN)/python -m pip install -q "$(TORCH)")
	$(BIN)/python -m pip install -q -e ".[all]"
	touch $@ $(VENV)/.demo

$(VENV38)/.test: pyproject.toml
	"$(PYTHON38)" -m venv $(VENV38)
	$(VENV38)/bin/python -m pip install -q --upgrade pip
	$(VENV38)/bin/python -m pip install -q -e ".[cpu,deploy,test]"
	touch $@

# The quick ones of the measurements behind the README's figures; the others are named there.
BENCH = $(BIN)/python -m edgelane.benchmarks
bench: $(VENV)/.test
	$(BENCH).startup
	$(BENCH).nms
	$(BENCH).synth
	$(BENCH).pose_decoding
	$(BENCH).demo --seeds 3
	$(BENCH).estimator validate

# What the benchmarks measure edgelane against. norfair pins a rich that trackers refuses, and
# needs neither of them to track.
peers: $(VENV)/.test
	$(BIN)/python -m pip install -q -e ".[peers]"
	$(BIN)/python -m pip install -q --no-deps norfair==2.1.1

clean:
	rm -rf $(VENV) $(VENV38) build dist *.egg-info
