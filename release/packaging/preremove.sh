#!/bin/sh
# Stops the gateway before it goes. At an upgrade it serves on.
set -e

# Debian says "remove"; rpm says how many versions will be left.
case "$1" in
remove | 0) ;;
*) exit 0 ;;
esac

if [ -d /run/systemd/system ]; then
	systemctl --no-reload disable --now evergate.socket evergate-redirect.socket evergate.service || true
fi
