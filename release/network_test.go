package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// inNetworkOf moves the calling thread into the network of a process, and calls f there.
func inNetworkOf(pid string, f func() error) error {
	ns, err := os.Open("/proc/" + pid + "/ns/net")
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network of the box: %w", err)
	}
	return f()
}

// raiseLoopback gives the network of the calling thread 127.0.0.1.
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// app starts an app at an address in the box, that says which user it is told of.
func (b *box) app(address string) {
	b.t.Helper()
	var l net.Listener
	if err := b.on(func() (err error) { l, err = net.Listen("tcp4", address); return err }); err != nil {
		b.t.Fatal(err)
	}
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "user %s", r.Header.Get("X-Forwarded-User"))
	})}}
	s.Start()
	b.t.Cleanup(s.Close)
}

// browser is a client in the box, which keeps cookies. localhost is 127.0.0.1 to it.
func (b *box) browser() *http.Client {
	b.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		return b.dial(port)
	}}
	b.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

// dial connects to a port of 127.0.0.1 in the box.
func (b *box) dial(port string) (net.Conn, error) {
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	var conn net.Conn
	err = b.on(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), "connection")
		defer f.Close()
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: n, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			return err
		}
		conn, err = net.FileConn(f)
		return err
	})
	return conn, err
}
