# The service. From the repository's root:
#   docker build -f docker/service.Dockerfile --target cpu  -t affectsr:0.1.0-cpu  .
#   docker build -f docker/service.Dockerfile --target cuda -t affectsr:0.1.0-cuda .
# PYTHON must be a Python 3.11 on Debian: the lock is made for it.
ARG PYTHON=python:3.11.15-slim-bookworm@sha256:d29f48a31a8b408ed19272ca1e7b10ebae13b240a27e862d3d4217c528e2e0c3

# --- what is installed, each kind of torch by itself; nothing is compiled -------------------------

FROM ${PYTHON} AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY=:all: VIRTUAL_ENV=/opt/affectsr
ENV PATH=/opt/affectsr/bin:$PATH
RUN python -m venv /opt/affectsr
WORKDIR /build
COPY requirements/service.txt requirements/
COPY docker/slim.sh docker/

FROM builder AS packages-cpu
# PyPI's torch for Linux brings gigabytes of CUDA; this index has the CPU build. Empty: the index that
# pip is configured with.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements/service.txt > requirements/torch.txt \
 && pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} --requirement requirements/torch.txt \
 && pip install --requirement requirements/service.txt \
 && sh docker/slim.sh

FROM packages-cpu AS installed-cpu
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY model_store model_store
COPY service service
COPY docker/sbom.py docker/sbom.py
RUN pip install --no-deps --no-build-isolation . \
 && python docker/sbom.py /opt/affectsr/sbom.cdx.json \
 && pip uninstall --yes pip

# --- what runs ------------------------------------------------------------------------------------

FROM ${PYTHON} AS runtime
LABEL org.opencontainers.image.title="AffectSR" \
      org.opencontainers.image.description="Expression-preserving super-resolution of faces" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
# Home is the one folder that may be written to where the root is read-only; it is small, so no engine
# cache is kept there.
RUN groupadd --gid 10001 affectsr \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin affectsr
COPY docker/healthcheck.py /usr/local/lib/affectsr/healthcheck.py
ENV PATH=/opt/affectsr/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    AFFECTSR_HTTP_HOST=0.0.0.0 \
    AFFECTSR_HTTP_PORT=8000 \
    AFFECTSR_LOG_FORMAT=json \
    AFFECTSR_ENGINE_CACHE_DIR=
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 \
  CMD ["python", "/usr/local/lib/affectsr/healthcheck.py"]
ENTRYPOINT ["affectsr"]
CMD ["serve"]

FROM runtime AS cpu
COPY --from=installed-cpu /opt/affectsr /opt/affectsr

# --- the same for NVIDIA GPUs; below the rest, so that builders which take a file from its top to the
# target (buildah before 1.30) download nothing of it for the target cpu -----------------------------

FROM builder AS packages-cuda
# torch pins the versions of its CUDA packages itself.
RUN pip install --requirement requirements/service.txt \
 && sh docker/slim.sh

FROM packages-cuda AS installed-cuda
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY model_store model_store
COPY service service
COPY docker/sbom.py docker/sbom.py
RUN pip install --no-deps --no-build-isolation . \
 && python docker/sbom.py /opt/affectsr/sbom.cdx.json \
 && pip uninstall --yes pip

FROM runtime AS cuda
# What NVIDIA's container runtime lets in.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=installed-cuda /opt/affectsr /opt/affectsr

# What is built where no target is named.
FROM cpu AS default
