package rig

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// Memory is what a process has in RAM, in bytes.
type Memory struct {
	// Resident is all of it.
	Resident int64
	// Own is anonymous: the rest is pages of files, which the kernel takes back when it
	// needs them.
	Own int64
}

// Files is how much of it are pages of files.
func (m Memory) Files() int64 { return m.Resident - m.Own }

func memoryOf(pid int) (Memory, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return Memory{}, err
	}
	defer f.Close()
	return readMemory(f)
}

// readMemory reads a smaps_rollup (proc_pid_smaps(5)).
func readMemory(r io.Reader) (m Memory, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		name, rest, _ := strings.Cut(s.Text(), ":")
		var kib int64
		if _, err := fmt.Sscan(rest, &kib); err != nil {
			continue // the line of addresses
		}
		switch name {
		case "Rss":
			m.Resident = kib << 10
		case "Anonymous":
			m.Own = kib << 10
		}
	}
	if err := s.Err(); err != nil {
		return m, err
	}
	if m.Resident == 0 || m.Own == 0 {
		return m, fmt.Errorf("smaps_rollup has no Rss or no Anonymous")
	}
	return m, nil
}
