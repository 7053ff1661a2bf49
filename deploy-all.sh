#!/usr/bin/env bash
# Brings the whole system up on the cluster that kubectl points to, and says how to reach it. Run it as often as you like.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'TEXT'
usage: ./deploy-all.sh [options]

  --overlay NAME     a folder of deploy/overlays, or any folder here with a kustomization (default: local)
  --with COMPONENT   add one of deploy/components: autoscaling debug gateway gpu ingress model-volume monitoring
  --registry PREFIX  where the images lie, for example europe-west1-docker.pkg.dev/project/msaas
  --tag TAG          their version (default: the one in the manifests)
  --image NAME=NEW   another image in the place of NAME, for example quay.io/minio/minio=mirror.example/minio:1
  --timeout SECONDS  how long each part may take to come up (default: 600)
  --dry-run          print the manifests and touch nothing
  --delete           remove everything, the songs and the stems too

The keys of Redis and of the S3 server are made up at the first run and kept in Secrets. To bring your own, as an S3 that
is not ours wants it, set MINIO_ACCESS_KEY and MINIO_SECRET_KEY; REDIS_PASSWORD likewise.

API_KEYS (keys, with commas between) closes /apiv1 to all others, WEBHOOK_SECRET signs the callbacks. Set, they are kept
in Secrets and changed by the next run that names others; a run without them leaves them as they are.
TEXT
}

die() { echo "deploy-all: $*" >&2; exit 1; }
say() { echo "deploy-all: $*" >&2; }

overlay=local components=() registry='' tag='' images=() timeout_s=600 action=apply
while [ $# -gt 0 ]; do
  case $1 in
    --overlay) overlay=${2:?}; shift ;;
    --with) components+=("${2:?}"); shift ;;
    --registry) registry=${2:?}; shift ;;
    --tag) tag=${2:?}; shift ;;
    --image) images+=("${2:?}"); shift ;;
    --timeout) timeout_s=${2:?}; shift ;;
    --dry-run) action=print ;;
    --delete) action=delete ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[ ! -d "deploy/overlays/$overlay" ] || overlay=deploy/overlays/$overlay
case $overlay in /*) die "name the overlay by a path inside this folder" ;; esac
[ -f "$overlay/kustomization.yaml" ] || die "there is no kustomization in $overlay"
command -v kubectl >/dev/null || die "kubectl is missing"

# What was asked for beside the overlay, as a kustomization of its own.
work=$(mktemp -d deploy/.run.XXXXXX)
trap 'rm -rf "$work"' EXIT

# image_entry NAME NEW: NEW is [registry/]name[:tag]
image_entry() {
  local name=$1 new=$2 tag=''
  case ${new##*/} in *:*) tag=${new##*:} new=${new%:*} ;; esac
  printf -- '- name: %s\n  newName: %s\n' "$name" "$new"
  if [ -n "$tag" ]; then printf '  newTag: "%s"\n' "$tag"; fi
}

