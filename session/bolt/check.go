package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// A bolt file is pages: two of meta, then trees of branches and leaves. Bolt
// trusts them and follows what they say into memory that is not there. The checker
// reads the same pages and believes nothing.

const (
	pageHead, elemSize = 16, 16
	flagBranch         = 0x01
	flagLeaf           = 0x02
	flagFreelist       = 0x10
	bucketLeaf         = 0x01 // an element that holds a bucket
	noFreelist         = ^uint64(0)
	maxDepth           = 64
)

type checker struct {
	b    []byte // the file
	size int64  // of a page
	high uint64 // the first page number beyond the file
	seen []bool
	turn func() error // called before each page is looked at, if set
}

// meta is the newest valid one of the two meta pages.
type meta struct {
	size                       int64
	root, freelist, high, txid uint64
}

var native = binary.NativeEndian

func parseMeta(b []byte) (m meta, ok bool) {
	if len(b) < pageHead+64 {
		return m, false
	}
	b = b[pageHead:]
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	if native.Uint32(b) != 0xED0CDAED || native.Uint32(b[4:]) != 2 || native.Uint64(b[56:]) != sum.Sum64() {
		return m, false
	}
	m = meta{size: int64(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		high: native.Uint64(b[40:]), txid: native.Uint64(b[48:])}
	return m, m.size >= 1024 && m.size <= 1<<24
}

// readMeta reads the first page and the second, which begins where the first says
// that a page ends, or if that one is lost, at one of the sizes there are.
func readMeta(f io.ReaderAt) (meta, error) {
	at := func(at int64) (meta, bool) {
		b := make([]byte, pageHead+64)
		read, _ := f.ReadAt(b, at)
		return parseMeta(b[:read])
	}
	best, found := at(0)
	for size := int64(1024); size <= 1<<24; size *= 2 {
		if m, ok := at(size); ok && m.size == size && (!found || m.size == best.size && m.txid > best.txid) {
			best, found = m, true
		}
	}
	if !found {
		return meta{}, errors.New("neither of its first pages is whole")
	}
	return best, nil
}

// checkFile reads the whole tree of a file that has no list of free pages, as bolt
// would to learn which are. Of others it reads the list, and the tree only if it is to
// be thorough. Whole tells whether it read the tree.
func checkFile(f *os.File, thorough bool) (whole bool, err error) {
	m, err := readMeta(f)
	if err != nil {
		return false, err
	}
	fi, err := f.Stat()
	if err != nil {
		return false, err
	}
	if m.high < 3 || m.high > uint64(fi.Size()/m.size) {
		return false, fmt.Errorf("it ends early: it has %d pages, and should have %d", fi.Size()/m.size, m.high)
	}
	listed := m.freelist != noFreelist
	if thorough = thorough || !listed; thorough {
		readAhead(f, m)
	}
	b, done, err := mapped(f, int64(m.high)*m.size)
	if err != nil {
		return false, err
	}
	defer done()
	defer caught(&err)() // the disk may fail to read
	c := &checker{b: b, size: m.size, high: m.high, seen: make([]bool, m.high)}
	if thorough {
		err = c.tree(m.root, 0)
	}
	if err == nil && listed {
		err = c.freelist(m.freelist)
	}
	return thorough, err
}

// readAhead reads a file that will be walked in order once: a disk gives that many
// times faster than one page here and one there.
func readAhead(f *os.File, m meta) {
	b := make([]byte, 1<<20)
	for at := int64(0); at < int64(m.high)*m.size; at += int64(len(b)) {
		if _, err := f.ReadAt(b, at); err != nil {
			return // the walk will find out
		}
	}
}

// page is a page and those that it runs over into.
func (c *checker) page(id uint64) ([]byte, error) {
	if c.turn != nil {
		if err := c.turn(); err != nil {
			return nil, err
		}
	}
	if id < 2 || id >= c.high {
		return nil, fmt.Errorf("a page names page %d, and there are %d", id, c.high)
	}
	at := int64(id) * c.size
	over := uint64(native.Uint32(c.b[at+12:]))
	if native.Uint64(c.b[at:]) != id || over >= c.high-id {
		return nil, fmt.Errorf("page %d is not what it should be", id)
	}
	for i := id; i <= id+over; i++ {
		if c.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		c.seen[i] = true
	}
	return c.b[at : at+int64(over+1)*c.size], nil
}

func (c *checker) tree(id uint64, depth int) error {
	b, err := c.page(id)
	if err != nil {
		return err
	}
	if err := c.elements(b, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements follows what a branch or a leaf holds.
func (c *checker) elements(b []byte, depth int) error {
	flags, count := native.Uint16(b[8:]), int(native.Uint16(b[10:]))
	if (flags != flagBranch && flags != flagLeaf) || depth > maxDepth || pageHead+count*elemSize > len(b) ||
		(flags == flagBranch && count == 0) {
		return errors.New("it is neither a branch nor a leaf")
	}
	var last []byte
	for i := range count {
		at := pageHead + i*elemSize
		e := b[at : at+elemSize]
		var key, value []byte
		if flags == flagBranch {
			key, value = cut(b, at, native.Uint32(e), native.Uint32(e[4:]), 0)
		} else {
			key, value = cut(b, at, native.Uint32(e[4:]), native.Uint32(e[8:]), native.Uint32(e[12:]))
		}
		if key == nil || (i > 0 && bytes.Compare(last, key) >= 0) {
			return fmt.Errorf("entry %d is out of place", i)
		}
		last = key
		var err error
		switch {
		case flags == flagBranch:
			err = c.tree(native.Uint64(e[8:]), depth+1)
		case native.Uint32(e)&bucketLeaf != 0:
			err = c.bucket(value, depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket follows a bucket to its root, which is a page or stands inside.
func (c *checker) bucket(value []byte, depth int) error {
	if len(value) < 16 {
		return errors.New("a bucket is cut short")
	}
	if root := native.Uint64(value); root != 0 {
		return c.tree(root, depth)
	}
	if len(value) < 16+pageHead {
		return errors.New("a bucket is cut short")
	}
	return c.elements(value[16:], depth)
}

// cut returns key and value of the element at, or nil if they are not within b.
func cut(b []byte, at int, pos, keyLen, valueLen uint32) (key, value []byte) {
	from := int64(at) + int64(pos)
	to := from + int64(keyLen)
	end := to + int64(valueLen)
	if keyLen == 0 || end > int64(len(b)) {
		return nil, nil
	}
	return b[from:to], b[to:end]
}

// freelist looks at the list of free pages.
func (c *checker) freelist(id uint64) error {
	b, err := c.page(id)
	if err != nil {
		return err
	}
	count, at := uint64(native.Uint16(b[10:])), pageHead
	if count == 0xFFFF { // more than fit a count: the first entry says how many
		count, at = native.Uint64(b[at:]), at+8
	}
	if native.Uint16(b[8:]) != flagFreelist || count > uint64(len(b)-at)/8 {
		return fmt.Errorf("page %d is no list of free pages", id)
	}
	for ; count > 0; count-- {
		free := native.Uint64(b[at:])
		if free < 2 || free >= c.high {
			return fmt.Errorf("page %d lists page %d as free, and there are %d", id, free, c.high)
		}
		if c.seen[free] {
			return fmt.Errorf("page %d lists page %d as free, which is used", id, free)
		}
		at += 8
	}
	return nil
}
