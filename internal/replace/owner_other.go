//go:build !unix

package replace

import "os"

func keepOwner(*os.File, string) error { return nil }
