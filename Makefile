# Every target sets up what it needs: a virtual environment in .venv with the package and its
# native library. Needed from the system: Python 3.11 or newer with venv. A C++ compiler is used
# when there is one, and else ziglang from PyPI; cmake and ninja come from PyPI when missing.

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup
TYPECHECK := build/typecheck
MXNET := build/mxnet
SOURCES := lcp_tvm relay_passes rpc tests examples benchmarks
NATIVE := $(shell find native -type f)
# Three workers fill two cores, as many tests wait for processes; each takes about 1 GB.
TEST_WORKERS ?= 3
# Which C++ compiler builds the native library.
ifeq ($(shell command -v $(CXX)),)
COMPILER := $(CURDIR)/build/zig-c++
else
COMPILER := $(CXX)
endif

.PHONY: help demo test lint native-check mxnet-check format clean

help:
	@echo "make demo    run a network of two branches on two simulated boards"
	@echo "make test    run all tests"
	@echo "make lint    check style and types"
	@echo "make native-check  check the C++ sources: style, clang-tidy, sanitizers"
	@echo "make mxnet-check   compare the importer of Gluon networks with MXNet itself"
	@echo "make format  put the sources into the common style"
	@echo "make clean   remove what these made"

demo: $(SETUP)
	@$(BIN)/lcp-tvm demo

test: $(SETUP)
	CXX="$(COMPILER)" $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadgroup $(TESTS)

lint: $(SETUP)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	rm -rf $(TYPECHECK) && mkdir -p $(TYPECHECK)/lcp_tvm
	ln -s $(addprefix $(CURDIR)/,$(wildcard lcp_tvm/*) rpc relay_passes) $(TYPECHECK)/lcp_tvm
	cd $(TYPECHECK) && $(abspath $(BIN))/mypy --config-file $(CURDIR)/pyproject.toml \
	  --cache-dir $(CURDIR)/.mypy_cache --python-executable $(abspath $(BIN))/python lcp_tvm

native-check: $(SETUP)
	find native -name '*.cc' -o -name '*.h' | xargs $(BIN)/clang-format --dry-run -Werror
	$(BIN)/python -m cmake -S native -B build/tidy -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
	  -DLCP_TVM_TESTS=ON \
	  -DPython_EXECUTABLE=$(abspath $(BIN))/python >/dev/null
	find native -name '*.cc' | xargs -P $(TEST_WORKERS) -n 3 $(BIN)/clang-tidy -quiet -p build/tidy
	PATH="$(abspath $(BIN)):$$PATH" native/sanitize.sh
	PATH="$(abspath $(BIN)):$$PATH" native/test.sh

# MXNet has a numpy of its own; all else comes from $(VENV).
mxnet-check: $(SETUP)
	@if timeout 120 $(MAKE) -s $(MXNET)/.setup; then \
	  timeout 300 $(MXNET)/bin/python -m pytest tests/frontend/test_gluon.py; \
	else \
	  echo "mxnet-check: skipped, MXNet cannot be installed here (see above)"; \
	fi

$(MXNET)/.setup: pyproject.toml | $(SETUP)
	@rm -rf $(MXNET)
	@$(BIN)/python -m venv $(MXNET)
	@$(MXNET)/bin/python -m pip install --quiet --disable-pip-version-check $$($(BIN)/python -c \
	  "import tomllib; values = tomllib.load(open('pyproject.toml', 'rb')); \
	  print(*values['project']['optional-dependencies']['mxnet'])")
	@$(BIN)/python -c "import sysconfig; path = sysconfig.get_path('purelib'); \
	  print(f'import site; site.addsitedir({path!r})')" \
	  > $$($(MXNET)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/venv.pth
	@touch $@

format: $(SETUP)
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: Python 3.11 or newer is needed, found '$(PYTHON)';" \
	    "install it (apt-get install python3.11 python3.11-venv) or say PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "make: $(PYTHON) cannot make a virtual environment;" \
	    "install its venv module (apt-get install python3.11-venv)" >&2; exit 1; }

$(SETUP): pyproject.toml $(NATIVE) $(if $(filter %/zig-c++,$(COMPILER)),build/zig-c++) | $(BIN)/python
	@echo "make: installing into $(VENV); the first time this takes a few minutes"
	@CXX="$(COMPILER)" $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,train,camera]'
	@touch $@

build/zig-c++: | $(BIN)/python
	@echo "make: no C++ compiler '$(CXX)' here, taking ziglang's"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'ziglang>=0.13'
	@mkdir -p build
	@printf '#!/bin/sh\nexec "%s" -I -m ziglang c++ "$$@"\n' '$(abspath $(BIN))/python' > $@
	@chmod +x $@
