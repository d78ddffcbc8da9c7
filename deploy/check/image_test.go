package check

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// nobody is who containers run as.
const nobody = 65532

func dockerfile() ([]instructions.Stage, error) {
	b, err := os.ReadFile("../Dockerfile")
	if err != nil {
		return nil, err
	}
	parsed, err := parser.Parse(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	if len(parsed.Warnings) > 0 {
		return nil, fmt.Errorf("the parser warns: %v", parsed.Warnings)
	}
	stages, _, err := instructions.Parse(parsed.AST, nil)
	return stages, err
}

// buildImage does what deploy/Dockerfile says, without an engine: the commands of its first
// stage run here, in the files that an engine would be given, and its last one is copied.
func buildImage(dir string) (root string, err error) {
	stages, err := dockerfile()
	if err != nil {
		return "", err
	}
	src, out, root := filepath.Join(dir, "src"), filepath.Join(dir, "out"), filepath.Join(dir, "image")
	if err := buildContext(src); err != nil {
		return "", err
	}
	if len(stages) != 2 || stages[0].Name != "build" || stages[1].BaseName != "scratch" {
		return "", errors.New("want a stage called build, and one from scratch")
	}
	for _, c := range stages[0].Commands {
		if run, ok := c.(*instructions.RunCommand); ok {
			cmd := exec.Command("/bin/sh", "-c", strings.ReplaceAll(strings.Join(run.CmdLine, " "), "/out/", out+"/"))
			cmd.Dir, cmd.Env = src, append(os.Environ(), "VERSION=9.9.9-test")
			if _, err := output(cmd); err != nil {
				return "", err
			}
		}
	}
	for _, c := range stages[1].Commands {
		cp, ok := c.(*instructions.CopyCommand)
		if !ok {
			continue
		}
		from, ok := strings.CutPrefix(cp.SourcePaths[0], "/out/")
		if cp.From != "build" || len(cp.SourcePaths) != 1 || !ok {
			return "", fmt.Errorf("%s: want all from /out of the stage build", cp)
		}
		if err := copyTree(filepath.Join(out, from), filepath.Join(root, cp.DestPath), cp.Chown); err != nil {
			return "", err
		}
	}
	return root, nil
}

// buildContext copies what deploy/Dockerfile.dockerignore leaves of the repository.
func buildContext(to string) error {
	b, err := os.ReadFile("../Dockerfile.dockerignore")
	if err != nil {
		return err
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(b))
	if err != nil {
		return err
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		return err
	}
	return filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(repository, path)
		if err != nil || rel == "." {
			return err
		}
		skip, err := ignored.MatchesOrParentMatches(rel)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (skip && !strings.Contains(rel, "/") || d.Name() == ".git"):
			return fs.SkipDir
		case skip || d.IsDir() || !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(to, filepath.Dir(rel)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, 0o644)
	})
}

// copyTree is COPY: modes come along, and the owner is who chown says, or root.
func copyTree(from, to, chown string) error {
	owner := 0
	if chown != "" {
		if _, err := fmt.Sscanf(chown, "%d:", &owner); err != nil {
			return fmt.Errorf("--chown=%s: %w", chown, err)
		}
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == from {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		dest := filepath.Join(to, rel)
		if d.IsDir() {
			if err := os.Mkdir(dest, fi.Mode().Perm()); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		} else {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := os.WriteFile(dest, b, fi.Mode().Perm()); err != nil {
				return err
			}
		}
		if os.Getuid() != 0 {
			return nil
		}
		return os.Chown(dest, owner, owner)
	})
}

// built returns the folder of the image, or ends the test.
func built(t *testing.T) string {
	t.Helper()
	if image.err != nil {
		t.Fatalf("deploy/Dockerfile: %v", image.err)
	}
	return image.root
}

// TestDockerfile: what the image says of itself.
func TestDockerfile(t *testing.T) {
	stages, err := dockerfile()
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, c := range stages[len(stages)-1].Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			said["user"] = c.User
		case *instructions.EntrypointCommand:
			said["entrypoint"] = fmt.Sprint(c.PrependShell, c.CmdLine)
		case *instructions.CmdCommand:
			said["cmd"] = fmt.Sprint(c.PrependShell, c.CmdLine)
		case *instructions.HealthCheckCommand:
			said["healthcheck"] = fmt.Sprint(c.Health.Test)
		case *instructions.VolumeCommand:
			said["volume"] = fmt.Sprint(c.Volumes)
		case *instructions.RunCommand:
			t.Errorf("%s: there is nothing to run in a stage from scratch", c)
		}
	}
	for what, want := range map[string]string{
		"user":        "65532:65532",
		"entrypoint":  "false [/usr/bin/evergate]", // no shell in front: there is none
		"cmd":         "false [serve --config /etc/evergate/evergate.yaml]",
		"healthcheck": "[CMD /usr/bin/evergate healthcheck --config /etc/evergate/evergate.yaml]",
		"volume":      "[/var/lib/evergate]",
	} {
		if said[what] != want {
			t.Errorf("%s: got %q, want %q", what, said[what], want)
		}
	}
}

// TestImage: what is in it, and nothing besides.
func TestImage(t *testing.T) {
	root := built(t)
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(path, root))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"/etc/group", "/etc/passwd", "/etc/ssl/certs/ca-certificates.crt", "/usr/bin/evergate", "/usr/share/zoneinfo.zip"}
	if slices.Sort(files); !slices.Equal(files, want) {
		t.Errorf("got the files %v, want %v", files, want)
	}
	fi, err := os.Stat(filepath.Join(root, "var/lib/evergate"))
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the data folder: got %v, %v, want mode 0700", fi, err)
	}
	program, err := elf.Open(filepath.Join(root, "usr/bin/evergate"))
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	if libs, err := program.ImportedLibraries(); err != nil || len(libs) > 0 || program.Section(".interp") != nil {
		t.Errorf("the binary wants %v, %v, and is not static", libs, err)
	}
	out, err := output(exec.Command(filepath.Join(root, "usr/bin/evergate"), "version"))
	if err != nil || !strings.HasPrefix(out, "evergate 9.9.9-test ") {
		t.Errorf("got %q, %v, want the version that was asked for", out, err)
	}
}
