//go:build unix

package bolt

import (
	"os/signal"
	"syscall"
)

// answerFileLimit has a write beyond the limit on file sizes answered with an
// error (EFBIG). The signal that comes with it would end the process.
func answerFileLimit() { signal.Ignore(syscall.SIGXFSZ) }
