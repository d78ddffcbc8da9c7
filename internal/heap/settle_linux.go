package heap

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// forgetStart takes the program's own instructions out of what this process has in memory. They
// come back as they are run, from the system's copy of the file, and those that only a start runs
// stay away: half of them. Instructions are never written to, so nothing can be lost; what does not
// work leaves all as it was.
func forgetStart() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var from, to uintptr
		var may string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &may); n == 3 && may == "r-xp" && strings.HasSuffix(lines.Text(), " "+program) {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED)
		}
	}
}
