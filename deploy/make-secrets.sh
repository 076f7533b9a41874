#!/bin/sh
# Random passwords for docker-compose.yml, one file each. What is there already stays: running it twice is safe.
#   sh deploy/make-secrets.sh [FOLDER]
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"

word() { LC_ALL=C tr -dc 'A-Za-z0-9' < /dev/urandom | head -c 40; }

write() { # name, content; containers read the file as a user of their own, the folder keeps others on this machine out
  if [ -e "$folder/$1" ]; then echo "kept    $folder/$1"; return; fi
  printf '%s\n' "$2" > "$folder/$1"
  chmod 444 "$folder/$1"
  echo "created $folder/$1"
}

# Two files tell the same password to two programs: made together or not at all.
pair() { # first, its content, second, its content
  if [ -e "$folder/$1" ] && [ ! -e "$folder/$3" ] || [ ! -e "$folder/$1" ] && [ -e "$folder/$3" ]; then
    echo "$folder holds only one of $1 and $3, which belong together: remove it, and the volume that knows it" >&2
    exit 1
  fi
  write "$1" "$2"
  write "$3" "$4"
}

postgres=$(word)
gateway=$(word)
devices=$(word)
pair postgres_password "$postgres" courtyard_database_url "postgresql://courtyard:$postgres@postgres:5432/courtyard"
pair mqtt_users "gateway:$gateway
devices:$devices" courtyard_mqtt "mqtt://gateway:$gateway@mosquitto:1883"
write gateway_token "$(word)"
