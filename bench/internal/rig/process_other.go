//go:build !linux

package rig

import (
	"errors"
	"os/exec"
	"time"
)

func cpuOf(int) (time.Duration, error) {
	return 0, errors.New("only Linux tells it of another process: run the measurement there")
}

func endWithParent(*exec.Cmd) {}
