#!/bin/sh
# Mosquitto wants hashed passwords; the secret holds `name:password` lines. The hashes live in memory only, so a new
# password works after a restart and none is ever written to a disk.
set -eu
USERS=/run/secrets/mqtt_users
PASSWORDS=/tmp/mqtt_passwords
CONF=/mosquitto/config/mosquitto.conf

umask 077
cat "$USERS" > "$PASSWORDS"
mosquitto_passwd -U "$PASSWORDS"
exec mosquitto -c "$CONF"
