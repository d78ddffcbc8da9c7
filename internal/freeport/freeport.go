// Package freeport finds ports for the programs that tests start.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// Find returns a port of 127.0.0.1 that was free a moment ago. It is none of those
// that the system gives to outgoing connections, which would be taken again at once
// where there are many; and one 10,000 higher is none of them either, which the bus of
// a Redis Cluster takes.
func Find() (int, error) {
	for range 100 {
		port := 10_000 + rand.IntN(12_000)
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			_ = l.Close()
			return port, nil
		}
	}
	return 0, errors.New("no port is free between 10,000 and 22,000")
}
