# Needs Python 3.11 or newer with pip and venv, and make; everything else is installed
# into $(VENV). Stamp files there remember what was installed from which files.

PYTHON ?= python3
VENV ?= .venv
VENV_VLLM := .venv-vllm
VENV_STUDIO := .venv-studio
VENV_FIDELITY := .venv-fidelity
VENV_IFEVAL := .venv-ifeval
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
METADATA := pyproject.toml constraints.txt $(wildcard integrations/*/pyproject.toml)
INTEGRATIONS := -e integrations/babyai -e integrations/mini_models
ENVIRONMENTS := -e integrations/alfworld -e integrations/maze -e integrations/pddl \
  -e integrations/scienceworld -e integrations/tools -e integrations/webshop
EXTRAS := agent,bm25,ifeval,openai,proxy,ray,reward-agent,sandbox,served,sqlite,train
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest

# One core for the small models: more threads cost more than they give.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-installs test-kills test-ray test-serve test-slow test-soak test-studio test-vllm lint fix typing pytest evidence reproduce fidelity ifeval-parity bench bench-surfaces bench-scoring bench-environments bench-reward-agent bench-sandbox bench-targets bench-tokens bench-trees bench-verifiers ablations docs clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | \
	  awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; run: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: $(BIN)/python $(METADATA)
	$(PIP) -e '.[local]' $(INTEGRATIONS)
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python $(METADATA)
	$(PIP) --upgrade 'pip>=25.1'  # the first that knows --group
	$(PIP) -e '.[$(EXTRAS)]' $(INTEGRATIONS) $(ENVIRONMENTS) --group dev
	$(PIP) --no-deps -e integrations/jericho  # its engine wants a compiler; tests skip
	@touch $@ $(VENV)/.installed-demo

demo: $(VENV)/.installed-demo  ## Search a task live with the embedded models
	@$(BIN)/agentrm demo $(ARGS)

test: lint typing pytest  ## Lint, types and all tests but the marked ones

lint: $(VENV)/.installed-dev  ## Lint and format check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typing: $(VENV)/.installed-dev  ## Static types
	$(BIN)/mypy

pytest: $(VENV)/.installed-dev  ## The tests alone, WORKERS=2 at once
	$(PYTEST) tests integrations -n $(WORKERS) --dist loadfile $(ARGS)

test-installs: $(VENV)/.installed-dev  ## Each environment from one pip command
	$(PYTEST) tests/installs -m installs -rs $(ARGS)

test-kills: $(VENV)/.installed-dev  ## Searches and every stage killed at random moments
	$(PYTEST) tests/faults/test_fifty_kills.py tests/faults/test_stages.py -m "kills or not kills" $(ARGS)

test-ray: $(VENV)/.installed-dev  ## A Ray cluster of several nodes, one of them killed
	$(PYTEST) tests/ray -m ray -rs $(ARGS)

test-serve: $(VENV)/.installed-dev  ## Parity with a model server in another process
	$(PYTEST) tests integrations -m serve $(ARGS)

test-soak: $(VENV)/.installed-dev  ## 5,000 requests to the proxy, with faults
	$(PYTEST) tests/serving -m soak $(ARGS)

test-studio: $(VENV)/.installed-dev  ## The example graphs under `langgraph dev`
	@test -x $(VENV_STUDIO)/bin/langgraph || { $(PYTHON) -m venv $(VENV_STUDIO) && \
	  $(VENV_STUDIO)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[agent,openai]' 'langgraph-cli[inmem]>=0.4'; }
	LANGGRAPH_CLI=$(CURDIR)/$(VENV_STUDIO)/bin/langgraph \
	  $(PYTEST) tests/examples/test_studio.py $(ARGS)

# Where it cannot be installed the tests are skipped with the reason; 3 says so.
test-vllm: $(VENV)/.installed-dev  ## A real vLLM, in an environment of its own
	@PYTHON=$(PYTHON) tests/vllm/install.sh $(VENV_VLLM) || [ $$? -eq 3 ]
	$(PYTEST) tests/vllm -m vllm -rs $(ARGS)

test-slow: $(VENV)/.installed-dev  ## Tests that take their time, such as a compiler's
	$(PYTEST) tests integrations -m slow $(ARGS)

fix: $(VENV)/.installed-dev  ## Format, and fix what can be fixed by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev  ## Cost of a search step beside plain LangChain
	$(BIN)/python benchmarks/step_latency.py --out docs/data/step_latency.json $(ARGS)

bench-surfaces: $(VENV)/.installed-dev  ## Cost of middleware, chat model and proxy
	$(BIN)/python benchmarks/surfaces.py --out docs/data/surfaces.json $(ARGS)

bench-scoring: $(VENV)/.installed-dev  ## Cost of scoring texts that begin alike
	$(BIN)/python benchmarks/prefix_scoring.py --out docs/data/prefix_scoring.json $(ARGS)

bench-verifiers: $(VENV)/.installed-dev  ## What RewardAgent's checks change
	$(BIN)/python benchmarks/verifiers.py babyai $(ARGS)
	$(BIN)/python benchmarks/verifiers.py maze $(ARGS)

bench-reward-agent: $(VENV)/.installed-dev  ## Rules alone on preference benchmarks
	$(BIN)/python benchmarks/reward_agent.py $(ARGS)

bench-trees: $(VENV)/.installed-dev  ## What merging and caching save in trees
	$(BIN)/python benchmarks/trees.py --out docs/data/trees.json $(ARGS)

bench-targets: $(VENV)/.installed-dev  ## Value targets beside the mean; after reproduce
	$(BIN)/python benchmarks/targets.py $(ARGS)

bench-tokens: $(VENV)/.installed-dev  ## Tokens of a paper-sized tree
	$(BIN)/python -m benchmarks.tree_tokens $(ARGS)

bench-sandbox: $(VENV)/.installed-dev  ## Where model-written checkers run, and at what cost
	$(BIN)/python benchmarks/sandbox.py --out docs/data/sandbox.json \
	  --answers ../shared/data/thu-ifbench/data.converted.json $(ARGS)

bench-environments: $(VENV)/.installed-dev  ## Speed, forks and experts of environments
	$(BIN)/python benchmarks/environments.py --out docs $(ARGS)

# TextWorld is compiled at its installation, which takes minutes.
fidelity: $(VENV)/.installed-dev  ## Environments beside their official engines
	@test -x $(VENV_FIDELITY)/bin/python || { $(PYTHON) -m venv $(VENV_FIDELITY) && \
	  $(VENV_FIDELITY)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e . -e 'integrations/alfworld[textworld]' \
	  -e integrations/pddl 'pddlgym==0.0.7'; }
	$(BIN)/python benchmarks/fidelity.py --engines $(VENV_FIDELITY)/bin/python $(ARGS)

# lm-eval's verifiers need little of what lm-eval needs. Punkt's English model is in the
# wheel of llama-index-core (MIT); of the model itself, NLTK's notes name its makers and
# the Wall Street Journal part of the Penn Treebank, but no licence: it is not ours to
# pass on, only to compare with.
$(VENV_IFEVAL)/.installed: $(METADATA)
	test -x $(VENV_IFEVAL)/bin/python || $(PYTHON) -m venv $(VENV_IFEVAL)
	$(VENV_IFEVAL)/bin/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[ifeval]' 'immutabledict==4.3.1'
	$(VENV_IFEVAL)/bin/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps 'lm-eval==0.4.13'
	$(VENV_IFEVAL)/bin/python -m pip download --quiet --disable-pip-version-check \
	  --no-deps --only-binary :all: --dest $(VENV_IFEVAL)/punkt 'llama-index-core==0.14.25'
	cd $(VENV_IFEVAL)/punkt && ../bin/python -m zipfile -e llama_index_core-*.whl .
	@touch $@

ifeval-parity: $(VENV_IFEVAL)/.installed  ## IFEval's checks beside the official ones
	NLTK_DATA=$(CURDIR)/$(VENV_IFEVAL)/punkt/llama_index/core/_static/nltk_cache \
	  $(VENV_IFEVAL)/bin/python benchmarks/ifeval_parity.py --data ../shared/data $(ARGS)

evidence: $(VENV)/.installed-dev  ## Make the figures of docs/evidence.md again
	$(BIN)/python benchmarks/evidence.py $(ARGS)

# Stops after MINUTES, where given; the same command goes on.
reproduce: $(VENV)/.installed-dev  ## The paper's claims at small scale; 3 hours in all
	$(BIN)/python benchmarks/reproduce.py --docs docs $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

ablations: $(VENV)/.installed-dev  ## What each search option brings; 15 minutes
	$(BIN)/python benchmarks/ablations.py $(ARGS)

docs: $(VENV)/.installed-dev  ## Build the documentation site into site/
	$(PIP) mkdocs
	$(BIN)/mkdocs build --strict

clean:  ## Remove what was built or cached; keeps $(VENV)
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
