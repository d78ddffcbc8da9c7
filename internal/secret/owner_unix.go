//go:build unix

package secret

import (
	"io/fs"
	"os"
	"syscall"
)

// HasModes says that the mode of a file tells who may read it.
const HasModes = true

func ownerOf(fi fs.FileInfo) (uid int, known bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

func self() int { return os.Geteuid() }
