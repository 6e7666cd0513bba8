# Every target first makes sure that what it needs is there (./bootstrap); `make help` lists them.
PY := .venv/bin/python
PJSIP = $(shell $(PY) -c 'import json, sys; print(json.load(open(sys.prefix + "/agner-pjsip.json"))["include_dir"])')
C_PARTS = $(wildcard engine/*/*.c benchmarks/*/*.c)
LINTED = $(wildcard engine cli tests benchmarks prompts pjsip docs setup.py)
# Tests that touch neither the network nor a clock: they share the cores. All others have the machine to themselves.
PURE = $(filter tests/acd/ tests/arch/ tests/config/ tests/core/ tests/floor/ tests/records/ tests/replay/ tests/switch/,\
  $(wildcard tests/*/))
# What makes our native parts and their threads work hardest, in a quarter of an hour: calls, audio, storms, the soak.
SANITIZED = tests/core \
  $(addprefix tests/media/test_,$(addsuffix .py,files keys_in_audio messages phones queue_audio recorder recording \
    recording_ring relay)) \
  $(addprefix tests/sip/test_,$(addsuffix .py,calls connections dialling early_media gate large_requests slots storm \
    strangers torture)) \
  $(addprefix tests/live/test_,$(addsuffix .py,alignment audio comfort_noise offers silence trouble)) \
  $(addprefix tests/siege/test_frozen.py::test_a_,disk_that_stops database_that_is_locked) tests/siege/test_soak.py
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo run test check lint bench bench-core bench-peers prove siege fuzz soak asan tsan golden prompts \
  pictures clean distclean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "Most pass ARGS on: make bench ARGS='--help'"

setup:  ## install and build what is missing, nothing more
	@./bootstrap run

demo:  ## the TV-shopping floor for 40 seconds: daemon, baresip and SIPp phones, the floor live, a table of every call
	@./bootstrap demo
	@.venv/bin/agner demo $(ARGS)

run:  ## the daemon with config/, printing how to point a softphone at it
	@./bootstrap run
	@.venv/bin/agner run $(ARGS)

test:  ## every check and every test
	@./bootstrap test
	@$(MAKE) --no-print-directory lint
	$(PY) -m pytest -n auto --dist loadfile $(PURE) $(ARGS)
	$(PY) -m pytest $(filter-out $(PURE),$(wildcard tests/*/)) $(ARGS)

check:  ## the fast loop, under a minute: lint, types, C warnings, tests without calls
	@./bootstrap test
	@$(MAKE) --no-print-directory lint
	$(PY) -m pytest -q -n auto --dist loadfile $(filter-out tests/records/ tests/replay/,$(PURE)) $(ARGS)

lint:
	.venv/bin/ruff check $(LINTED)
	.venv/bin/mypy --no-error-summary $(LINTED)
	.venv/bin/shellcheck bootstrap .ci/run tests/sanitizers/run
	@for part in $(C_PARTS); do \
	  echo "gcc -Wall -Wextra -Werror $$part"; \
	  gcc -O2 -Wall -Wextra -Werror -c -o /dev/null -isystem $(PJSIP) -DPJ_AUTOCONF=1 -DNDEBUG $$part || exit 1; \
	done

bench:  ## load on this machine: a short set of scenarios, or ARGS=NAME; the last line is one JSON object
	@./bootstrap test
	@.venv/bin/agner bench $(ARGS)

bench-peers:  ## the same load on Asterisk 22 (as root; installs it into ~/.cache/agner the first time), and the ratios
	@./bootstrap test
	@$(PY) -m benchmarks.peers $(ARGS)

bench-core:  ## what one decision of the ACD core costs
	@./bootstrap test
	@$(PY) -m benchmarks.core $(ARGS)

prove:  ## the long proofs: random schedules against the model, with their controls
	@./bootstrap test
	$(PY) -m pytest tests -m prove -s --timeout 0 $(ARGS)

siege:  ## the long floods and partitions against the real daemon, as root; minutes of full CPUs
	@./bootstrap test
	$(PY) -m pytest tests/siege -m siege -s --timeout 0 $(ARGS)

fuzz:  ## 100,000 mutated messages to the real daemon; SEEDS=17 or SEEDS=17-40 replays those alone
	@./bootstrap test
	SEEDS=$(SEEDS) $(PY) -m pytest tests/siege -m fuzz -s --timeout 0 $(ARGS)

soak:  ## 100,000 calls: nothing lost, nothing grown; 20 minutes at 100 calls a second, RATE=40 for a shared machine
	@./bootstrap test
	RATE=$(RATE) $(PY) -m pytest tests/siege -m soak -s --timeout 0 $(ARGS)

asan:  ## live calls with our native parts under AddressSanitizer: memory and undefined behaviour
	@./bootstrap test
	@tests/sanitizers/run address $(or $(ARGS),-q $(SANITIZED))

tsan:  ## the same under ThreadSanitizer: races between our threads
	@./bootstrap test
	@tests/sanitizers/run thread $(or $(ARGS),-q $(SANITIZED))

golden:  ## rewrite the golden files; review the diff
	@./bootstrap test
	$(PY) -m pytest -q tests --golden $(ARGS)

prompts:  ## speak the prompts and the music on hold anew (needs the Debian package espeak-ng)
	@./bootstrap run
	@command -v espeak-ng >/dev/null || { echo "make prompts needs: apt-get install espeak-ng"; exit 1; }
	$(PY) -m prompts.make_prompts $(ARGS)
	$(PY) -m prompts.make_music

pictures:  ## run the demo and draw its terminal anew, for the README
	@./bootstrap demo
	$(PY) docs/picture.py

clean:  ## remove what was compiled in this checkout
	rm -rf build *.egg-info acd_core.*.so engine/*/*.so benchmarks/*/*.so
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .venv/stamps/parts
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean  ## also the virtual environment and the PJSIP cache; recordings and records stay
	rm -rf .venv "$${XDG_CACHE_HOME:-$$HOME/.cache}/agner"
