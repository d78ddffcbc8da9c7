#!/bin/sh
# Gives the gateway's files to it. A gateway that runs is started anew where the new
# version takes its config; nothing is started that did not run.
set -e
umask 077

# Debian says "configure" and the version that was there; rpm says 1 at the first
# installation and 2 at an upgrade.
case "$1" in
configure) before=$2 ;;
1) before= ;;
2) before=yes ;;
*) exit 0 ;;
esac

etc=/etc/evergate
if [ -z "$before" ]; then
	chown root:evergate $etc $etc/evergate.yaml
	chmod 0750 $etc
	chmod 0640 $etc/evergate.yaml
	[ -e $etc/evergate.key ] || /usr/bin/evergate key new --out $etc/evergate.key 2>/dev/null
	[ -e $etc/users.yaml ] || echo 'users: {}' >$etc/users.yaml
	# The key has to be closed to everybody else, and so are password hashes.
	chown evergate:evergate $etc/evergate.key $etc/users.yaml
	[ -d /var/lib/evergate ] || mkdir /var/lib/evergate
	chown evergate:evergate /var/lib/evergate
	chmod 0700 /var/lib/evergate
fi

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
	if [ -n "$before" ] && systemctl is-active --quiet evergate.service; then
		if /usr/bin/evergate check $etc/evergate.yaml >/dev/null 2>&1; then
			systemctl restart evergate.service || true
		else
			echo "evergate: this version does not take the config, so the one before still runs." >&2
			echo "evergate: see what it says: evergate check $etc/evergate.yaml" >&2
			echo "evergate: then: systemctl restart evergate" >&2
		fi
	fi
fi

if [ -z "$before" ]; then
	cat <<'EOF'
Evergate is installed, and was not started. Next:
  1. say in /etc/evergate/evergate.yaml which app it protects, and under which name
  2. evergate user add --config /etc/evergate/evergate.yaml NAME
  3. evergate check /etc/evergate/evergate.yaml
  4. systemctl enable --now evergate
EOF
fi
