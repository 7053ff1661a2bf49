#!/bin/bash
# Make the data directory with its database and users at the first start, then run the server.
set -euo pipefail
data=/var/lib/mysql socket=/run/mysqld/mysqld.sock
server=(mariadbd --no-defaults "--datadir=$data" "--socket=$socket" --pid-file=/run/mysqld/mysqld.pid)

if [ ! -d "$data/mysql" ]; then
  trap 'rm -rf "${data:?}"/*' ERR
  mariadb-install-db --no-defaults "--datadir=$data" --skip-test-db --auth-root-socket-user=mysql >/dev/null
  "${server[@]}" --skip-networking "$@" &
  until mariadb-admin --no-defaults "--socket=$socket" ping >/dev/null 2>&1; do sleep 0.2; done
  mariadb --no-defaults "--socket=$socket" <<SQL
CREATE DATABASE \`$MARIADB_DATABASE\`;
CREATE USER \`$MARIADB_USER\`@'%' IDENTIFIED BY '$MARIADB_PASSWORD';
GRANT ALL ON \`$MARIADB_DATABASE\`.* TO \`$MARIADB_USER\`@'%';
ALTER USER root@localhost IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';
CREATE USER healthcheck@'127.0.0.1';
SQL
  kill %1
  wait
  trap - ERR
fi
exec "${server[@]}" "$@"
