# Two commands: `make book` and `make test`. Each makes the environment .venv first if it is not there or is old.

# Who has activated another environment, or set a path for one, gets this project's own all the same.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONSAFEPATH PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV
export PYTHONNOUSERSITE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The interpreter that .venv is made with, such as `make book PYTHON=python3.12`.
PYTHON :=
# Processes that run tests side by side.
JOBS := logical
# Processes that open pages side by side.
PAGES := $(shell expr `getconf _NPROCESSORS_ONLN` + 1)
# More options for the build, such as `make book BOOKFLAGS=--all` to read all pages anew.
BOOKFLAGS :=

VENV := $(CURDIR)/.venv/bin/python
# The environment is ready when this file exists. Its name holds all that the environment depends on: the locked
# versions, the package's own settings and the folder. It is written last, and is worth nothing if Python is gone.
KEY := $(shell .venv/bin/python -c '' 2>/dev/null || rm -f .venv/ready-*; \
         (cat requirements.lock pyproject.toml; pwd) | cksum | tr ' ' '-')
READY := .venv/ready-$(KEY)
# The same for what `make test-zoo` needs beside it.
ZOO := .zoo/ready-$(shell cksum < requirements-zoo.lock | tr ' ' '-')
FLA := '^(fla-core|einops)=='
ZOO_TESTS := $(patsubst %,tests/units/test_%.py,zoo architectures reproduce_architectures pretrained) \
  tests/units/test_delta_attention.py::test_flash_linear_attention_agrees

.PHONY: help book pdf test test-zoo test-pages test-elsewhere new page sync data lock clean

help:
	@echo "make book   build the book: _build/html/index.html"
	@echo "make pdf    print the built book: _build/book.pdf (needs Chromium)"
	@echo "make test   run the unit tests and every chapter"
	@echo "make test-zoo   test layers of other packages (.zoo), which make test leaves out (a minute)"
	@echo "make test-pages   open every page of the built book in Chromium, where there is one"
	@echo "make test-elsewhere   run them as other processors would (about four times as long)"
	@echo "make new NAME=units [AFTER=noise]    begin a chapter, that runs and lists what is left to write"
	@echo "make page NAME=units [BUILD=1]    run, format and check one page; with BUILD, see it alone"
	@echo "make sync   bring the two files of each chapter in step after editing one of them"
	@echo "make data   train the authors' table again: chapters/data (long)"
	@echo "make lock   choose the locked versions anew (requirements.lock, requirements-zoo.lock)"
	@echo "make clean  remove what was built; the environment .venv stays"
	@echo "Each makes the environment .venv if needed. PYTHON=python3.12 chooses the Python to make it with."

book: .venv/ready
	"$(VENV)" -m book.build $(BOOKFLAGS)
	@"$(VENV)" -m book.check_book
	@echo "The book: $(CURDIR)/_build/html/index.html"

# After `make book`.
pdf: .venv/ready
	@"$(VENV)" -m book.pdf

test: .venv/ready
	"$(VENV)" -m pytest --dist loadscope --no-loadscope-reorder -n $(JOBS) --maxprocesses 8 chapters tests

# The tests that need packages which the book does without: transformers, a trained model, and reference files of
# flash-linear-attention, which are read by their paths.
test-zoo: .zoo/ready
	PYTHONPATH="$(CURDIR)/.zoo" GLALIB_FLA="$(CURDIR)/.zoo/fla" "$(VENV)" -c "from glalib.architectures import zoo; zoo.require()"
	PYTHONPATH="$(CURDIR)/.zoo" GLALIB_FLA="$(CURDIR)/.zoo/fla" "$(VENV)" -m pytest -rs $(ZOO_TESTS)

# After `make book`. A process opens a page at a time and waits for it now and then: one process more than processors.
test-pages: .venv/ready
	"$(VENV)" -m pytest -rs --dist worksteal -n $(PAGES) --maxprocesses 8 tests/pages

# As other processors would, with other numbers of threads, from a folder with a space, with SIGINT ignored.
test-elsewhere: .venv/ready
	"$(VENV)" -m book.elsewhere

