package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/evergate/evergate/internal/secret"
)

// surroundings are what is wrong with how the program runs, whatever its config says: as root,
// or from where everybody on the machine can put another program in its place.
func surroundings() (warnings []string) {
	if os.Geteuid() == 0 {
		warnings = append(warnings, "it runs as root: a hole in it would be one in the whole machine. Run it as a user of its own; "+
			"a port below 1024 takes the capability CAP_NET_BIND_SERVICE and no more")
	}
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		return warnings
	}
	if at := openTo(program); at != "" {
		warnings = append(warnings, fmt.Sprintf("everybody on this machine can replace the program: %s can be written by all; try: chmod o-w %s", at, at))
	}
	return warnings
}

// openTo is what of a file and the folders that it is in everybody may write, or "". In a folder
// with the sticky bit, such as /tmp, nobody takes away what is somebody else's.
func openTo(file string) string {
	if !secret.HasModes {
		return ""
	}
	for at := file; ; at = filepath.Dir(at) {
		if fi, err := os.Stat(at); err == nil && fi.Mode().Perm()&0o002 != 0 && (at == file || fi.Mode()&fs.ModeSticky == 0) {
			return at
		}
		if at == filepath.Dir(at) {
			return ""
		}
	}
}
