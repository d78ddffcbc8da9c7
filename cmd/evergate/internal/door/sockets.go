package door

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// Names of the gateway's sockets, as FileDescriptorName= of a systemd socket unit, and
// their order where no such name is given.
const (
	Public   = "public"
	Admin    = "admin"
	Redirect = "redirect"
	Forward  = "forward-auth"
)

var socketNames = []string{Public, Admin, Redirect, Forward}

// Sockets are those that a service manager opened for the gateway (sd_listen_fds(3)).
// None is as good: then they are opened here.
type Sockets map[string]net.Listener

// Activated takes over the sockets that were handed to this process.
func Activated() (Sockets, error) {
	files := activation.Files(true)
	named := slices.ContainsFunc(files, func(f *os.File) bool { return slices.Contains(socketNames, f.Name()) })
	all := Sockets{}
	for i, f := range files {
		name := f.Name()
		if !named && i < len(socketNames) {
			name = socketNames[i]
		}
		l, err := net.FileListener(f) // a copy of the descriptor
		_ = f.Close()
		if err != nil {
			err = fmt.Errorf("the socket %q of the service manager does not listen: %w", name, err)
		} else if !slices.Contains(socketNames, name) || !named && i >= len(socketNames) {
			err = fmt.Errorf("the service manager handed over a socket called %q; want FileDescriptorName=%s, or %d sockets in that order",
				name, strings.Join(socketNames, ", "), len(socketNames))
		} else if all[name] != nil {
			err = fmt.Errorf("the service manager handed over two sockets called %q; one ListenStream= with a port alone takes IPv4 and IPv6", name)
		}
		if err != nil {
			if l != nil {
				_ = l.Close()
			}
			all.Close()
			return nil, err
		}
		all[name] = l
	}
	return all, nil
}

// Take gives the socket of a name, once; nil where there is none.
func (s Sockets) Take(name string) net.Listener {
	l := s[name]
	delete(s, name)
	return l
}

// Close closes what was not taken.
func (s Sockets) Close() {
	for _, l := range s {
		_ = l.Close()
	}
}
