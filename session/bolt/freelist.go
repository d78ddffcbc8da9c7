package bolt

import (
	"math"

	bolt "go.etcd.io/bbolt"
)

// Bolt can note in the file, with every write, which pages are free. A start that
// finds no such list walks the whole tree to make one: seconds for each GiB. But a
// write has to sort and write all of the list, so a long one is left out.

// listMost is how many free pages are noted with every write: a list of 32 KiB and
// 16 MiB of free pages. More are free after a wave of sessions has been swept, until
// they are used again.
const listMost = 4096

// roomForList tells whether tx notes the free pages, and sees that there is room: the
// list lies in one piece, so it may have to go behind the last page. Where the disk
// is full it is left out, since people sign out on a full disk too.
func (s *Store) roomForList(tx *bolt.Tx, need int64) bool {
	stats := s.db.Stats()
	pages := int64(stats.FreePageN + stats.PendingPageN)
	if pages > s.listMost.Load() {
		return false
	}
	size := int64(tx.DB().Info().PageSize)
	list := 2*size + 8*(pages+need/size)
	return s.extend(tx, max(0, need-freeBytes(s.db))+list) == nil
}

// listAll has the next write note the free pages however many there are.
func (s *Store) listAll() { s.listMost.Store(math.MaxInt64) }
