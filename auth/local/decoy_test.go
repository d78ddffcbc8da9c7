package local

import (
	"context"
	"fmt"
	"testing"
)

// TestTimeTellsNobodyWhoExists: with hashes of two costs in the file, what a
// refused sign-in costs says nothing of whether the name is somebody's.
func TestTimeTellsNobodyWhoExists(t *testing.T) {
	weak := "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	strong := "$argon2id$v=19$m=65536,t=3,p=4$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	d, err := NewDirectory(DirectoryOptions{Load: func() ([]User, error) {
		return []User{{Name: "alice", Password: weak}, {Name: "bob", Password: strong}, {Name: "gone", Password: weak, Disabled: true}}, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got := d.decoy("gone"); got.memory != 19456 {
		t.Errorf("a disabled user costs %d KiB, want what they cost before", got.memory)
	}
	seen := map[uint32]int{}
	for i := range 300 {
		name := fmt.Sprint("nobody", i)
		p := d.decoy(name)
		if again := d.decoy(name); again.memory != p.memory {
			t.Fatal("the same name costs now this and now that")
		}
		seen[p.memory]++
	}
	if seen[19456] < 150 || seen[65536] < 60 || len(seen) != 2 {
		t.Errorf("got costs %v of 300 unknown names, want them spread as those of the users are", seen)
	}
	h := NewHasher(1)
	if ok, err := h.verify(context.Background(), nil, d.decoy("nobody"), ""); ok || err != nil {
		t.Errorf("a decoy: got %v, %v, want never right", ok, err)
	}
}
