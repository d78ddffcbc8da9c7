package door

import (
	"fmt"
	"strconv"

	"github.com/coreos/go-systemd/v22/daemon"
)

// State is what a service manager is told (sd_notify(3)).
type State string

// The states of the gateway.
const (
	Ready     State = daemon.SdNotifyReady
	Stopping  State = daemon.SdNotifyStopping
	Reloading State = daemon.SdNotifyReloading
)

// MainPID is that another process is the service from now on.
func MainPID(pid int) State { return State("MAINPID=" + strconv.Itoa(pid)) }

// Notify tells the service manager, where there is one.
func Notify(s State) error {
	text := string(s)
	if s == Reloading { // with the time, so that the READY=1 after it is not taken for one before it
		text += "\n" + daemon.SdNotifyMonotonicUsec()
	}
	if _, err := daemon.SdNotify(false, text); err != nil {
		return fmt.Errorf("tell the service manager %s: %w", s, err)
	}
	return nil
}
