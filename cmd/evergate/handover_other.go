//go:build !unix

package main

import (
	"errors"
	"io"
	"os"
)

// No sockets are handed over here: a process ends, and the next one starts.

var (
	self    = ""
	errPipe = io.ErrClosedPipe
)

func (l *listeners) startSuccessor() (*successor, error) {
	return nil, errors.New("sockets cannot be handed over on this system; restart the gateway")
}

func inherit() (*predecessor, error) { return nil, nil }

func notifyUpgrade(chan<- os.Signal) {}

func (l *listeners) again() (*listeners, error) {
	return &listeners{front: l.front, back: l.back, redirect: l.redirect}, nil
}
