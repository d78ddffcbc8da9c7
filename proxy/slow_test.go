package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// slowly takes what is written at so many bytes a second, and notes how much at a time.
type slowly struct {
	rate  int
	sizes []int
}

func (s *slowly) Write(p []byte) (int, error) {
	s.sizes = append(s.sizes, len(p))
	time.Sleep(time.Duration(len(p)) * time.Second / time.Duration(s.rate))
	return len(p), nil
}

// taker is a client, and a connection to a target, that take what they get slowly.
type taker struct {
	*httptest.ResponseRecorder
	*slowly
}

func (t taker) Write(p []byte) (int, error) { return t.slowly.Write(p) }

type takerConn struct {
	net.Conn
	*slowly
}

func (t takerConn) Write(p []byte) (int, error) { return t.slowly.Write(p) }

const k = 1 << 10

// TestSlowClientGetsLittleAtATime: each write is waited for as long as a client may stand still, so
// that one which takes its time is not asked to take four times as much in it.
func TestSlowClientGetsLittleAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &slowly{rate: 1 << 30}
		c := &carriage{long: true}
		cut := false
		c.down.most, c.down.cut = time.Minute, cutBy(func() { cut = true })
		w := &writer{ResponseWriter: taker{httptest.NewRecorder(), to}, c: c}
		send := func(want ...int) {
			t.Helper()
			to.sizes = nil
			if n, err := w.Write(make([]byte, longSize)); n != longSize || err != nil {
				t.Fatal(n, err)
			}
			if !slices.Equal(to.sizes, want) {
				t.Errorf("%d bytes a second: got writes of %d, want %d", to.rate, to.sizes, want)
			}
		}
		send(longSize)
		to.rate = 4 * k
		send(longSize) // nobody knew
		send(bufferSize, bufferSize, bufferSize, bufferSize)
		to.rate = k
		send(bufferSize, bufferSize, bufferSize, bufferSize)
		to.rate = 1 << 30
		send(bufferSize, longSize-bufferSize)
		send(longSize)
		c.down.close()
		if cut {
			t.Error("it was cut, and had never stood still")
		}
	})
}

// TestSlowTargetGetsLittleAtATime: the same on the way up.
func TestSlowTargetGetsLittleAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to := &slowly{rate: 4 * k}
		body := bytes.NewReader(make([]byte, long+3))
		n, err := upConn{takerConn{nil, to}}.ReadFrom(&io.LimitedReader{R: body, N: long + 3})
		if n != long+3 || err != nil {
			t.Fatal(n, err)
		}
		for i, size := range to.sizes {
			if i > 0 && size > bufferSize {
				t.Fatalf("write %d is of %d bytes", i, size)
			}
		}
		broken := errors.New("it broke")
		from := io.MultiReader(bytes.NewReader(make([]byte, 5)), errReader{broken})
		if n, err := (upConn{takerConn{nil, to}}).ReadFrom(&io.LimitedReader{R: from, N: long}); n != 5 || !errors.Is(err, broken) {
			t.Errorf("a body that breaks off: got %d and %v", n, err)
		}
		if got := longLent.Load(); got != 0 {
			t.Errorf("%d large buffers are in use in the end", got)
		}
	})
}

type errReader struct{ error }

func (e errReader) Read([]byte) (int, error) { return 0, e.error }
