//go:build unix

package replace

import (
	"path/filepath"
	"syscall"
)

// Possible reports whether File is likely to work for path: whether its folder may be
// written. It is for not offering what would fail; whether it works shows when it is done.
func Possible(path string) bool {
	const writeAndSearch = 0x2 | 0x1 // W_OK and X_OK of access(2)
	return syscall.Access(filepath.Dir(path), writeAndSearch) == nil
}
