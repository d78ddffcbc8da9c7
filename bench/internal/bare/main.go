// Bare is httputil.ReverseProxy and nothing else, with the settings of Evergate's server,
// transport, buffers and garbage collector: what a request costs where nobody asks who sends it.
//
//	bare LISTEN TARGET
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/evergate/evergate/internal/heap"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: bare LISTEN TARGET")
		os.Exit(2)
	}
	defer heap.Tend()() // as the gateway does
	target, err := url.Parse(os.Args[2])
	if err == nil {
		err = server(os.Args[1], target).ListenAndServe()
	}
	fmt.Fprintln(os.Stderr, "bare:", err)
	os.Exit(1)
}

// server has what cmd/evergate/internal/door gives its http.Server by default.
func server(listen string, target *url.URL) *http.Server {
	return &http.Server{
		Addr: listen, Handler: handler(target), MaxHeaderBytes: 64 << 10, DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// handler has the transport and the buffers of package proxy, with its defaults.
func handler(target *url.URL) http.Handler {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(target)
			p.SetXForwarded()
		},
		Transport: &http.Transport{
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    10 * time.Second,
			Protocols:              &protocols,
			DisableCompression:     true,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    256,
			IdleConnTimeout:        90 * time.Second,
			ResponseHeaderTimeout:  60 * time.Second,
			ExpectContinueTimeout:  time.Second,
			MaxResponseHeaderBytes: 256 << 10,
		},
		BufferPool: buffers{},
		ErrorLog:   log.New(io.Discard, "", 0),
	}
}

// buffers lends what bodies are copied through.
type buffers struct{}

const bufferSize = 32 << 10

var pool = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func (buffers) Get() []byte  { return pool.Get().(*[bufferSize]byte)[:] }
func (buffers) Put(b []byte) { pool.Put((*[bufferSize]byte)(b)) }
