# make demo     a real video becomes depth on a ROS 2 graph; pictures and figures in out/demo/
# make test     lint and the suite          make bench   figures of this machine in out/bench.json
# make eval     accuracy on sim-val         make soak    half an hour of the graph: does it stay as it was?
# make loop     a camera, the graph, a bag, a dataset, training, evaluation; small, in out/loop/
# make setup    only the environment        make clean
#
# CAMERA=simulated ACTIVITY=dance  CLIP=video.mp4  RATE=max  FRAMES=100  WEIGHTS=name-or-path  VIEWER=none   for demo
# AGAINST=DIR       a checkout of the official Video-Depth-Anything to measure bench beside
# ROS=jazzy         Jazzy's wheels instead of Kilted's, in .venv-jazzy; a sourced ROS installation goes before both
# TORCH=...         another build of torch, as pip takes it (a requirement with options, or a wheel)

VENV := .venv$(addprefix -,$(filter-out kilted,$(ROS)))
RUN := $(VENV)/bin/
SET_UP := python3 tools/set_up.py --venv $(VENV) $(addprefix --ros ,$(ROS))
DEMO := $(if $(CAMERA),--camera $(CAMERA)) $(if $(ACTIVITY),--activity $(ACTIVITY)) $(if $(CLIP),--clip '$(CLIP)') \
        $(if $(RATE),--rate $(RATE)) $(if $(FRAMES),--frames $(FRAMES)) $(if $(WEIGHTS),--weights '$(WEIGHTS)') $(if $(VIEWER),--window $(VIEWER))
export TORCH
ifeq ($(TORCH),)
unexport TORCH
endif

.PHONY: demo test bench soak eval loop lint clean setup

demo: setup
	@$(RUN)instance-depth demo $(DEMO)

test: SET_UP += --tests
test: lint
	$(RUN)python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(PYTEST)

bench: setup
	$(RUN)instance-depth bench $(if $(AGAINST),--against '$(AGAINST)')

soak: setup
	$(RUN)instance-depth bench --soak

eval: setup
	$(RUN)instance-depth eval --data sim-val $(if $(WEIGHTS),--weights '$(WEIGHTS)')

loop: setup
	@PATH="$(CURDIR)/$(RUN):$$PATH" tools/loop.sh

lint: setup
	$(RUN)ruff check .

setup:
	@$(SET_UP)

clean:
	rm -rf out build install log dist .venv .venv-jazzy *.egg-info .pytest_cache .ruff_cache
