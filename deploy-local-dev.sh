#!/usr/bin/env bash
# Redis on localhost:6379 and an S3 server on localhost:9000 and 9001, from the current cluster of kubectl, until Ctrl-C.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'TEXT'
usage: ./deploy-local-dev.sh [--delete] [--image NAME=NEW]

Deploys Redis and MinIO, forwards their ports, and prints the exports that the services need on this machine. Ctrl-C ends
the forwards. Queue and store keep running with their contents. --delete removes both with their contents.
TEXT
}

options=() delete=''
while [ $# -gt 0 ]; do
  case $1 in
    --delete) delete=1 ;;
    --image) options+=(--image "${2:?}"); shift ;;
    -h | --help) usage; exit ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done
if [ -n "$delete" ]; then exec ./deploy-all.sh --overlay dev --delete; fi

listens() { (: <"/dev/tcp/localhost/$1") 2>/dev/null; }

# Another server on the port would answer instead of the forward.
for port in 6379 9000 9001; do
  if listens "$port"; then echo "deploy-local-dev: port $port is taken. Stop the server that listens there." >&2; exit 1; fi
done
./deploy-all.sh --overlay dev ${options[@]+"${options[@]}"}

forwards=()
trap 'trap - EXIT; kill "${forwards[@]}" 2>/dev/null; wait' EXIT
trap 'exit 0' INT TERM

# A forward ends with its pod and with a broken connection: start it again.
keep_forwarding() {
  local forward=''
  trap 'kill "$forward" 2>/dev/null; exit' TERM INT
  while true; do
    kubectl "$@" >/dev/null 2>&1 &
    forward=$!
    wait "$forward" || true
    sleep 1
  done
}

keep_forwarding -n default port-forward service/redis 6379:6379 &
forwards+=($!)
keep_forwarding -n minio-ns port-forward service/minio-proj 9000:9000 9001:9001 &
forwards+=($!)

secret() { kubectl -n default get secret "$1" -o "go-template={{index .data \"$2\" | base64decode}}"; }

for port in 6379 9000; do
  until listens "$port"; do sleep 0.2; done
done
cat <<TEXT
Redis: localhost:6379. S3: localhost:9000, its console: http://localhost:9001. In another terminal:

  export REDIS_USERNAME=operator
  export REDIS_PASSWORD=$(secret redis-users operator)
  export MINIO_ACCESS_KEY=$(secret minio access-key)
  export MINIO_SECRET_KEY=$(secret minio secret-key)

Then make setup, and each in a terminal of its own:

  .venv/bin/python rest/rest-server.py
  .venv/bin/python worker/worker-server.py
  .venv/bin/python -m msaas_keeper    # returns the jobs of killed workers and repeats callbacks

Ctrl-C ends the forwards.
TEXT
wait
