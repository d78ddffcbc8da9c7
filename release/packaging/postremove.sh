#!/bin/sh
# Removing leaves the config, the key, the audit log and what the gateway kept. Debian's purge takes all
# of them, and the user; rpm has no such thing.
set -e

case "$1" in
remove | 0 | purge) ;;
*) exit 0 ;;
esac

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi

if [ "$1" = purge ]; then
	rm -rf /var/lib/evergate /var/log/evergate
	rm -f /etc/evergate/evergate.key /etc/evergate/users.yaml
	if getent passwd evergate >/dev/null; then
		userdel evergate || true
	fi
fi
