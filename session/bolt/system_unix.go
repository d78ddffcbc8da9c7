//go:build unix

package bolt

import (
	"os"
	"os/signal"
	"syscall"
)

// answerFileLimit has a write beyond the limit on file sizes answered with an
// error (EFBIG). The signal that comes with it would end the process.
func answerFileLimit() { signal.Ignore(syscall.SIGXFSZ) }

// mapped shows the first size bytes of f as memory.
func mapped(f *os.File, size int64) (b []byte, done func(), err error) {
	b, err = syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	return b, func() { _ = syscall.Munmap(b) }, err
}
