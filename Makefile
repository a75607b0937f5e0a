# Two words: `make train`, `make test`. Everything is installed into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: train test test-full test-parity check setup clean

train: setup
	$(BIN)/python -m experiments.train

test: setup check
	$(BIN)/python -m pytest -n $(WORKERS) -m "not full" --durations=10

test-full: setup check $(VENV)/parity
	$(BIN)/python -m pytest -n $(WORKERS) --durations=20

# Beside the implementations of other projects.
test-parity: setup $(VENV)/parity
	$(BIN)/python -m pytest -n $(WORKERS) tests/parity

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
