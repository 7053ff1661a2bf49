#!/bin/sh
# Writes the users with the hashes of their passwords, which PASSWORD_<user> hold, and becomes the server.
# No argument of a process has a password, and the environment of the server has none.
set -eu
folder=$(dirname "$0")
users=${TMPDIR:-/tmp}/users.acl
umask 077
: >"$users"
while read -r word name rights; do
  [ "$word" = user ] || continue
  case $name in
    default | probe) echo "user $name $rights" ;;
    *)
      eval "password=\${PASSWORD_$name:-}"
      [ -n "$password" ] || { echo "start: PASSWORD_$name is missing" >&2; exit 1; }
      hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
      unset password "PASSWORD_$name"
      echo "user $name #$hash $rights"
      ;;
  esac
done <"$folder/users.acl" >"$users"
exec redis-server "$folder/redis.conf" --aclfile "$users" "$@"
