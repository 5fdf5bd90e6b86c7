# make book   the executable paper, rendered:  make book PROFILE=smoke DATA=path/to/file.npz N="100 1000" PRECISION=fp32
#             ONSET=1 also asks of your own galaxies how long it takes until they are copied
#             CHAPTERS="05 08" makes these and binds the others as they are
#             RECOMPUTE=1 trains and computes all of it here; without, what is published in results/ is used where it is still true
# make check  draws from the published models again, measures a part of the published rows, and trains the smallest Glow again
# make publish   writes the measurements of a finished book into results/<run>
# make sweep  a book for each N, the smallest first, and one for all of them:  make sweep N="10 100 1000"
# make pdf    that book as build/<run>/book.pdf, printed by a Chromium or Chrome; takes the same variables
# make linkcheck   asks the web whether the links that leave that book lead somewhere
# make test   the tests that need no browser, some six minutes of two quiet cores
# make test-browser   the others, of the book and of the explorer in JupyterLab; they skip where there is no chromium
# make power  size and power of the tests of the scoreboard, into results/power.json; half an hour, seldom needed
# make bench  each training step, sampling, search, ... beside public peers, into results/bench.json; half an hour
# make lab    the explorer and the chapters, live, in JupyterLab
# make install  what these begin with, alone
# All need Python 3.11 to 3.13, git and make, and install the rest into .venv once.

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

# What is given goes on as it is, through the environment: neither make nor a shell reads it.
$(foreach name,PROFILE DATA N SEED PRECISION ONSET CHAPTERS RECOMPUTE CORES,$(eval override export $(name) := $$(value $(name))))

BIN := .venv/bin
READY := .venv/.ready

.PHONY: install installed book sweep pdf linkcheck check publish test test-browser power bench lab lock clean

MAKE_BOOK = $(BIN)/python -m snakemake $@ -s workflow/Snakefile --workflow-profile workflow/profiles/local --cores "$$CORES"

install: $(READY)

book sweep pdf linkcheck check publish: $(READY)
	@$(MAKE_BOOK)

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

# Python is checked first: an install that fails half-way through says less.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit( \
		"Python %d.%d is not supported: 3.11 to 3.13 are, as in make PYTHON=python3.12" % v)'
	@$(PYTHON) -c 'import fcntl, os, sys; file = os.open("requirements.lock", os.O_RDONLY); \
		fcntl.flock(file, fcntl.LOCK_EX); os.set_inheritable(file, True); os.execvp(sys.argv[1], sys.argv[1:])' \
		$(MAKE) --no-print-directory installed

# Under a lock on that file: of two that begin at once, in one clone, the second waits and finds all done.
installed:
	@test $(READY) -nt requirements.lock -a $(READY) -nt pyproject.toml || { set -ex; \
		$(PYTHON) -m venv .venv; \
		$(BIN)/pip install --disable-pip-version-check -r requirements.lock; \
		$(BIN)/pip install --disable-pip-version-check --no-deps -e .; \
		touch $(READY); }

# One resolution for every platform and Python. What torch's wheel for Linux pins itself is left to it.
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

# The books, not the results: what was expensive stays in store/.
clean:
	rm -rf build .snakemake
