// Package freeport finds ports for the programs that tests start.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// taken keeps the ports that Find has given, for as long as this process lives.
var taken struct {
	mu    sync.Mutex // guards ports
	ports []net.PacketConn
}

// Find returns a port of 127.0.0.1 that is free, and that no Find gives again, in this
// process or in another, while this process lives: between the finding and the moment
// when a program listens there, many tests ask for one. It is none of those that the
// system gives to outgoing connections, which would be taken again at once where there
// are many; and one 10,000 higher is none of them either, which the bus of a Redis
// Cluster takes.
func Find() (int, error) {
	for range 100 {
		port := 10_000 + rand.IntN(12_000)
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		// UDP's port of the same number is a sign that everybody here can see. It is in
		// nobody's way, and goes with the process.
		sign, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			_ = sign.Close()
			continue
		}
		_ = l.Close()
		taken.mu.Lock()
		defer taken.mu.Unlock()
		taken.ports = append(taken.ports, sign)
		return port, nil
	}
	return 0, errors.New("no port is free between 10,000 and 22,000")
}
