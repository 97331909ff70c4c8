# strhub's commands. Each installs what it needs into .venv first, once.
#
#   make read          install what reading needs and read the demonstration images
#   make test          the fast tests                 make test-slow     the slow ones, and only those
#   make test-cpus     the tests marked `numeric` once more, as on processors with fewer or other instructions
#                      (SLOW=1: also the slow ones among them; WHOLE=1: every test; both under four settings)
#   make attack        attack strhub with damaged files and kills for MINUTES=10, or with COUNT=1000 of each kind
#   make check         format, lint, types and the fast tests; `make lint` without the tests
#   make docs          build the site of the documentation in site/; warnings are errors
#   make wheel         dist/strhub-*.whl              make requirements  pin requirements/*.txt anew (UPGRADE=1: newest)
#   make torch-cu128   write requirements/core.cu128.txt, to install with one platform's build of PyTorch
#   make clean         remove what tools leave behind; `make distclean` also removes .venv
#
# Variables: PLATFORM (cpu, cu126, cu128, cu130, rocm6.4 …: a folder of TORCH_INDEX), PYTHON (makes .venv).
# Needs GNU make 3.81 or newer and a POSIX shell.

PYTHON ?= python3
PLATFORM ?= cpu
TORCH_INDEX ?= https://download.pytorch.org/whl
VENV ?= .venv

bin := $(VENV)/bin
python := $(bin)/python
pip := $(python) -m pip --disable-pip-version-check --no-input
# As many processes as there are cores, at most four; the tests of one file stay together.
pytest := $(python) -m pytest -n auto --maxprocesses 4 --dist loadscope
core_pins := requirements/core.$(PLATFORM).txt

# Stamps: each is written when an install has succeeded, and removed before one starts.
reading := $(VENV)/.strhub-reading
core := $(VENV)/.strhub-core-$(PLATFORM)
test := $(VENV)/.strhub-test
dev := $(VENV)/.strhub-dev
tune := $(VENV)/.strhub-tune
docs := $(VENV)/.strhub-docs

# Whole files are marked: the line `pytestmark = pytest.mark.numeric` adds a new one.
numeric = $(shell grep -rlw --include='test_*.py' 'mark\.numeric' tests)
# What makes this processor compute as others do: settings of one or more variables, separated by commas.
avx2 := ONEDNN_MAX_CPU_ISA=avx2,MKL_ENABLE_INSTRUCTIONS=AVX2
few_cpus := $(avx2),ATEN_CPU_CAPABILITY=default $(avx2),ATEN_CPU_CAPABILITY=avx2 STRHUB_TEST_BFLOAT16=1
# No processor has only ATen limited: with oneDNN on AMX, PyTorch's own attention in bfloat16 fails.
all_cpus := $(few_cpus) ONEDNN_MAX_CPU_ISA=avx2
cpus = $(if $(SLOW)$(WHOLE),$(all_cpus),$(few_cpus))
cpu_tests = $(if $(WHOLE),-m 'slow or not slow',-m 'numeric$(if $(SLOW),, and not slow)' $(numeric))

.PHONY: attack docs read test test-slow test-cpus lint check wheel requirements clean distclean help
.DELETE_ON_ERROR:
.SUFFIXES:

help:
	@sed -n 's/^#   //p' Makefile

read: $(reading)
	@$(python) read.py --images demo_images/*

test: $(test)
	@$(pytest)

docs: $(test) $(docs)
	@NO_MKDOCS_2_WARNING=1 $(python) -m mkdocs build --strict --quiet
	@echo 'Open site/index.html; for its search: python -m http.server --directory site'

# pytest's status 5: there was no such test.
test-slow: $(test) $(tune) $(docs)
	@$(pytest) -m slow || { status=$$?; test $$status -eq 5 && echo 'There is no slow test.'; }

# Every setting is tried, even if an earlier one failed.
test-cpus: $(test) $(if $(WHOLE),$(tune))
	@failed=; for setting in $(cpus); do \
		echo "-- $$setting"; \
		env $$(echo $$setting | tr , ' ') $(pytest) -q $(cpu_tests) || failed="$$failed $$setting"; \
	done; test -z "$$failed" || { echo "failed under:$$failed"; exit 1; }

# Random damaged files and kills; failures are kept in attack-failures/.
MINUTES ?= 10
attack: $(test)
	@PYTHONPATH=. $(python) tests/attacks --minutes $(MINUTES) $(if $(COUNT),--count $(COUNT))

lint: $(dev)
	@$(python) -m ruff format --check --quiet || { echo 'Not formatted: `$(bin)/ruff format` does it.'; exit 1; }
	@$(python) -m ruff check --quiet
	@$(python) -m mypy

check: lint
	@$(pytest)

wheel: $(dev)
	@rm -rf build strhub.egg-info dist
	@$(python) -m build --wheel --no-isolation >$(VENV)/build.log 2>&1 || { cat $(VENV)/build.log; exit 1; }
	@rm -rf build
	@ls dist/*.whl

requirements: $(dev)
	@requirements/compile.sh $(bin)/uv $(if $(UPGRADE),--upgrade)

torch-%:
	@$(PYTHON) requirements/torch_index.py $(TORCH_INDEX) $* requirements/core.txt requirements/core.$*.txt
	@echo 'pip install -r requirements/core.$*.txt -e ".[train,test]"'

$(core_pins): requirements/core.txt requirements/torch_index.py
	@$(PYTHON) requirements/torch_index.py $(TORCH_INDEX) $(PLATFORM) requirements/core.txt $@
	@touch $@

# venv installs pip last: if it is missing, the creation of .venv was interrupted.
$(bin)/pip:
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# Reading with the embedded model: no PyTorch, and strhub from this folder as it is.
$(reading): requirements/read.txt | $(bin)/pip
	@echo "Installing requirements/read.txt"
	@rm -f $@
	@$(pip) install --quiet --requirement requirements/read.txt
	@touch $@

# Installs `pins` (files) and strhub itself, editable. The pins include setuptools, so that nothing else is fetched to build.
define install
	@echo "Installing $(pins)"
	@$(pip) install --quiet $(addprefix -r ,$(pins))
	@$(pip) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
endef

# Another platform's torch is removed first: pip would keep it, since the version is the same.
$(core): pins = $(core_pins)
$(core): $(core_pins) pyproject.toml | $(bin)/pip
	@if ls $(VENV)/.strhub-core-* 2>/dev/null | grep -qvxF $@; then $(pip) uninstall --quiet --yes torch; fi
	@rm -f $(VENV)/.strhub-core-* $(test) $(dev)
	$(install)

$(test): pins = $(core_pins) requirements/train.txt requirements/test.txt
$(test): requirements/train.txt requirements/test.txt $(core)
	@rm -f $@ $(dev) $(tune) $(docs)
	$(install)

$(dev): pins = $(core_pins) requirements/dev.txt
$(dev): requirements/dev.txt $(test)
	@rm -f $@
	$(install)

# What the tests of Ray need, all of which are slow.
$(tune): pins = $(core_pins) requirements/tune.txt
$(tune): requirements/tune.txt $(test)
	@rm -f $@
	$(install)

# What the site is built with.
$(docs): pins = $(core_pins) requirements/docs.txt
$(docs): requirements/docs.txt $(test)
	@rm -f $@
	$(install)

clean:
	@rm -rf build site dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean
	@rm -rf $(VENV) requirements/core.*.txt
