package bolt

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/evergate/evergate/session"
)

// RoundTrip opens the file that is at path, writes a record of its own, reads it, takes
// it away, and leaves the rest as it is. It tells how long a write takes until it is on
// disk. While a gateway has the file, the error is ErrInUse.
func RoundTrip(ctx context.Context, path string) (took time.Duration, err error) {
	s, err := open(path, slog.New(slog.DiscardHandler), settings{compactAbove: math.MaxInt64})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var key session.Key
	data := make([]byte, 64)
	_, _ = rand.Read(key[:])
	_, _ = rand.Read(data)
	now, err := s.Now(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := s.Put(ctx, key, 0, session.Record{Version: 1, Expires: now.Add(time.Minute), Data: data}); err != nil {
		return 0, err
	}
	took = time.Since(began)
	rec, err := s.Get(ctx, key, 0)
	if err == nil && !bytes.Equal(rec.Data, data) {
		err = fmt.Errorf("bolt: %s gave back something else than was written to it; %s", path, mend)
	}
	return took, errors.Join(err, s.Delete(ctx, key))
}
