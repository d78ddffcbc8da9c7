package fetch

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// large is a request whose head no socket takes at once.
func large(t *testing.T) *http.Request {
	t.Helper()
	r := request(t, "GET")
	for i := range 64 {
		r.Header.Set(fmt.Sprintf("X-Large-%d", i), strings.Repeat("a", 256<<10))
	}
	return r
}

// A request that the server takes bit by bit is written to its end; one that it never takes is
// told from one that it does not answer. On a new connection and on a kept one.
func TestTakenSlowly(t *testing.T) {
	for _, kept := range []bool{false, true} {
		pause, never := make(chan time.Duration, 1), make(chan struct{})
		_, line := serve(t, func(_ int, c net.Conn, in *bufio.Reader) {
			if kept {
				readHead(in)
				fmt.Fprint(c, hello)
			}
			switch p := <-pause; p {
			case 0:
				<-never
				return
			default:
				time.Sleep(p)
			}
			if readHead(in) {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
			}
		})
		first := func() {
			t.Helper()
			if !kept {
				return
			}
			if _, _, err := fetch(t, line, "GET"); err != nil {
				t.Fatal(err)
			}
		}
		first()
		pause <- 50 * time.Millisecond
		res, p, err := line.Do(large(t), 10*time.Second)
		if err != nil {
			t.Fatalf("kept %v: %v", kept, err)
		}
		res.Body.Close()
		if want := (Progress{Asked: true, Connected: true, Wrote: true, Answered: true}); p != want {
			t.Errorf("kept %v: got %+v, want %+v", kept, p, want)
		}
		first()
		pause <- 0
		_, p, err = line.Do(large(t), 50*time.Millisecond)
		var late *TimeoutError
		if want := (Progress{Asked: true, Connected: true, Wrote: true, Stuck: true}); !errors.As(err, &late) || p != want {
			t.Errorf("kept %v, not taken: got %v, %+v, want a *TimeoutError, %+v", kept, err, p, want)
		}
		close(never)
	}
}
