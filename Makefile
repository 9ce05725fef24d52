# study · test · lab · bench · publish  (each sets up .venv itself)
SCALE ?= laptop
EXPERIMENT ?= headline
# what was made with other settings or code: AGAIN=1 makes it again, KEEP=1 goes on with it
AGAIN ?=
KEEP ?=
PYTHON ?= python3
# e.g. https://download.pytorch.org/whl/cpu, to spare a machine without GPU the CUDA packages
TORCH_INDEX ?=
INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

BIN := .venv/bin
# notebooks run headless here: bars go to files, and arithmetic on one thread repeats itself
HEADLESS := PROGRESS_FOLDER=$(CURDIR)/runs/smoke/progress OMP_NUM_THREADS=1 PYDEVD_DISABLE_FILE_VALIDATION=1

.PHONY: study test lint unit nbval smoke lab bench notebooks publish regime figures clean .venv

study: .venv
	@$(BIN)/python -m helpers study --scale $(SCALE) --experiment $(EXPERIMENT) \
	  $(if $(filter 1,$(AGAIN)),--again) $(if $(filter 1,$(KEEP)),--keep)

test: lint unit nbval smoke

lint: .venv
	$(BIN)/ruff check .

unit: .venv
	$(BIN)/pytest --numprocesses auto --dist loadfile

# from nothing: what an earlier version left there would not fit
nbval: .venv
	rm -rf runs/smoke
	$(HEADLESS) $(BIN)/pytest --nbval notebooks

# a study from nothing, not from what an earlier one left
smoke: .venv
	rm -rf runs/smoke
	$(BIN)/python -m helpers study --scale smoke

lab: .venv
	$(BIN)/jupyter lab --notebook-dir notebooks

# everything, or e.g. PARTS="data training"
bench: .venv/.bench
	@$(BIN)/python -m benchmarks $(PARTS)

# runs the committed notebooks again and strips what does not belong into version control
notebooks: .venv
	rm -rf runs/smoke
	cd notebooks && $(HEADLESS) ../$(BIN)/jupyter nbconvert --to notebook --execute --inplace --log-level WARN *.ipynb
	$(BIN)/nbstripout --keep-output --keep-count --keep-id --extra-keys \
	  "metadata.papermill metadata.widgets metadata.language_info.version cell.metadata.execution cell.metadata.papermill" notebooks/*.ipynb

# copies the summaries of a finished run into results/
publish: .venv
	$(BIN)/python -m helpers publish --scale $(SCALE) --experiment $(EXPERIMENT) \
	  $(if $(filter 1,$(KEEP)),--keep)

# the README's first picture, in docs/images
figures: .venv
	$(BIN)/python -m helpers.show.borrowed

clean:
	rm -rf .venv runs

.venv: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) setup_venv.py $(INDEX) --constraint constraints.txt --editable '.[test]'

# the peers that `make bench` measures in the same run
.venv/.bench: .venv/.ready
	@$(PYTHON) setup_venv.py $(INDEX) --constraint constraints.txt --editable '.[test,bench]'
	@touch $@
