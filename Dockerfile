# An image with Compendium and its requirements.
#
#   docker build -t compendium .                              # CPU
#   docker build -t compendium --build-arg JAX=cuda13 .       # NVIDIA GPU: run with --gpus all
#
#   docker run --rm -v $PWD/runs:/compendium/runs compendium python -m experiments.train
FROM python:3.11-slim

# An extra of jax: "cpu", "cuda13", "cuda12" or "tpu".
ARG JAX=cpu

WORKDIR /compendium
COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir -r requirements.txt -c constraints.txt \
    && if [ "$JAX" != cpu ]; then pip install --no-cache-dir "jax[$JAX]" -c constraints.txt; fi

COPY . .
RUN pip install --no-cache-dir --no-deps -e .

CMD ["python", "-m", "experiments.train", "--help"]
