#!/usr/bin/env bash
# Deploys the whole system to the current cluster of kubectl and prints its address. It is idempotent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'TEXT'
usage: ./deploy-all.sh [options]

  --overlay NAME     a folder of deploy/overlays, or another folder here with a kustomization (default: local)
  --with COMPONENT   add one of deploy/components: api-key autoscaling debug external-broker external-database garage gateway
                     gpu ingress model-volume monitoring public-s3 url-fetch
  --open             leave /apiv1 open to all clients, and remove the API keys of earlier runs
  --registry PREFIX  registry of the images, for example europe-west1-docker.pkg.dev/project/msaas
  --tag TAG          version of the images (default: the one in the manifests)
  --image NAME=NEW   use image NEW instead of NAME, for example quay.io/minio/minio=mirror.example/minio:1
  --timeout SECONDS  limit for the start of each service (default: 600)
  --dry-run          print the manifests and change nothing
  --delete           remove everything, with all songs and stems

The first run creates random passwords and keys for the users of Redis and of the S3 server, one user for each service, and keeps
them in Secrets. Overlays but `local` and `dev`, and the components ingress, gateway and api-key, restrict /apiv1 to clients with
an API key: the first run creates one and prints it once.

MINIO_ACCESS_KEY and MINIO_SECRET_KEY set the keys of the root user of the S3 server. An external server needs them, and for users
of its own STORE_REST_ACCESS_KEY, STORE_REST_SECRET_KEY, and the same for WORKER and KEEPER.

DATABASE_URL and BROKER_ADDR (amqps://user:password@host/vhost) name the servers of --with external-database and external-broker.
WORKER_TOKEN replaces the token of the workers of RabbitMQ.

API_KEYS (keys, separated by commas) replaces the API keys. WEBHOOK_SECRET signs callbacks. Both are kept in Secrets. A run with
another value replaces it, a run without one keeps it.
TEXT
}

die() { echo "deploy-all: $*" >&2; exit 1; }
say() { echo "deploy-all: $*" >&2; }

overlay=local components=() registry='' tag='' images=() timeout_s=600 action=apply open=''
while [ $# -gt 0 ]; do
  case $1 in
    --overlay) overlay=${2:?}; shift ;;
    --with) components+=("${2:?}"); shift ;;
    --registry) registry=${2:?}; shift ;;
    --tag) tag=${2:?}; shift ;;
    --image) images+=("${2:?}"); shift ;;
    --timeout) timeout_s=${2:?}; shift ;;
    --open) open=1 ;;
    --dry-run) action=print ;;
    --delete) action=delete ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
