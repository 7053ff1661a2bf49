#!/bin/sh
# Succeed when the server answers by TCP, which it does not during the first start.
exec mariadb-admin --no-defaults --protocol=tcp --host=127.0.0.1 --user=healthcheck ping
