# `make` alone lists the targets; each sets up .venv itself
SCALE ?= laptop
EXPERIMENT ?= headline
# what was made with other settings or code: AGAIN=1 makes it again, KEEP=1 goes on with it
AGAIN ?=
KEEP ?=
# where steps run, if not here: profiles/slurm (docs/cluster.md)
PROFILE ?=
PYTHON ?= python3
# of `make test-faults`
KILLS ?= 50
# e.g. https://download.pytorch.org/whl/cpu, to spare a machine without GPU the CUDA packages
TORCH_INDEX ?=
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# modules, not the scripts in .venv/bin: those do not start from every path
IN_VENV := .venv/bin/python -m
# personal settings of Jupyter, IPython, matplotlib, Snakemake and pytest stay outside
HEADLESS := .venv/bin/python -E -m helpers.study.surroundings python -m
# bars of notebooks go to files, and arithmetic on one thread repeats itself
NOTEBOOKS := PROGRESS_FOLDER="$$PWD/runs/smoke/progress" OMP_NUM_THREADS=1 $(HEADLESS)

.PHONY: help study test lint unit nbval smoke lab bench notebooks publish fetch figures slides \
        clean .venv test-slurm test-faults explore page test-browser test-peers pictures chromium

help:
	@sed -n 's/^## /make /p' Makefile

## study      runs EXPERIMENT=headline at SCALE=laptop, or goes on where it stopped
study: $(if $(PROFILE),.venv/.cluster,.venv)
	@$(HEADLESS) helpers study --scale "$(SCALE)" --experiment "$(EXPERIMENT)" \
	  $(if $(filter 1,$(AGAIN)),--again) $(if $(filter 1,$(KEEP)),--keep) \
	  $(if $(PROFILE),--profile "$(PROFILE)")

## test       everything that is checked: lint, unit, smoke, nbval
test: lint unit smoke nbval

lint: .venv
	$(HEADLESS) ruff check .

# as many processes as cores, so one thread each: more wait for each other, at full load
unit: .venv
	OMP_NUM_THREADS=1 $(HEADLESS) pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# uses what the smoke study has made; what is missing or stale is made anew
nbval: .venv
	$(NOTEBOOKS) pytest --numprocesses auto --dist loadfile --nbval notebooks

# a study from nothing, not from what an earlier one left
smoke: .venv
	rm -rf runs/smoke
	$(HEADLESS) helpers study --scale smoke

# kills smoke studies KILLS times, fills their disk, sets their clock back
test-faults: .venv
	.venv/bin/python -E -m helpers.study.surroundings python tests/faults.py $(KILLS)

# a one-node cluster on this machine, from Debian's packages; needs root (docs/cluster.md)
test-slurm: .venv/.cluster
	.venv/bin/python tests/slurm.py

## lab        opens the project in JupyterLab
lab: .venv
	MPLBACKEND= $(IN_VENV) jupyterlab --notebook-dir .

## explore    opens the explorer in JupyterLab
explore: .venv
	@$(HEADLESS) helpers.show.explorer runs/explorer.ipynb
	MPLBACKEND= $(IN_VENV) jupyterlab runs/explorer.ipynb

## page       writes the site: the explorer, the notebooks as pages, an index
page: .venv
	@$(IN_VENV) helpers.show.site site

## test-browser  tests the explorer in Chromium, which is installed where that may be
test-browser: .venv/.browser .cache/browser/axe.min.js chromium
	OMP_NUM_THREADS=1 $(HEADLESS) pytest --numprocesses auto --dist loadfile tests/browser

# the explorer's in docs/images, to look at before they are committed
pictures: .venv/.browser chromium
	OMP_NUM_THREADS=1 .venv/bin/python -E -m helpers.study.surroundings python tests/browser/pictures.py

# Debian's, by root; all others are told what is missing
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	  || { [ "$$(id -u)" = 0 ] && apt-get update --quiet \
	       && apt-get install --yes --no-install-recommends chromium; } \
	  || { echo "chromium: got none, takes the system's (as root: apt-get install chromium)" >&2; \
	       exit 2; }

# axe-core finds what bars people from a page; without it that test is left out
.cache/browser/axe.min.js:
	@mkdir -p .cache/browser
	@cd .cache/browser && { npm pack --silent axe-core@4.14.1 \
	  && tar -xzf axe-core-4.14.1.tgz --strip-components 1 package/axe.min.js \
	  && rm axe-core-4.14.1.tgz; } >/dev/null 2>&1 \
	  || echo "axe-core: npm cannot fetch it here, tests with it are left out" >&2

## test-peers  tests beside TRL, maze-dataset and datasets, which it installs
test-peers: .venv/.peers
	OMP_NUM_THREADS=1 $(HEADLESS) pytest --numprocesses auto --dist loadfile tests/peers

## bench      measures training and decoding beside their peers; PARTS="data training" for some
bench: .venv/.bench
	@$(IN_VENV) benchmarks $(PARTS)

## notebooks  runs the committed notebooks again and strips what does not belong into git
notebooks: .venv
	rm -rf runs/smoke
	$(NOTEBOOKS) nbconvert --to notebook --execute --inplace --log-level WARN notebooks/*.ipynb
	$(IN_VENV) nbstripout --keep-output --keep-count --keep-id --extra-keys \
	  "metadata.papermill metadata.widgets metadata.language_info.version cell.metadata.execution cell.metadata.papermill" notebooks/*.ipynb

## publish    copies the summaries of a finished run of SCALE into results/, small models too
publish: .venv
	$(HEADLESS) helpers publish --scale "$(SCALE)" --experiment "$(EXPERIMENT)" \
	  $(if $(filter 1,$(KEEP)),--keep)

## fetch      takes over the models published in results/: `make fetch study` trains only what lacks
fetch: .venv
	@$(HEADLESS) helpers fetch --scale "$(SCALE)" --experiment "$(EXPERIMENT)" \
	  $(if $(filter 1,$(KEEP)),--keep)

## figures    the README's first picture and its moving one, in docs/images
figures: .venv
	$(HEADLESS) helpers.show.borrowed
	$(HEADLESS) helpers.show.moving

## slides     a lecture of 45 minutes from the notebooks, site/slides.html (docs/lecture.yml)
slides: .venv
	$(HEADLESS) helpers.show.slides

## clean      removes .venv, caches and everything that was run
clean:
	rm -rf .venv .venv.before .cache runs site

.venv: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) setup_venv.py $(INDEX) --constraint constraints.txt --editable '.[test]'

# Snakemake's executor for SLURM
.venv/.cluster: .venv/.ready
	@$(PYTHON) setup_venv.py $(INDEX) --constraint constraints.txt --editable '.[test,cluster]'
	@touch $@

# the peers that `make bench` measures in the same run
.venv/.bench: .venv/.ready
	@$(PYTHON) setup_venv.py $(INDEX) --constraint constraints.txt --editable '.[test,bench]'
	@touch $@

# drives the browser of `make test-browser`
.venv/.browser: .venv/.ready
	@$(PYTHON) setup_venv.py $(INDEX) --constraint constraints.txt --editable '.[test,browser]'
	@touch $@

# what `make test-peers` holds ours to
.venv/.peers: .venv/.ready
	@$(PYTHON) setup_venv.py $(INDEX) --constraint constraints.txt --editable '.[test,peers]'
	@touch $@