[ ! -d "deploy/overlays/$overlay" ] || overlay=deploy/overlays/$overlay
case $overlay in /*) die "the overlay must be a relative path inside this folder" ;; esac
[ -f "$overlay/kustomization.yaml" ] || die "$overlay has no kustomization.yaml"
[ -z "$open" ] || [ -z "${API_KEYS:-}" ] || die "--open and API_KEYS contradict each other"
[ -z "$open" ] || components+=(open)
command -v kubectl >/dev/null || die "kubectl is missing"

# A kustomization of the overlay, the components and the images.
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
      for each in msaas-rest msaas-worker msaas-worker-gpu msaas-keeper msaas-logs; do
        image_entry "$each" "${registry:+$registry/}$each${tag:+:$tag}"
      done
    fi
    for each in "${images[@]+"${images[@]}"}"; do image_entry "${each%%=*}" "${each#*=}"; done
  fi
}

write_kustomization >"$work/kustomization.yaml"
kubectl kustomize "$work" >"$work/all.yaml" || die "the manifests do not render. kubectl 1.21 or newer is needed."

has() { grep -q "^  name: $1\$" "$work/all.yaml"; }

# The network of another server is not known here.
if [ "$action" = apply ] && grep -q 'cidr: 192\.0\.2\.0/24' "$work/all.yaml"; then
  if grep -q '192\.0\.2\.0/24' deploy/overlays/external-s3/egress.yaml && ! has minio-ns; then
    die "set the network of the S3 server in deploy/overlays/external-s3/egress.yaml"
  fi
  for each in database broker; do
    if has "$each-clients"; then die "set the network of the server in deploy/components/external-$each/egress.yaml"; fi
  done
fi
if [ "$action" = apply ]; then
  if has database-clients && [ -z "${DATABASE_URL:-}" ]; then die "external-database needs DATABASE_URL"; fi
  if has broker-clients && [ -z "${BROKER_ADDR:-}" ]; then die "external-broker needs BROKER_ADDR"; fi
  if has mysql && [ -n "${DATABASE_URL:-}" ]; then die "DATABASE_URL needs --with external-database"; fi
  if has rabbitmq && [ -n "${BROKER_ADDR:-}" ]; then die "BROKER_ADDR needs --with external-broker"; fi
fi
if [ "$action" = apply ] && grep -q 'PUBLIC_S3_URL: https://s3\.example\.org$' "$work/all.yaml"; then
  die "set PUBLIC_S3_URL in deploy/components/public-s3/kustomization.yaml"
fi

random_hex() { head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n'; }

random_key() { head -c 4096 /dev/urandom | LC_ALL=C tr -dc 'A-Za-z0-9' | cut -c "1-$1"; }

# create_secret NAMESPACE NAME KEY=VALUE...: keeps an existing Secret. The values go through a file: arguments show in `ps`.
create_secret() {
  local namespace=$1 name=$2 pair args=(); shift 2
  if kubectl -n "$namespace" get secret "$name" >/dev/null 2>&1; then return; fi
  for pair in "$@"; do
    (umask 077; printf %s "${pair#*=}" >"$work/${pair%%=*}")
    args+=("--from-file=${pair%%=*}=$work/${pair%%=*}")
  done
  kubectl -n "$namespace" create secret generic "$name" "${args[@]}" >&2
  kubectl -n "$namespace" label secret "$name" "app.kubernetes.io/part-of=msaas" "app.kubernetes.io/name=$name" >/dev/null
}

create_secrets() {
  local access secret service
  if has redis; then
    create_secret default redis-users "rest=$(random_key 32)" "worker=$(random_key 32)" "keeper=$(random_key 32)" \
      "logs=$(random_key 32)" "client=$(random_key 32)" "operator=$(random_key 32)"
  fi
  # The store and the Job that creates its users need the same keys: existing ones are used for both.
  access=$(key_of minio access-key) secret=$(key_of minio secret-key)
  access=${access:-${MINIO_ACCESS_KEY:-$(random_key 20)}} secret=${secret:-${MINIO_SECRET_KEY:-$(random_key 40)}}
  create_secret default minio "access-key=$access" "secret-key=$secret"
  if has minio-ns; then
    kubectl apply -f minio/k8s/namespace.yaml >&2
    create_secret minio-ns minio "access-key=$access" "secret-key=$secret"
  fi
  # Garage keeps its secrets beside the store.
  if has garage; then create_secret minio-ns garage "rpc-secret=$(random_hex)"; fi
  create_database_secret
  create_broker_secrets
  if has make-buckets; then
    for service in rest worker keeper; do create_store_user "$service" "$access" "$secret"; done
  fi
}

# The password of the server and the address that has it are made together.
create_database_secret() {
  local password
  has mysql || return 0
  password=$(key_of mysql password); password=${password:-$(random_key 32)}
  create_secret default mysql "password=$password" "root-password=$(random_key 32)"
  create_secret default database "url=mysql://msaas:$password@mysql:3306/msaas"
}

create_broker_secrets() {
  local password
  if has song-worker; then create_secret default worker-token "token=$(random_key 40)"; fi
  has rabbitmq || return 0
  password=$(key_of rabbitmq password); password=${password:-$(random_key 32)}
  create_secret default rabbitmq "password=$password"
  create_secret default broker "addr=amqp://msaas:$password@rabbitmq:5672"
}

# create_store_user SERVICE ACCESS SECRET: on another S3 server than MinIO, the keys of the variables, or ACCESS and SECRET
create_store_user() {
  local upper access secret
  upper=$(tr '[:lower:]' '[:upper:]' <<<"$1")
  access=STORE_${upper}_ACCESS_KEY secret=STORE_${upper}_SECRET_KEY
  access=${!access:-} secret=${!secret:-}
  if [ -z "$access" ] && has minio-proj && ! has garage; then access=$1-$(random_key 12) secret=$(random_key 40); fi
  create_secret default "store-$1" "access-key=${access:-$2}" "secret-key=${secret:-$3}"
}

# The rendered Deployment needs the Secret: `optional: false`.
needs_api_key() { grep -q '^ *optional: false$' "$work/all.yaml"; }

# Creates a key once, and keeps it in new_api_key to print it.
create_api_key() {
  if [ -n "$open" ]; then
    if kubectl -n default get secret api-keys >/dev/null 2>&1; then
      kubectl -n default delete secret api-keys >&2
      restarts+=(deployment/rest-server)
    fi
  elif needs_api_key && ! kubectl -n default get secret api-keys >/dev/null 2>&1; then
    new_api_key=$(random_key 40)
    create_secret default api-keys "keys=$new_api_key"
  fi
}

# apply_optional_secret NAME KEY VALUE DEPLOYMENT...: does nothing without a value. A change restarts the deployments.
apply_optional_secret() {
  local name=$1 key=$2 value=$3 result deployment; shift 3
  if [ -z "$value" ]; then return; fi
  (umask 077; printf %s "$value" >"$work/$key")
  result=$(kubectl -n default create secret generic "$name" "--from-file=$key=$work/$key" --dry-run=client -o yaml |
    kubectl label --local -f - app.kubernetes.io/part-of=msaas -o yaml | kubectl apply -f -)
  say "$result"
  case $result in *unchanged) return ;; esac
  for deployment in "$@"; do
    if kubectl -n default get deployment "$deployment" >/dev/null 2>&1; then restarts+=("deployment/$deployment"); fi
  done
}

apply_optional_secrets() {
  apply_optional_secret api-keys keys "${API_KEYS:-}" rest-server
  apply_optional_secret database url "${DATABASE_URL:-}" rest-server keeper
  apply_optional_secret broker addr "${BROKER_ADDR:-}" rest-server song-worker
  apply_optional_secret worker-token token "${WORKER_TOKEN:-}" rest-server song-worker
  apply_optional_secret webhook-secret secret "${WEBHOOK_SECRET:-}" worker keeper
}

# key_of SECRET KEY
key_of() {
  kubectl -n default get secret "$1" -o "go-template={{index .data \"$2\" | base64decode}}" 2>/dev/null || true
}

# wait_for NAMESPACE KIND NAME
wait_for() {
  has "$3" || return 0
  kubectl -n "$1" rollout status "$2/$3" --timeout="${timeout_s}s" >&2 && return
  kubectl -n "$1" get pods -o wide >&2
  kubectl -n "$1" get events --sort-by=.lastTimestamp 2>/dev/null | tail -20 >&2
  die "$2 $3 is not ready after $timeout_s s"
}

apply() {
  local restarts=() new_api_key=''
  create_secrets
  apply_optional_secrets
  create_api_key
  # A Job is immutable: create it again.
  if has make-buckets; then kubectl -n default delete job make-buckets --ignore-not-found >&2; fi
  kubectl apply -f "$work/all.yaml" >&2
  if [ ${#restarts[@]} -gt 0 ]; then kubectl -n default rollout restart "${restarts[@]}" >&2; fi
  wait_for default statefulset redis
  wait_for default statefulset mysql
  wait_for default statefulset rabbitmq
  wait_for minio-ns statefulset "$(if has garage; then echo garage; else echo minio-proj; fi)"
  if has make-buckets; then
    kubectl -n default wait --for=condition=complete job/make-buckets --timeout="${timeout_s}s" >&2 ||
      die "the Job make-buckets failed: kubectl logs job/make-buckets"
  fi
  wait_for default deployment rest-server
  wait_for default deployment keeper
  wait_for default deployment logs
  # With autoscaling it may have no pod: `rollout status` accepts that.
  wait_for default deployment worker
  wait_for default deployment song-worker
  if has rest-server; then print_addresses; fi
}

print_addresses() {
  local node port
  node=$(kubectl get nodes -o 'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}')
  port=$(kubectl -n default get service rest-server -o 'jsonpath={.spec.ports[0].nodePort}')
  cat <<TEXT
MSaaS is ready.
  inside the cluster  http://rest-server.default:5000
  on the node         http://$node:$port
  on this machine     kubectl port-forward service/rest-server 5000:5000
                      REST=localhost:5000 python sample-requests.py
  log                 kubectl logs -f deployment/logs
TEXT
  if [ -n "$new_api_key" ]; then
    echo "  API key             $new_api_key (send it as Authorization: Bearer. It is not shown again)"
  fi
}

# kinds SCOPE...: all kinds of this cluster that can be listed and deleted, custom ones too, separated by commas
kinds() {
  kubectl api-resources --verbs=list,delete -o name "$@" | grep -vE '^(events|endpoints|nodes)(\.|$)' | paste -sd, -
}

delete() {
  local ours=app.kubernetes.io/part-of=msaas
  # An overlay without rest, such as dev, removes queue and store only.
  if has rest-server; then say "removing MSaaS with all its songs and stems"; else ours+=",app.kubernetes.io/name in (redis,minio)"; fi
  # First the manifests: their workloads create pods.
  kubectl delete -f "$work/all.yaml" --ignore-not-found --timeout="${timeout_s}s" >&2
  # Then everything else with the label: Secrets, claims of StatefulSets, objects of other overlays and components.
  kubectl -n default delete "$(kinds --namespaced=true)" -l "$ours" --ignore-not-found --timeout="${timeout_s}s" >&2
  kubectl delete "$(kinds --namespaced=false)" -l "$ours" --ignore-not-found --timeout="${timeout_s}s" >&2
}

case $action in
  print) cat "$work/all.yaml" ;;
  delete) delete ;;
  apply) apply ;;
esac
