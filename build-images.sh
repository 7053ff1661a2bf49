#!/usr/bin/env bash
# Builds the images, tagged with their version, and pushes them to a registry with --push.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'TEXT'
usage: ./build-images.sh [--tag TAG] [--push REGISTRY] [--gpu] [--model NAME]

  --tag TAG        default: the version in common/pyproject.toml
  --push REGISTRY  push to this registry, for example europe-west1-docker.pkg.dev/project/msaas
  --gpu            build msaas-worker-gpu, with CUDA, as well
  --model NAME     fetch these weights from the hub and put them into the image, for example htdemucs

Environment: BUILDER (default docker; podman and buildah work), PYTHON_IMAGE (base image, by default one with its
digest), TORCH_INDEX (index of the CPU build of torch; empty: the default index).
TEXT
}

die() { echo "build-images: $*" >&2; exit 1; }

tag=$(sed -n 's/^version = "\(.*\)"/\1/p' common/pyproject.toml) registry='' model='' services=(rest logs keeper worker)
while [ $# -gt 0 ]; do
  case $1 in
    --tag) tag=${2:?}; shift ;;
    --push) registry=${2:?}; shift ;;
    --gpu) services+=(worker-gpu) ;;
    --model) model=${2:?}; shift ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
builder=${BUILDER:-docker}
command -v "$builder" >/dev/null || die "$builder is missing. Set BUILDER to podman or buildah."
torch_index=${TORCH_INDEX-https://download.pytorch.org/whl/cpu}

build() {
  local service=$1 args=(${PYTHON_IMAGE:+--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"})
  case $service in
    worker) args+=(--build-arg "TORCH_INDEX=$torch_index" --build-arg "MODEL=$model") ;;
    worker-gpu) args+=(--build-arg FLAVOUR=cuda --build-arg "MODEL=$model") ;;
  esac
  "$builder" build ${args[@]+"${args[@]}"} -f "${service%-gpu}/Dockerfile" -t "msaas-$service:$tag" .
}

# The image of rest has the page if it is built.
if command -v npm >/dev/null; then make web; else echo 'build-images: without npm the image of rest has no page' >&2; fi

for service in "${services[@]}"; do
  build "$service"
  if [ -n "$registry" ]; then
    "$builder" tag "msaas-$service:$tag" "$registry/msaas-$service:$tag"
    "$builder" push "$registry/msaas-$service:$tag"
  fi
done
echo "built: ${services[*]/#/msaas-} ($tag)"
