// Package follow notices that files hold something else than before.
//
// It looks at what is read and not at times, names or the kernel's events, so that it
// sees through links, volumes that are swapped and file systems without events, and a
// new date on an old file is nothing.
package follow

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
	"time"
)

// Digest tells one content of some files from another, and from the reason why one of
// them cannot be read.
type Digest [sha256.Size]byte

// Look reads the files.
func Look(files []string) Digest {
	h := sha256.New()
	for _, path := range files {
		b, err := os.ReadFile(path)
		fmt.Fprintf(h, "%q %d %v\x00", path, len(b), err)
		h.Write(b)
	}
	return Digest(h.Sum(nil))
}

// Reading is what the owner of some files read of them last, whoever asked for it. The zero
// value has read nothing. It may be used by several goroutines at once.
type Reading struct {
	mu   sync.Mutex // guards what follows, never while files are read
	last Digest     // zero is that of no content
}

// Read calls read, which reads the files, and keeps what they held. Where they changed
// meanwhile nobody can tell what was read, so it counts as nothing, and they are read again.
func (r *Reading) Read(files []string, read func()) {
	before := Look(files)
	read()
	if Look(files) != before {
		before = Digest{}
	}
	r.set(before)
}

// Forget is for an owner that has something else in force than what it read last.
func (r *Reading) Forget() { r.set(Digest{}) }

func (r *Reading) set(d Digest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = d
}

func (r *Reading) is(d Digest) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last == d
}

// Options say what is followed.
type Options struct {
	// Files names the files. It is asked at each look, for what is read may name others;
	// that there are others is a change too, since they were read before they were
	// followed.
	Files func() []string
	// Seen is the owner's, who reads by it at the start, in Changed and at any other time.
	// What the files hold is compared with that, and not with the look of before: between
	// two looks they may be read by somebody's command and be put back.
	Seen *Reading
	// Every is how often to look; zero means each second.
	Every time.Duration
	// Settle waits until a change was there at two looks in a row, so that a file of
	// which a half is written is left alone, though that half may be sound by itself.
	Settle bool
	// Changed is called where the files hold something else than what was read last, by one
	// goroutine, until that was read.
	Changed func()
}

// Files are being followed until Close.
type Files struct {
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// Start follows files.
func Start(o Options) *Files {
	if o.Every == 0 {
		o.Every = time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	f := &Files{stop: stop}
	f.wg.Go(func() { o.run(ctx) })
	return f
}

// Close ends that, and waits for Changed to return.
func (f *Files) Close() error {
	f.stop()
	f.wg.Wait()
	return nil
}

func (o *Options) run(ctx context.Context) {
	tick := time.NewTicker(o.Every)
	defer tick.Stop()
	var last Digest
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := Look(o.Files())
		settled := !o.Settle || now == last
		if last = now; settled && !o.Seen.is(now) {
			o.Changed()
		}
	}
}
