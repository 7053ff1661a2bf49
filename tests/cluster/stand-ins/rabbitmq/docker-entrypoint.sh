#!/bin/sh
# Run the server with the mounted settings and the user of the variables.
set -eu
{
  cat /etc/rabbitmq/rabbitmq.conf
  printf '\ndefault_user = %s\ndefault_pass = %s\n' "$RABBITMQ_DEFAULT_USER" "$RABBITMQ_DEFAULT_PASS"
} >"$RABBITMQ_CONFIG_FILE"
exec /usr/lib/rabbitmq/bin/rabbitmq-server
