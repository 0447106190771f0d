#!/bin/sh
# Lays the certificate of HAProxy into a volume: the one that was given, or else one that is made here once, and anew in the week before it ends.
# given: a file with the chain and its key, empty for none. folder: the volume. owner: who runs HAProxy.
set -eu
umask 077
given=$1 folder=$2 owner=$3

if [ -s "$given" ]; then
  cat "$given" > "$folder/new.pem"
  openssl x509 -noout -in "$folder/new.pem"
  openssl pkey -noout -in "$folder/new.pem"
elif openssl x509 -noout -checkend 604800 -in "$folder/falgate.pem" > /dev/null 2>&1; then
  exit 0
else
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 397 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1 -addext extendedKeyUsage=serverAuth \
    -keyout "$folder/new.key" -out "$folder/new.crt" 2> /dev/null
  cat "$folder/new.crt" "$folder/new.key" > "$folder/new.pem"
  rm "$folder/new.key" "$folder/new.crt"
fi

# Clients that shall trust it need this part, which holds no key.
openssl x509 -in "$folder/new.pem" -out "$folder/falgate.crt"
chmod 444 "$folder/falgate.crt"
chown "$owner" "$folder/new.pem"
mv "$folder/new.pem" "$folder/falgate.pem"
