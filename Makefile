# Every target works on a fresh machine: .venv is made and filled when it is missing or outdated.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUNS := runs/quickstart
# One thread a core that this process may use; more would only get in each other's way.
export TOKENIZERS_PARALLELISM := false

.PHONY: quickstart install test test-browser test-real test-oldest check format wheel audit docs fuzz
.PHONY: test-readers test-lm-eval test-trackers
.PHONY: prove-ablations prove-faults prove-ranks prove-scaffolds install-locked lock clean

install: $(VENV)/.installed-dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# On Linux torch brings gigabytes of CUDA packages. Without a GPU: README, Install.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# DPO, TGDPO on induced and TGDPO on exact token rewards, each at four betas; then one table. The
# best beta of each is chosen on the prompts of `selection` and reported on those of `test`. One
# thread a run: the numbers do not depend on how many cores there are.
quickstart: $(VENV)/.installed
	$(BIN)/tgdpo ablate --config playground-quickstart --output-dir $(RUNS) --cpus-per-cell 1
	OMP_NUM_THREADS=1 $(BIN)/tgdpo evaluate playground $(RUNS)/cells/*/seed-0 --dataset playground \
	    --judge verifier --greedy --samples 2 --max-new-tokens 32 --batch-size 900 \
	    --choose-split selection --best-of 'dpo,*' --best-of 'induced,*' --best-of 'oracle,*'

# The packages of 8 and 4 bits lie apart: beside the others they would cost every process that
# imports transformers more than a second.
$(VENV)/.installed-quantized: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --upgrade \
	    --target $(VENV)/quantized bitsandbytes torchao
	touch $@

test: $(VENV)/.installed-quantized
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal
	PYTHONPATH=$(VENV)/quantized $(BIN)/python -c "import bitsandbytes, torchao"
	PYTHONPATH=$(VENV)/quantized $(BIN)/python -m pytest tests/core/training/test_low_bit_adamw.py \
	    tests/core/models/test_four_bits.py

# Run pages and the token browser in a real browser: make test-browser CHROMIUM=PROGRAM.
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
test-browser: $(VENV)/.installed-dev
	@test -x "$(CHROMIUM)" || { echo "make test-browser CHROMIUM=PROGRAM: a Chromium or Chrome"; exit 2; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt playwright
	TGDPO_CHROMIUM="$(CHROMIUM)" $(BIN)/python -m pytest tests/browser

# The tests on a real chat model: make test-real SMOLLM2=FOLDER, a folder of SmolLM2-135M-Instruct.
test-real: $(VENV)/.installed-dev
	@test -f "$(SMOLLM2)/config.json" || \
	    { echo "make test-real SMOLLM2=FOLDER: a folder of HuggingFaceTB/SmolLM2-135M-Instruct"; exit 2; }
	TGDPO_SMOLLM2="$(abspath $(SMOLLM2))" $(BIN)/python -m pytest -m slow tests/core/models

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Like install, but every package has one of the hashes of constraints.lock; torch comes by its
# version, because its CPU and CUDA builds have hashes of their own.
install-locked: | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps --requirement constraints.lock
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .

# Write constraints.lock anew, after a change of constraints.txt.
lock:
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/python -m pip install --quiet uv==0.13.9
	head -3 constraints.lock > .venv/lock/constraints.lock
	grep -v '^torch==' constraints.txt | .venv/lock/bin/uv pip compile --no-deps --generate-hashes \
	    --no-header --no-annotate --quiet --python-version 3.11.5 - >> .venv/lock/constraints.lock
	mv .venv/lock/constraints.lock constraints.lock

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(VENV)/.installed-dev
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist .
	$(BIN)/check-wheel-contents dist

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

# The documentation site, into build/site: broken links and anchors are errors, and so is a page that
# would ask another host for anything. Only the built-in plugins are shown.
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 TGDPO_LOAD_PLUGINS= TGDPO_STORE=build/docs-store $(BIN)/python -m mkdocs build --strict
	$(BIN)/python docs/_site/check_site.py build/site

clean:
	rm -rf $(VENV) dist build runs

# Random rows, recipes, checkpoints and stores: 10,000 of each (CI runs at most 500, always the same).
fuzz: $(VENV)/.installed-dev
	TGDPO_FUZZ=$${TGDPO_FUZZ:-10000} $(BIN)/python -m pytest tests/faults/fuzz tests/core/data/test_random_rows.py

# Known vulnerabilities of the pinned packages; needs the network, installs nothing beside pip-audit.
# strict: a package that could not be looked up is a failure, not a pass.
audit:
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet pip-audit==2.10.1
	.venv/audit/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip

# Packages that `tgdpo plugins new` starts: strict types, and the first command of each README.
prove-scaffolds: $(VENV)/.installed-dev
	TGDPO_PROVE_SCAFFOLDS=1 $(BIN)/python -m pytest tests/cli/test_scaffolds_in_full.py

# The trackers that are too heavy for dev, in an environment of their own; nothing leaves the machine.
# They are not in constraints.txt: they ask for older versions of what the others use.
TRACKERS := .venv/trackers
test-trackers:
	$(PYTHON) -m venv $(TRACKERS)
	$(TRACKERS)/bin/python -m pip install --quiet --constraint constraints.txt torch
	$(TRACKERS)/bin/python -m pip install --quiet --editable '.[tensorboard,wandb,trackio,mlflow]' \
	    pytest pytest-timeout
	$(TRACKERS)/bin/python -m pytest tests/core/tracking

# The quick form of every shipped ablation, whole: all its cells and epochs.
prove-ablations: $(VENV)/.installed-dev
	TGDPO_PROVE_ABLATIONS=1 $(BIN)/python -m pytest --numprocesses auto tests/cli/test_shipped_ablations.py

# Runs and stores killed at points of their writes, damaged checkpoints: resumed, compared bit for bit.
prove-faults: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.prove_faults

# 2 and 4 processes equal one: data parallelism and FSDP2, full and LoRA, one killed and resumed.
prove-ranks: $(VENV)/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.prove_ranks

# Engine, training and scoring on the oldest transformers that is allowed, in an environment of its
# own; torch is the tested one, for a second torch would be another download of a gigabyte.
OLDEST := .venv/oldest
test-oldest:
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --constraint constraints-oldest.txt --editable . \
	    hypothesis peft pytest pytest-timeout pytest-xdist
	$(OLDEST)/bin/python -m pytest --numprocesses auto tests/core/engine tests/core/training \
	    tests/core/scoring --ignore tests/core/training/test_equals_trl.py  # TRL needs newer ones

# Exports of 20 answers, taken by the packages of AlpacaEval and FastChat; win rates equal to theirs. In an
# environment of its own, for the packages are older than ours.
READERS := .venv/readers
test-readers:
	$(PYTHON) -m venv $(READERS)
	$(READERS)/bin/python -m pip install --quiet --constraint constraints.txt \
	    --editable '.[benchmarks-readers]' pytest pytest-timeout
	$(READERS)/bin/python -m pytest tests/readers

# Tasks of lm-evaluation-harness on local data and a tiny model; in an environment of its own.
HARNESS := .venv/lm-eval
test-lm-eval:
	$(PYTHON) -m venv $(HARNESS)
	$(HARNESS)/bin/python -m pip install --quiet --constraint constraints.txt \
	    --editable '.[lm-eval]' lm-eval==0.4.13 peft pytest pytest-timeout
	HF_HUB_OFFLINE=1 $(HARNESS)/bin/python -m pytest tests/harness
