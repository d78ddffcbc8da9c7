package replace

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
)

// ErrChanged reports that a file was changed by somebody else whenever it was to be replaced.
var ErrChanged = errors.New("somebody else changed the file meanwhile, again and again")

// maxEdits bounds the tries of Edit; each that is lost is somebody else's edit.
const maxEdits = 10

// editing is held by whoever edits in this process.
var editing sync.Mutex

// Edit replaces what is at path by what edit makes of it, as File does. Of programs that Edit
// on one machine each sees what the others wrote. An editor knows nothing of that, so Edit
// looks once more in the last moment, when the new file lies on the disk already, and begins
// anew where the old one is another by then. What remains is that very moment: no file system
// compares and replaces in one step.
func Edit(path string, edit func(was []byte) ([]byte, error)) error {
	editing.Lock()
	defer editing.Unlock()
	defer lock(filepath.Dir(path))()
	for range maxEdits {
		was, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data, err := edit(bytes.Clone(was))
		if err != nil {
			return err
		}
		err = write(path, data, func() error {
			now, err := os.ReadFile(path)
			if err == nil && !bytes.Equal(now, was) {
				err = ErrChanged
			}
			return err
		})
		if !errors.Is(err, ErrChanged) {
			return err
		}
	}
	return ErrChanged
}
