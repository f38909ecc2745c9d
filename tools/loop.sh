#!/bin/sh
# The whole loop in out/loop, with the commands that anybody would type (`make loop`): a camera, the graph, bags,
# sequences, what is in them, annotation, training, evaluation. Here the camera is simulated; with a RealSense it is
# `instance-depth run --camera realsense --record`.
#   FRAMES=20      of each of three scenes
set -eu
config=$(dirname "$0")/../config/train/loop.yaml

step() {
    printf '\n$ instance-depth %s\n' "$*"
    instance-depth "$@"
}

if [ -e out/loop ]; then
    echo "error: out/loop is there already: remove it, or go on by hand" >&2
    exit 1
fi
for seed in 0 1 2; do
    step run --camera simulated --activity room --seed $seed --sensor-depth true --width 320 --height 240 \
        --frames "${FRAMES:-20}" --engine eager --record --record-folder out/loop/bags
done
for bag in out/loop/bags/*; do
    step dataset verify "$bag"
done
step dataset export out/loop/bags out/loop/data --activity room --without mask
step dataset statistics out/loop/data
step dataset quality out/loop/data
step dataset annotate out/loop/data --engine eager
step dataset statistics out/loop/data
step dataset split out/loop/data
step train --config "$config" --out out/loop/train
step eval --data gid:out/loop/data --weights out/loop/train/loop/loop.safetensors --engine eager --out out/loop/eval
