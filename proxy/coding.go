package proxy

import (
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// codings are what a route may compress answers with.
var codings = map[string]*coding{
	"gzip": {name: "gzip", make: func() encoder { return gzip.NewWriter(nil) }},
	"zstd": {name: "zstd", make: newZstd},
}

// CompressionNames are what Route.Compress may hold.
var CompressionNames = []string{"zstd", "gzip"}

const (
	// zstdWindow bounds what a zstd encoder keeps, and what browsers have to keep (RFC
	// 9659 lets them refuse more than 8 MiB).
	zstdWindow = 128 << 10
	// maxEncoders is how many answers are compressed at a time: each takes up to 1 MiB
	// until it ends. More go out as they come.
	maxEncoders = 512
)

// encoding counts the encoders in use.
var encoding atomic.Int64

func newZstd() encoder {
	// One goroutine: the one that writes. Of an empty body it makes a frame, without
	// which browsers take it for damaged. These options cannot fail.
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(zstdWindow), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithZeroFrames(true))
	if err != nil {
		panic(err)
	}
	return e
}

// encoder is what both libraries have.
type encoder interface {
	io.WriteCloser
	Flush() error
	Reset(w io.Writer)
}

// coding is a content coding, and encoders of it that nobody uses now.
type coding struct {
	name string
	make func() encoder
	pool sync.Pool
}

// encoder lends one that writes to w; nil where too many are in use.
func (c *coding) encoder(w io.Writer) encoder {
	if encoding.Add(1) > maxEncoders {
		encoding.Add(-1)
		return nil
	}
	e, ok := c.pool.Get().(encoder)
	if !ok {
		e = c.make()
	}
	e.Reset(w)
	return e
}

// giveBack ends a loan, whatever e was doing.
func (c *coding) giveBack(e encoder) {
	e.Reset(nil)
	c.pool.Put(e)
	encoding.Add(-1)
}

// negotiate finds the coding that a client likes best (RFC 9110 section 12.5.3), and
// of several the one that the route names first. It insists if it refuses answers
// that are not compressed.
func negotiate(lines, offered []string) (best *coding, insists bool) {
	weights := map[string]float64{}
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(item, ";")
			if name = strings.ToLower(strings.TrimSpace(name)); name == "x-gzip" {
				name = "gzip"
			}
			if q, ok := weight(params); ok && name != "" {
				weights[name] = q
			}
		}
	}
	others, hasOthers := weights["*"]
	identity, hasIdentity := weights["identity"]
	if !hasIdentity && hasOthers && others == 0 {
		identity, hasIdentity = 0, true
	}
	most := 0.0
	for _, name := range offered {
		q, named := weights[name]
		if !named && hasOthers {
			q = others
		}
		if q > most && (!hasIdentity || q >= identity) {
			most, best = q, codings[name]
		}
	}
	return best, hasIdentity && identity == 0
}

// weight reads ;q=0.5. What is no weight is none of ours to guess.
func weight(params string) (float64, bool) {
	params = strings.TrimSpace(params)
	if params == "" {
		return 1, true
	}
	name, value, ok := strings.Cut(params, "=")
	if !ok || !strings.EqualFold(strings.TrimSpace(name), "q") {
		return 0, false
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	return q, err == nil && q >= 0 && q <= 1
}
