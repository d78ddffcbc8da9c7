package secret

import "io/fs"

// Private reports whether the owner and the mode of a file keep what is in it from everybody
// who has no business with it: it is for its owner alone, or root owns it and lets one group
// read it, of which this process is. Volumes of Kubernetes and credentials of systemd come
// like that. Root itself needs no group to read a file, so for root a group is one too many.
//
// Where the mode of a file does not tell that, each is taken for private.
func Private(fi fs.FileInfo) bool {
	if !HasModes {
		return true
	}
	owner, known := ownerOf(fi)
	return private(fi.Mode().Perm(), known && owner == 0, self())
}

func private(mode fs.FileMode, ofRoot bool, self int) bool {
	if ofRoot && self != 0 {
		return mode&^0o740 == 0
	}
	return mode&0o077 == 0
}
