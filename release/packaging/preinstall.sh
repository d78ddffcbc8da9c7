#!/bin/sh
# Makes the user that the gateway runs as.
set -e

if ! getent passwd evergate >/dev/null; then
	useradd --system --user-group --home-dir /var/lib/evergate --no-create-home \
		--shell /usr/sbin/nologin --comment "Evergate" evergate
fi