new: .venv/ready
	@"$(VENV)" -m book.new $(NAME) $(if $(AFTER),--after $(AFTER))

page: .venv/ready
	@"$(VENV)" -m book.page $(NAME) $(if $(BUILD),--build)

sync: .venv/ready
	@"$(VENV)" -m book.pairs

# Interrupted, it goes on where it stopped.
data: .zoo/ready
	"$(VENV)" -m glalib.cli reproduce table --seeds 3 --json chapters/data/table_context_gate.json
	"$(VENV)" -m glalib.cli reproduce table --all-weights --seeds 3 --json chapters/data/table_all_weights.json
	"$(VENV)" -m glalib.cli reproduce figure1 --json chapters/data/figure1.json
	"$(VENV)" -m glalib.cli reproduce depth --json chapters/data/depth.json
	"$(VENV)" -m glalib.cli reproduce depth --models gla --layers 3 --panels cd --lengths 40,200 --seeds 1 --steps 1500 \
	  --json chapters/data/depth_longer.json
	"$(VENV)" -m glalib.cli reproduce inside --json chapters/data/inside.json
	"$(VENV)" -m glalib.cli reproduce live --json chapters/data/live_layers.json
	"$(VENV)" -m glalib.cli reproduce below --seeds 3 --json chapters/data/below.json
	"$(VENV)" -m glalib.cli reproduce starts --json chapters/data/starts.json
	"$(VENV)" -m glalib.cli reproduce text --json chapters/data/text.json
	PYTHONPATH="$(CURDIR)/.zoo" "$(VENV)" -m glalib.cli reproduce architectures --json chapters/data/architectures.json
	PYTHONPATH="$(CURDIR)/.zoo" "$(VENV)" -m glalib.cli reproduce architectures --no-parts --seeds 2 --steps 6000 \
	  --layers fixed-decay,rg-lru,mlstm,mamba2,gated-deltanet,softmax --json chapters/data/architectures_longer.json
	PYTHONPATH="$(CURDIR)/.zoo" "$(VENV)" -m glalib.cli reproduce pretrained --json chapters/data/pretrained.json

lock: .venv/ready
	"$(VENV)" -m book.lock

clean:
	rm -rf _build build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -not -path './.zoo/*' -prune -exec rm -rf {} +

.PHONY: .venv/ready
.venv/ready: $(READY)

# A mark stands while packages are being installed; an installation that was interrupted is begun anew.
$(READY):
	@set -e; \
	if [ -e .venv/installing ] || ! .venv/bin/python -c '' 2>/dev/null; then \
	  python=; \
	  for candidate in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python); do \
	    if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	      python=$$candidate; break; \
	    fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "No Python 3.11 or later with its venv module was found$(if $(PYTHON), as $(PYTHON))." >&2; \
	    echo "Install one (on Debian and Ubuntu also the package python3-venv), or name it: make PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	  fi; \
	  echo "Making the environment .venv with $$("$$python" -V); this happens once and takes a few minutes."; \
	  "$$python" -m venv --clear .venv; \
  rm -rf .zoo; \
	fi; \
	touch .venv/installing; \
	rm -f .venv/ready-*; \
	.venv/bin/python -m pip install -r requirements.lock; \
	.venv/bin/python -m pip install --no-deps --no-build-isolation -e .; \
	rm .venv/installing; \
	touch "$@"

# Beside .venv, so that the book is made without them: exact versions, and no package comes along unasked. Those that are
# read by their paths lie in a folder of their own, where no other package finds them.
.PHONY: .zoo/ready
.zoo/ready: .venv/ready
	@set -e; \
	if ! [ -e $(ZOO) ]; then \
	  rm -rf .zoo; \
	  mkdir -p .zoo/fla; \
	  grep -E $(FLA) requirements-zoo.lock > .zoo/fla/lock.txt; \
	  grep -Ev $(FLA) requirements-zoo.lock > .zoo/lock.txt; \
	  "$(VENV)" -m pip install --no-deps --target .zoo -r .zoo/lock.txt; \
	  "$(VENV)" -m pip install --no-deps --target .zoo/fla -r .zoo/fla/lock.txt; \
	  touch $(ZOO); \
	fi
