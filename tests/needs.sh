#!/bin/sh
# What the tests need beside Python: real servers and a real browser, from Debian's packages.
# `sh tests/needs.sh install` installs what is missing where apt and root are there; otherwise it names what is
# missing and which tests will be skipped. It never fails: a skipped test says so itself.
# `sh tests/needs.sh install mosquitto influxdb` looks at these packages alone (`make stack` does).
set -u

missing() {
  [ -x /usr/sbin/mosquitto ] || command -v mosquitto >/dev/null 2>&1 || echo mosquitto
  command -v influxd >/dev/null 2>&1 || echo influxdb
  ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || echo postgresql
  command -v promtool >/dev/null 2>&1 || echo prometheus
  [ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || echo nginx-light libnginx-mod-stream
  [ -x /usr/bin/chromium ] || echo chromium
  [ -n "$(find /usr/share/fonts -iname '*noto*cjk*' -print -quit 2>/dev/null)" ] || echo fonts-noto-cjk
}

skips() {
  case "$1" in
    mosquitto) echo "delivery, fault and end-to-end tests" ;;
    influxdb) echo "tests that run the dashboards' queries" ;;
    postgresql) echo "tests of services on PostgreSQL" ;;
    prometheus) echo "tests of the alert rules and of the dashboard over our own metrics" ;;
    nginx-light | libnginx-mod-stream) echo "the test of TLS in front of broker and pages" ;;
    chromium) echo "tests of the pages in a browser" ;;
    fonts-noto-cjk) echo "nothing, but Chinese pages show boxes in screenshots" ;;
  esac
}

mode=${1:-}
[ $# -eq 0 ] || shift
asked="$*"
chosen() { # of what is missing, what was asked for
  for package in $(missing); do
    case " ${asked:-$package} " in *" $package "*) echo "$package" ;; esac
  done
}

wanted=$(chosen)
[ -n "$wanted" ] || exit 0

if [ "$mode" = install ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing what is needed:" $wanted
  # policy-rc.d keeps the packages from starting servers of their own beside the ones the tests start.
  guard=/usr/sbin/policy-rc.d
  [ -e $guard ] || { printf '#!/bin/sh\nexit 101\n' >$guard && chmod +x $guard && made=1; }
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends $wanted; } >/tmp/courtyard-needs.log 2>&1 ||
    { echo "apt-get did not manage; the end of its log:"; tail -n 5 /tmp/courtyard-needs.log; }
  [ -z "${made:-}" ] || rm -f $guard
  wanted=$(chosen)
fi

for package in $wanted; do
  echo "Missing: $package — skipped: $(skips "$package"). On Debian: apt-get install $package"
done
exit 0
