package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// A release build stamps these with -ldflags "-X main.version=… -X main.commit=… -X main.committed=…".
// Elsewhere the go command tells the last two of a clone that it builds in.
var (
	version   = "dev"
	commit    string // the whole hash
	committed string // when, in UTC, as in RFC 3339
)

type buildInfo struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision, not of the build
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuild() buildInfo {
	b := buildInfo{Version: version, Revision: commit, Time: committed, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = cmp.Or(b.Revision, s.Value)
			case "vcs.time":
				b.Time = cmp.Or(b.Time, s.Value)
			}
		}
	}
	return b
}

func (b buildInfo) String() string {
	from := ""
	if len(b.Revision) >= 12 {
		from = "commit " + b.Revision[:12]
		if b.Time != "" {
			from += " of " + b.Time
		}
		from += ", "
	}
	return fmt.Sprintf("evergate %s (%s%s, %s)", b.Version, from, b.Go, b.Platform)
}

func (p *program) versionCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version",
		Example: "  evergate version\n  evergate version --json",
		Args:    exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			b := readBuild()
			if asJSON {
				return json.NewEncoder(p.out).Encode(b)
			}
			_, err := fmt.Fprintln(p.out, b)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}
