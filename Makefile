# Two commands set everything up on a machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Not compiled: of what is installed a fifth is ever imported, and Python compiles that when it first is; for the
# commands that is at the end of the installation.
INSTALL = $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt

# Where it is set, each of the many processes that commands and tests start would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo dev serve test verify mutants audit accuracy clean

demo: $(VENV)/.installed
	@$(BIN)/spendsense demo

dev: $(VENV)/.installed
	@$(BIN)/python -m spendsense_pipeline.defs.launch

# The service on the same data, with links that log you in once; PORT=8000.
serve: $(VENV)/.installed
	@$(BIN)/spendsense serve

# A worker more than cores: a third of the time tests wait for a process, a browser or a clock.
test: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --num-workers auto
	$(BIN)/pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1))

# The long proofs: thousands of random histories, hundreds of races, whole datasets.
verify: $(VENV)/.installed-test
	$(BIN)/pytest -m verify

# What a change of the signals' code would have to break to go unnoticed; ONLY="*streams*" looks at one file.
# mutmut leaves decorated functions alone, and in plain Python the kernels' decorators change nothing: the copy has none.
mutants: $(VENV)/.installed-test
	@$(INSTALL) -e '.[mutants]'
	rm -rf .mutants && mkdir .mutants
	cp -R pyproject.toml README.md spendsense_pipeline spendsense_pipeline_tests .mutants
	sed -i.decorated -E '/^ *@(jit|kernel)$$/d' .mutants/spendsense_pipeline/features/*.py
	cd .mutants && ../$(BIN)/mutmut run $(ONLY); ../$(BIN)/mutmut results

# Known weaknesses of the pinned versions; asks a database of them over the network.
audit: $(VENV)/.installed-test
	@$(INSTALL) pip-audit
	$(BIN)/pip-audit --no-deps --disable-pip -r constraints.txt

# BANK=folder adds a bank's own standing orders (a landed batch with standing_orders.json in it).
accuracy: $(VENV)/.installed
	$(BIN)/python -m benchmarks.accuracy --write docs/accuracy.md $(if $(BANK),--bank $(BANK))

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "SpendSense needs Python 3.11 or later; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (a minute or two, once) ..."
	@$(INSTALL) -e '.[service]'
	@$(BIN)/python -c 'import spendsense_pipeline.demo'
	@$(BIN)/spendsense compile --no-kernels >/dev/null
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) with what the tests need (a minute or two, once) ..."
	@$(INSTALL) -e '.[test]'
	@touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV)
