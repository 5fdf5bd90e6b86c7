# make book   builds the executable paper:  make book PROFILE=smoke DATA=path/to/file.npz N="100 1000" PRECISION=fp32
#             ONSET=1 also measures the onset of the denoising gap on your galaxies
#             CHAPTERS="05 08" executes only these chapters
#             RECOMPUTE=1 trains and measures everything; by default, published results in results/ are used where they are valid
# make check  generates samples from the published models, measures a part of the published rows, and retrains the smallest Glow
# make confirm  after an edit that is meant to change no number: compares with the published code, and records the new version
# make publish   trains and measures what a run lacks, and writes its measurements to results/<run>; no book
# make sweep  builds one book per N, the smallest first, and one of all N:  make sweep N="10 100 1000"
# make pdf    prints that book as build/<run>/book.pdf with Chromium or Chrome; takes the same variables
# make linkcheck   checks the external links of that book
# make test   runs the tests that need no browser; about six minutes on two idle cores
# make test-browser   runs the tests of the book and of the explorer in JupyterLab; skipped without Chromium
# make power  size and power of the tests of the scoreboard, into results/power.json; half an hour
# make bench  compares training steps, sampling, search, ... with public packages, into results/bench.json; half an hour
# make lab    opens the explorer and the chapters in JupyterLab
# make install  installs the environment only
# All targets need Python 3.11 to 3.13, git and make; everything else is installed into .venv once.

PYTHON ?= python3
PROFILE ?= laptop
DATA ?= simulated
N ?=
SEED ?= 0
PRECISION ?= auto
ONSET ?=
CHAPTERS ?=
RECOMPUTE ?=
CORES ?= 2
TESTS ?=

# Values are passed unchanged through the environment: neither make nor a shell expands them.
$(foreach name,PROFILE DATA N SEED PRECISION ONSET CHAPTERS RECOMPUTE CORES,$(eval override export $(name) := $$(value $(name))))

BIN := .venv/bin
READY := .venv/.ready

.PHONY: install installed book sweep pdf linkcheck check publish test test-browser confirm power bench lab lock clean

MAKE_BOOK = $(BIN)/python -m snakemake $@ -s workflow/Snakefile --workflow-profile workflow/profiles/local --cores "$$CORES"

install: $(READY)

book sweep pdf linkcheck check publish: $(READY)
	@$(MAKE_BOOK)

confirm: $(READY)
	$(BIN)/python -m galbook.build confirm

test: $(READY)
	$(BIN)/python -m pytest -n "$$CORES" --dist loadgroup --no-loadscope-reorder $(TESTS)

test-browser: $(READY)
	$(BIN)/python -m pytest -m 'browser and not slow' $(TESTS)

power: $(READY)
	$(BIN)/python benchmarks/power.py --profile "$$PROFILE" --data "$$DATA"

bench: $(READY) .venv/peers
	PYTHONPATH=.venv/peers $(BIN)/python benchmarks/bench.py --out results/bench.json

.venv/peers: benchmarks/peers.txt
	$(BIN)/pip install --disable-pip-version-check --no-deps --upgrade --target $@ -r $<
	@touch $@

lab: $(READY)
	$(BIN)/jupyter lab notebooks/explore.ipynb

# The Python version is checked first, for a clear error message.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
		"Python %d.%d is not supported: 3.11 to 3.13 are, as in make PYTHON=python3.12" % v)'
	@$(PYTHON) -c 'import fcntl, os, sys; file = os.open("requirements.lock", os.O_RDONLY); \
		fcntl.flock(file, fcntl.LOCK_EX); os.set_inheritable(file, True); os.execvp(sys.argv[1], sys.argv[1:])' \
		$(MAKE) --no-print-directory installed

# Under a lock on that file: of two concurrent installs in one clone, the second waits and has nothing to do.
installed:
	@test $(READY) -nt requirements.lock -a $(READY) -nt pyproject.toml || { set -ex; \
		$(PYTHON) -m venv .venv; \
		$(BIN)/pip install --disable-pip-version-check -r requirements.lock; \
		$(BIN)/pip install --disable-pip-version-check --no-deps -e .; \
		touch $(READY); }

# One resolution for all platforms and Pythons. Packages that torch's Linux wheel pins are left out.
lock: $(READY)
	$(PYTHON) -m venv .venv/uv
	.venv/uv/bin/pip install --quiet "uv>=0.9,<1"
	@{ printf '%s\n' \
		"# Every package at one version, for Python 3.11 to 3.13 on Linux, macOS and Windows; made by 'make lock'." \
		"# The CUDA companions of torch (nvidia-*, cuda-*, triton) are left out: its Linux wheel pins them itself, and" \
		"# its CPU wheel does without. No hashes, because the wheels of torch differ by platform and by source."; \
	.venv/uv/bin/uv pip compile pyproject.toml --extra book --group dev --universal --python-version 3.11 \
		--no-annotate --no-header --quiet | grep -vE '^(nvidia-|cuda-|triton)'; } > .venv/requirements.lock
	mv .venv/requirements.lock requirements.lock

# Removes books but not the run store, which is expensive to recompute.
clean:
	rm -rf build .snakemake
