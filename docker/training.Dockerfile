# Training, for NVIDIA GPUs and CPUs. From the repository's root:
#   docker build -f docker/training.Dockerfile -t affectsr-training:0.1.0 .
# PYTHON must be a Python 3.11 on Debian: the lock is made for it.
ARG PYTHON=python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3

FROM ${PYTHON} AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all: VIRTUAL_ENV=/opt/affectsr
ENV PATH=/opt/affectsr/bin:$PATH
RUN python -m venv /opt/affectsr
WORKDIR /build
COPY requirements/training.txt requirements/
COPY docker/sbom.py docker/sbom.py
# torch pins the versions of its CUDA packages itself.
RUN pip install --requirement requirements/training.txt \
 && python docker/sbom.py /opt/affectsr/sbom.cdx.json \
 && pip uninstall --yes pip

FROM ${PYTHON} AS training
LABEL org.opencontainers.image.title="AffectSR training" \
      org.opencontainers.image.description="Trains, measures and publishes AffectSR's networks" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# OpenCV, which MediaPipe brings, links these two; wheels do not carry them. Their versions are the
# base image's release's; Debian keeps no older ones to pin.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --gid 10001 affectsr \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin affectsr
COPY --from=builder /opt/affectsr /opt/affectsr
WORKDIR /app
COPY LICENSE NOTICE ./
COPY model_store model_store
COPY training training
ENV PATH=/opt/affectsr/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
STOPSIGNAL SIGTERM
# A run has no port to ask: whether it lives is whether its process does.
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "training"]
CMD ["--help"]
