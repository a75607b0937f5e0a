# Two words: `make train`, `make test`. Everything is installed into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A file stays with one worker, which then compiles what its tests share once.
WORKERS ?= 2

.PHONY: train test test-full test-other-processor test-parity check setup clean

train: setup
	$(BIN)/python -m experiments.train

test: setup check
	$(BIN)/python -m pytest -n $(WORKERS) --dist=loadfile -m "not full" --durations=10

test-full: setup check $(VENV)/parity
	$(BIN)/python -m pytest -n $(WORKERS) --dist=loadfile --durations=20
	$(MAKE) test-other-processor

# The tests of every commit, rounded as an older processor with one core rounds: by default one of
# 2008. ISA=AVX, AVX2 or AVX512 names another, no newer than the one at hand.
ISA ?= SSE4_2
CORE_SSE4_2 := Nehalem
CORE_AVX := Sandybridge
CORE_AVX2 := Haswell
CORE_AVX512 := SkylakeX

test-other-processor: setup
	$(if $(CORE_$(ISA)),,$(error ISA=$(ISA): valid are SSE4_2, AVX, AVX2, AVX512))
	XLA_FLAGS="--xla_cpu_max_isa=$(ISA) --xla_cpu_multi_thread_eigen=false" OMP_NUM_THREADS=1 \
	OPENBLAS_NUM_THREADS=1 OPENBLAS_CORETYPE=$(CORE_$(ISA)) \
	$(BIN)/python -m pytest -n $(WORKERS) --dist=loadfile -m "not full"

# Beside the implementations of other projects.
test-parity: setup $(VENV)/parity
	$(BIN)/python -m pytest -n $(WORKERS) --dist=loadfile tests/parity

# torchvision would ask for one certain PyTorch, and a build of it for CPU is enough.
$(VENV)/parity: requirements-parity.txt $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-parity.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps "torchvision>=0.21" "timm>=1.0"
	touch $@

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

setup: $(VENV)/installed

$(VENV)/installed: requirements.txt constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -c constraints.txt
	touch $@

clean:
	rm -rf $(VENV) .cache
