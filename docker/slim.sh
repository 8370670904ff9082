#!/bin/sh
# Delete what the service's packages carry and nothing here runs: a sixth of the image for CPUs.
# Called in the service's Dockerfile, in the step that installs them; VIRTUAL_ENV is where they lie.
set -eu
for packages in "$VIRTUAL_ENV"/lib/python3*/site-packages; do
  # C++ headers and tests of torch. Of its programs `import torch` asks for the one that is kept.
  rm -rf "$packages/torch/include" "$packages/torch/test"
  find "$packages/torch/bin" -type f ! -name torch_shm_manager -delete
  # OpenVINO computes on CPUs here.
  rm -rf "$packages/openvino/include" "$packages/openvino/libs/cache.json" \
    "$packages"/openvino/libs/libopenvino_intel_gpu_* \
    "$packages"/openvino/libs/libopenvino_intel_npu_*
done
