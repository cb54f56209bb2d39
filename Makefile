# Needs Python 3.11-3.13, make and a package index; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
PROJECTS := pyproject.toml $(wildcard packages/*/pyproject.toml)
PACKAGES := $(patsubst %/pyproject.toml,--editable %,$(wildcard packages/*/pyproject.toml))
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock

.PHONY: quickstart test fuzz lint bench small-world coverage guard-demo picture real-tables lock clean

quickstart: .venv/quickstart.done
	$(BIN)/outfield quickstart

test: .venv/dev.done
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# ten thousand hostile study files, tables, pictures, archives and stored files; the suite tries two hundred of each
fuzz: .venv/dev.done
	OUTFIELD_FUZZ=10000 $(BIN)/python -m pytest -n 2 tests/properties $(ARGS)

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(wildcard src packages/*/src)

# make bench lists the benchmarks, make bench NAME=metrics runs one; NAME=peers installs its peer first
bench: .venv/dev.done $(if $(filter peers,$(NAME)),.venv/peers.done)
	@$(if $(NAME),$(BIN)/python benchmarks/$(NAME).py $(ARGS),ls benchmarks | sed -n 's/^\([^_].*\)\.py$$/\1/p')

# every detector's AUROC on a small frozen world; --write renews the table that the tests compare with
small-world: .venv/dev.done
	$(BIN)/python benchmarks/small_world.py $(ARGS)

# measured coverage of every interval and size of every test
coverage: .venv/dev.done
	$(BIN)/python -m benchmarks.coverage $(ARGS)

# a guard from a model to its alarm, with a real service: results/guard_demo/report.html
guard-demo: .venv/dev.done
	$(BIN)/python benchmarks/guard_demo.py $(ARGS)

# pip fetches torch, the one package for which people configure an own build; uv everything else
$(BIN)/uv: requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv "$$(grep '^torch==' requirements.lock)"
	touch $(BIN)/uv

.venv/quickstart.done: $(BIN)/uv $(PROJECTS)
	$(INSTALL) --editable . $(PACKAGES)
	touch $@

.venv/dev.done: $(BIN)/uv $(PROJECTS)
	$(INSTALL) --editable '.[dev]' $(PACKAGES)
	touch $@ .venv/quickstart.done

# the peer alone: the torchvision that it asks for may not fit this torch, and would keep transformers from working
.venv/peers.done: .venv/dev.done
	$(INSTALL) --no-deps "$$(sed -n 's/^peers = \["\(.*\)"\]/\1/p' pyproject.toml)"
	touch $@

# the pictures of the README and of docs/dashboard.md; needs Chromium
picture: .venv/dev.done
	$(BIN)/outfield report digits
	$(BIN)/python docs/picture.py results/digits

# docs/real-tables.md and its pictures, from the extracts; ARGS=FOLDER reads the published files
real-tables: .venv/dev.done
	$(BIN)/python docs/real_tables.py $(ARGS)

# the packages that torch brings for one platform's accelerators are left to torch
lock: $(BIN)/uv
	$(BIN)/uv pip compile --quiet $(PROJECTS) --extra dev --extra ray --extra serve --no-header --no-annotate \
		--no-emit-index-url --no-emit-package outfield | grep -vE '^(nvidia-|cuda-|triton)' > lock.new
	(echo "# Versions that the tests pass with (constraints, not requirements). To renew: make lock"; cat lock.new) \
		> requirements.lock && rm lock.new

clean:
	rm -rf .venv results
