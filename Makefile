# Needs Python 3.11-3.13, make and a package index; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint requirements.lock

.PHONY: quickstart test lint bench clean

quickstart: .venv/quickstart.done
	$(BIN)/outfield quickstart

test: .venv/dev.done
	$(BIN)/python -m pytest -n 2

lint: .venv/dev.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# make bench lists the benchmarks, make bench NAME=metrics runs one
bench: .venv/dev.done
	@$(if $(NAME),$(BIN)/python benchmarks/$(NAME).py $(ARGS),ls benchmarks | sed -n 's/\.py$$//p')

# pip fetches torch, the one package for which people configure an own build; uv everything else
$(BIN)/uv: requirements.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv "$$(grep '^torch==' requirements.lock)"
	touch $(BIN)/uv

.venv/quickstart.done: $(BIN)/uv pyproject.toml
	$(INSTALL) --editable .
	touch $@

.venv/dev.done: $(BIN)/uv pyproject.toml
	$(INSTALL) --editable '.[dev]'
	touch $@ .venv/quickstart.done

clean:
	rm -rf .venv results
