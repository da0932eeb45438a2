# `make demo` and `make test` do all their set-up themselves; they need Python ≥ 3.11 and git.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := setup.cfg pyproject.toml constraints.txt
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Containers often switch the keeping of compiled modules off; then every process compiles all of them anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test drills lint format bench texts schema clean

help:
	@echo "make demo     try it out: the provider and a demo portal, with ready accounts"
	@echo "make test     every check and every test"
	@echo "make drills   the failures alone: killed workers, a lost database, a restart"
	@echo "make lint     ruff, mypy and the layer rule alone"
	@echo "make format   put the code in its usual form"
	@echo "make bench    CPU time per operation, on a PostgreSQL of its own"
	@echo "make schema   write the JSON Schema of clients.yaml anew, after a change of its fields"
	@echo "make texts    collect the pages' texts for translation and compile the catalogues"

demo: $(VENV)/.run
	@exec $(BIN)/idp demo

test: lint $(VENV)/.system
	$(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder --durations=25

drills: $(VENV)/.test $(VENV)/.system
	$(BIN)/pytest -m drills tests/drills

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test $(VENV)/.system
	$(BIN)/python -m bench $(BENCH)

TEXTS := idp/translations
texts: $(VENV)/.test
	$(BIN)/pybabel -q extract -F $(TEXTS)/babel.cfg -k lazy_gettext -k lazy_ngettext:1,2 --no-location --no-wrap \
	    --sort-output --project=leasify-idp --version=1 --copyright-holder=Leasify \
	    --header-comment="# Texts of the identity provider. The originals are Swedish." -o $(TEXTS)/messages.pot idp
	$(BIN)/pybabel -q update -i $(TEXTS)/messages.pot -d $(TEXTS) -l en --no-wrap --no-fuzzy-matching --ignore-obsolete
	$(BIN)/pybabel compile -d $(TEXTS) --statistics

schema: $(VENV)/.run
	$(BIN)/idp clients schema > idp/oidc/clients/clients.schema.json

clean:
	rm -rf $(VENV) var build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# What each command needs is installed once, and again when the lists of packages change.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); sh .ci/system-packages python3-venv && $(PYTHON) -m venv $(VENV); }

$(VENV)/.run: $(BIN)/python $(PACKAGES)
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.test: $(BIN)/python $(PACKAGES)
	$(BIN)/pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/.run

$(VENV)/.system: .ci/system-packages
	@sh .ci/system-packages chromium postgresql redis-server apache2-bin libapache2-mod-auth-openidc
	@touch $@
