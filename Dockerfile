# The study in a container, from the same pins as .venv:
#
#     docker build --tag borrowed-traces .
#     docker run --volume "$PWD/runs:/home/study/project/runs" borrowed-traces
#
# With the wheels of CUDA 13 instead of those for processors, and a GPU to run on:
#
#     docker build --tag borrowed-traces \
#       --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130 .
#     docker run --gpus all borrowed-traces make study SCALE=gpu
FROM python:3.11-slim-bookworm

# make for the targets, g++ for compiled training, git for the commit in run.json
RUN apt-get update \
 && apt-get install --yes --no-install-recommends make g++ git \
 && rm -rf /var/lib/apt/lists/*

RUN useradd --create-home --uid 1000 study
USER study
WORKDIR /home/study/project

# packages change less often than code: a layer of their own, of the same date as .venv/.ready
COPY --chown=study pyproject.toml constraints.txt setup_venv.py README.md LICENSE Makefile ./
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1
RUN mkdir helpers && touch helpers/__init__.py && make .venv TORCH_INDEX=$TORCH_INDEX

COPY --chown=study . .
# the files just copied may be younger than .venv; they are the ones it was made from
RUN mkdir -p runs && touch .venv/.ready

CMD ["make", "study", "SCALE=smoke"]
