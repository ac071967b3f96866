# Everything installs into .venv by itself: with uv where it is there, else with venv and pip.
PYTHON ?= python3
OUT ?= out/demo
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test lint bench docs clean

demo: $(STAMP)
	$(BIN)/conspectus demo --out $(OUT)

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)
	$(BIN)/python benchmarks/fusion/resample.py
	$(BIN)/python benchmarks/fusion/shares.py
	$(BIN)/python benchmarks/fusion/positions.py
	$(BIN)/python benchmarks/fusion/regions.py
	$(BIN)/python benchmarks/fusion/blocks.py
	$(BIN)/python benchmarks/fusion/larger.py
	$(BIN)/python benchmarks/fusion/low_rank.py
	$(BIN)/python benchmarks/conspectus/startup.py
	$(BIN)/python benchmarks/spectra/decompose.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/spectra/elements.py
	$(BIN)/python benchmarks/spectra/intervals.py
	$(BIN)/python benchmarks/spectra/line_weights.py
	$(BIN)/python benchmarks/spectra/rank.py
	$(BIN)/python benchmarks/fusion/correlation.py
	$(BIN)/python benchmarks/fusion/colocalisation.py
	$(BIN)/python benchmarks/volumes/tomography.py
	$(BIN)/python benchmarks/volumes/alignment.py --needle
	$(BIN)/python benchmarks/spectra/phase_spectra.py
	$(BIN)/python benchmarks/volumes/segmentation.py
	$(BIN)/python benchmarks/volumes/particles.py --many
	$(BIN)/python benchmarks/volumes/page.py
	$(BIN)/python benchmarks/fusion/landmarks.py
	$(BIN)/python benchmarks/fusion/warps.py
	$(BIN)/python benchmarks/fusion/images.py
	$(BIN)/python benchmarks/fusion/sections.py
	$(BIN)/python benchmarks/fusion/ties.py
	$(BIN)/python benchmarks/fusion/refinement.py
	$(BIN)/python benchmarks/fusion/warp_resampling.py
	$(BIN)/python benchmarks/fusion/points.py
	$(BIN)/python benchmarks/conspectus/sandbox.py
	$(BIN)/python benchmarks/conspectus/mutations.py

docs: $(STAMP)
	$(BIN)/python docs/site/build.py

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; ok = (3, 11) <= sys.version_info < (3, 14); sys.exit(0 if ok else "conspectus needs Python 3.11 to 3.13, this is " + sys.version.split()[0] + "; name another one: make PYTHON=python3.12")'
	@echo "Installing into .venv; this takes a minute or two."
	@if command -v uv >/dev/null 2>&1; then \
	  uv venv --quiet --allow-existing --python $(PYTHON) .venv && \
	  uv pip install --quiet --python .venv --constraint requirements.lock --editable '.[dev,docs]'; \
	else \
	  $(PYTHON) -m venv .venv && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock --editable '.[dev,docs]'; \
	fi
	@touch $(STAMP)

clean:
	rm -rf .venv out build dist
