#!/bin/sh
# Makes what deploy/compose.yaml needs and must not be the same for two people: the key that
# seals cookies, the password of the store, and a certificate to begin with. What is there
# already stays. Run it as root: the files get the owners that the containers run as.
#
#   ./compose/prepare.sh apps.example.com
set -eu
umask 077

site=${1:?usage: prepare.sh NAME-OF-THE-SITE, as in prepare.sh apps.example.com}
here=$(cd "$(dirname "$0")" && pwd)
evergate=${EVERGATE:-docker run --rm evergate} # or a binary: EVERGATE=/usr/bin/evergate
gateway=65532 store=999

mkdir -p "$here/secrets"
chmod 0755 "$here/secrets"
cd "$here/secrets"

trap 'rm -f evergate.key.new' EXIT
if [ ! -s evergate.key ]; then
	$evergate key new >evergate.key.new
	mv evergate.key.new evergate.key
fi

if [ ! -s redis.password ] || [ ! -s store.acl ]; then
	openssl rand -hex 32 | tr -d '\n' >redis.password
	digest=$(openssl dgst -sha256 -r redis.password | cut -d' ' -f1)
	# Who has no password may ask whether the store lives. The gateway may do what it has to,
	# with its own keys.
	cat >store.acl <<EOF
user default on nopass resetkeys resetchannels -@all +ping
user evergate on #$digest ~evergate:* -@all +@read +@write +@scripting +@transaction +@connection +@fast +info
EOF
fi

if [ ! -s tls.crt ] || [ ! -s tls.key ]; then
	# Signed by itself, to begin with: put one that browsers believe in its place, and restart
	# the gateway.
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$site" \
		-addext "subjectAltName=DNS:$site" -keyout tls.key -out tls.crt 2>/dev/null
fi

chmod 0600 evergate.key redis.password store.acl tls.key
chmod 0644 tls.crt
chown $gateway:$gateway evergate.key redis.password tls.crt tls.key
chown $store:$store store.acl

# The config is no secret, and the container is another user.
chmod 0755 ../etc
chmod 0644 ../etc/*
(umask 022 && echo "SITE=$site" >../../.env)
