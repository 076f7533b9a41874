#!/bin/sh
# An account for Grafana that reads the time series and writes none. InfluxDB's image runs this once, when the volume is
# new; run it again after the password was replaced. How long each bucket keeps what, `courtyard telemetry setup` says.
set -eu
password=$(cat /run/secrets/influxdb_reader_password)

for bucket in telemetry/5m telemetry/1h; do
  influx bucket list --name "$bucket" > /dev/null 2>&1 || influx bucket create --name "$bucket"
done
if influx v1 auth list --username grafana --hide-headers 2> /dev/null | grep -q .; then
  influx v1 auth set-password --username grafana --password "$password"
  exit
fi
set --
for bucket in telemetry telemetry/5m telemetry/1h; do
  set -- "$@" --read-bucket "$(influx bucket list --name "$bucket" --hide-headers | cut -f 1)"
done
influx v1 auth create --username grafana --password "$password" "$@"
