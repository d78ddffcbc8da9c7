// Upstream is the app behind the proxies that are measured.
//
//	upstream LISTEN
//
//	GET  /               1 KiB
//	GET  /body?size=N    N bytes
//	PUT  /body           how many bytes came, in digits
//	GET  /ws             a WebSocket that sends back what it gets
//	GET  /events         an event, and another each ?every=1s
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// block is what bodies are made of, and read into.
const block = 256 << 10

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: upstream LISTEN")
		os.Exit(2)
	}
	err := http.ListenAndServe(os.Args[1], handler())
	fmt.Fprintln(os.Stderr, "upstream:", err)
	os.Exit(1)
}

func handler() http.Handler {
	page := make([]byte, 1<<10)
	for i := range page {
		page[i] = 'a' + byte(i%26)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{"text/plain; charset=utf-8"}
		w.Header()["Content-Length"] = []string{"1024"}
		_, _ = w.Write(page)
	})
	mux.HandleFunc("GET /body", send)
	mux.HandleFunc("PUT /body", take)
	mux.HandleFunc("GET /ws", echo)
	mux.HandleFunc("GET /events", events)
	return mux
}

func send(w http.ResponseWriter, r *http.Request) {
	size, err := strconv.ParseInt(r.FormValue("size"), 10, 64)
	if err != nil || size < 0 {
		http.Error(w, "want ?size= and a number of bytes", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	b := make([]byte, block)
	for size > 0 {
		n, err := w.Write(b[:min(size, block)])
		if err != nil {
			return
		}
		size -= int64(n)
	}
}

func take(w http.ResponseWriter, r *http.Request) {
	var all int64
	for b := make([]byte, block); ; {
		n, err := r.Body.Read(b)
		all += int64(n)
		if err == io.EOF {
			fmt.Fprint(w, all)
			return
		}
		if err != nil {
			return
		}
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

func events(w http.ResponseWriter, r *http.Request) {
	every := time.Second
	if d, err := time.ParseDuration(r.FormValue("every")); err == nil && d > 0 {
		every = d
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for tick := time.NewTicker(every); ; {
		if _, err := io.WriteString(w, "data: here\n\n"); err != nil || http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}
