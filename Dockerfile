# vidstyle with everything it needs, weights included.
#
#     docker build -t vidstyle .
#     docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" vidstyle clip.mp4 style.jpg -o out.mp4
#
# For NVIDIA GPUs, with the driver and the container toolkit on the host:
#
#     docker build -t vidstyle:cuda --build-arg BASE=nvidia/cuda:13.0.1-base-ubuntu24.04 --build-arg TORCH=https://pypi.org/simple .
#     docker run --rm --gpus all --user "$(id -u):$(id -g)" -v "$PWD:/work" vidstyle:cuda clip.mp4 style.jpg -o out.mp4
#
# Not yet built; tests/test_dockerfile.py checks what can be checked without Docker.
# Any Debian or Ubuntu whose Python is 3.11 or newer can be the base. PyPI's torch brings CUDA's libraries along; the base need not have them.
ARG BASE=python:3.11-slim
FROM ${BASE}

# What OpenCV's wheel wants of the system; python3 is there already in Python's own images.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && { command -v python3 || apt-get install --yes --no-install-recommends python3; } \
    && { python3 -c 'import ensurepip, venv' || apt-get install --yes --no-install-recommends python3-venv; } \
    && rm -rf /var/lib/apt/lists/*

# torch without CUDA's gigabytes, of the same version; https://pypi.org/simple for the one with them.
ARG TORCH=https://download.pytorch.org/whl/cpu
# Extras of pyproject.toml to bring along, by name, with commas between: --build-arg EXTRAS=s3,gcs
ARG EXTRAS=""
WORKDIR /opt/vidstyle
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY configs ./configs
COPY vidstyle ./vidstyle
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt --index-url "$TORCH" --extra-index-url https://pypi.org/simple torch torchvision \
    && /opt/venv/bin/pip install --no-cache-dir --constraint constraints.txt --extra-index-url "$TORCH" ".${EXTRAS:+[$EXTRAS]}"

# Films are read and written in /work, with the rights of this user, or of the one that --user names.
RUN useradd --uid 10001 --no-create-home vidstyle && mkdir /work && chown vidstyle /work
USER vidstyle
WORKDIR /work
ENV PATH=/opt/venv/bin:$PATH HOME=/tmp
ENTRYPOINT ["vidstyle"]
CMD ["--help"]
