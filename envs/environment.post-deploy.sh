#!/bin/sh
# Snakemake runs this in the workflow's folder, in the environment just made. conda is given a copy
# of environment.yaml elsewhere, from which the files beside it are out of reach.
set -e
python -m pip install -r envs/requirements.txt -r envs/yolo.txt -c envs/constraints.txt
python -m pip install --no-deps --no-build-isolation -e .