write_kustomization() {
  local each
  printf 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: ["%s"]\n' "../../$overlay"
  if [ ${#components[@]} -gt 0 ]; then
    echo 'components:'
    for each in "${components[@]}"; do echo "- ../components/$each"; done
  fi
  if [ -n "$registry$tag" ] || [ ${#images[@]} -gt 0 ]; then
    echo 'images:'
    if [ -n "$registry$tag" ]; then
      for each in msaas-rest msaas-worker msaas-worker-gpu msaas-logs; do
        image_entry "$each" "${registry:+$registry/}$each${tag:+:$tag}"
      done
    fi
    for each in "${images[@]+"${images[@]}"}"; do image_entry "${each%%=*}" "${each#*=}"; done
  fi
}

write_kustomization >"$work/kustomization.yaml"
kubectl kustomize "$work" >"$work/all.yaml" || die "the manifests do not render; kubectl 1.21 or newer is needed"

has() { grep -q "^  name: $1\$" "$work/all.yaml"; }

random_key() { head -c 4096 /dev/urandom | LC_ALL=C tr -dc 'A-Za-z0-9' | cut -c "1-$1"; }

# secret NAMESPACE NAME KEY=VALUE...: made once, never overwritten; the values go through a file, not through `ps`
secret() {
  local namespace=$1 name=$2 pair args=(); shift 2
  if kubectl -n "$namespace" get secret "$name" >/dev/null 2>&1; then return; fi
  for pair in "$@"; do
    (umask 077; printf %s "${pair#*=}" >"$work/${pair%%=*}")
    args+=("--from-file=${pair%%=*}=$work/${pair%%=*}")
  done
  kubectl -n "$namespace" create secret generic "$name" "${args[@]}" >&2
  kubectl -n "$namespace" label secret "$name" "app.kubernetes.io/part-of=msaas" "app.kubernetes.io/name=$name" >/dev/null
}

make_secrets() {
  local access secret
  if has redis; then secret default redis "password=${REDIS_PASSWORD:-$(random_key 32)}"; fi
  # The store and those who use it must agree: what one of them has, both get.
  access=$(key_of access-key) secret=$(key_of secret-key)
  access=${access:-${MINIO_ACCESS_KEY:-$(random_key 20)}} secret=${secret:-${MINIO_SECRET_KEY:-$(random_key 40)}}
  secret default minio "access-key=$access" "secret-key=$secret"
  if has minio-ns; then
    kubectl apply -f minio/k8s/namespace.yaml >&2
    secret minio-ns minio "access-key=$access" "secret-key=$secret"
  fi
}

# given DEPLOYMENT NAME KEY VALUE: made or changed where there is a value; who runs with another is started anew
given() {
  local deployment=$1 name=$2 key=$3 value=$4 said
  if [ -z "$value" ]; then return; fi
  (umask 077; printf %s "$value" >"$work/$key")
  said=$(kubectl -n default create secret generic "$name" "--from-file=$key=$work/$key" --dry-run=client -o yaml |
    kubectl label --local -f - app.kubernetes.io/part-of=msaas -o yaml | kubectl apply -f -)
  say "$said"
  case $said in *unchanged) return ;; esac
  if kubectl -n default get deployment "$deployment" >/dev/null 2>&1; then restarts+=("deployment/$deployment"); fi
}

make_optional_secrets() {
  given rest-server api-keys keys "${API_KEYS:-}"
  given worker webhook-secret secret "${WEBHOOK_SECRET:-}"
}

key_of() {
  kubectl -n default get secret minio -o "go-template={{index .data \"$1\" | base64decode}}" 2>/dev/null || true
}

# wait_for NAMESPACE KIND NAME
wait_for() {
  has "$3" || return 0
  kubectl -n "$1" rollout status "$2/$3" --timeout="${timeout_s}s" >&2 && return
  kubectl -n "$1" get pods -o wide >&2
  kubectl -n "$1" get events --sort-by=.lastTimestamp 2>/dev/null | tail -20 >&2
  die "$2 $3 did not come up within $timeout_s s"
}

apply() {
  local restarts=()
  make_secrets
  make_optional_secrets
  # A Job cannot be changed, only made again.
  if has make-buckets; then kubectl -n default delete job make-buckets --ignore-not-found >&2; fi
  kubectl apply -f "$work/all.yaml" >&2
  if [ ${#restarts[@]} -gt 0 ]; then kubectl -n default rollout restart "${restarts[@]}" >&2; fi
  wait_for default statefulset redis
  wait_for minio-ns statefulset minio-proj
  if has make-buckets; then
    kubectl -n default wait --for=condition=complete job/make-buckets --timeout="${timeout_s}s" >&2 ||
      die "the buckets could not be made: kubectl logs job/make-buckets"
  fi
  wait_for default deployment rest-server
  wait_for default deployment logs
  # Under autoscaling there may be none, and that is right.
  wait_for default deployment worker
  if has rest-server; then say_how_to_reach; fi
}

say_how_to_reach() {
  local node port
  node=$(kubectl get nodes -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
  port=$(kubectl -n default get service rest-server -o 'jsonpath={.spec.ports[0].nodePort}')
  cat <<TEXT
MSaaS is up.
  inside the cluster  http://rest-server.default:5000
  on the node         http://$node:$port
  from here           kubectl port-forward service/rest-server 5000:5000
                      REST=localhost:5000 python sample-requests.py
  what happens        kubectl logs -f deployment/logs
TEXT
}

# kinds SCOPE...: all that this cluster can list and delete, custom ones too, with commas between
kinds() {
  kubectl api-resources --verbs=list,delete -o name "$@" | grep -vE '^(events|endpoints|nodes)(\.|$)' | paste -sd, -
}

delete() {
  local ours=app.kubernetes.io/part-of=msaas
  # A part, as queue and store for a developer, is removed without the rest.
  if has rest-server; then say "removing MSaaS with all its songs and stems"; else ours+=",app.kubernetes.io/name in (redis,minio)"; fi
  # First what makes pods, by the manifests, in their namespaces.
  kubectl delete -f "$work/all.yaml" --ignore-not-found --timeout="${timeout_s}s" >&2
  # Then what these manifests do not name: Secrets, the claims of the StatefulSets, what another overlay or component brought.
  kubectl -n default delete "$(kinds --namespaced=true)" -l "$ours" --ignore-not-found --timeout="${timeout_s}s" >&2
  kubectl delete "$(kinds --namespaced=false)" -l "$ours" --ignore-not-found --timeout="${timeout_s}s" >&2
}

case $action in
  print) cat "$work/all.yaml" ;;
  delete) delete ;;
  apply) apply ;;
esac
