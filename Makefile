# Everything a checkout needs is in .venv, which `make demo` and `make test` set up by themselves.
# Another Python: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready

.PHONY: demo test campaign lint types docs bench-gpu clean

demo: $(READY)
	rm -f out.mp4
	$(VENV)/bin/vidstyle sample_media/clip.mp4 sample_media/style.jpg -o out.mp4

test: $(READY)
	$(VENV)/bin/python -m pytest

# Everything that may happen to a job, at length.
campaign: $(READY)
	$(VENV)/bin/python -m tests.faults

lint: $(READY)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(READY)
	$(VENV)/bin/mypy

# The site, into site/; a link that leads nowhere, or a page that the menu lacks, is an error.
docs: $(READY)
	$(VENV)/bin/mkdocs build --strict

bench-gpu: $(READY)
	$(VENV)/bin/python -m benchmarks.gpu

clean:
	rm -rf $(VENV) out.mp4 out.mp4.vidstyle site

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "vidstyle needs Python 3.11 or newer, and $(PYTHON) is older or missing; try: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --constraint constraints.txt --editable '.[dev]'
	@touch $@
