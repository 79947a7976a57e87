package app

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"strings"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/rules/layers"
)

// maxRevision bounds how much is read of a tree at a revision.
const maxRevision = 1 << 30

// RulesDiff compiles a tree as it was at a revision of git and as it is, and
// tells which rules change, for which apps, and in which fields.
func RulesDiff(ctx context.Context, w io.Writer, o RulesOptions, rev string) error {
	now, err := o.compileRules(o.Dir, o.Dir)
	if err != nil {
		return err
	}
	old, err := os.MkdirTemp("", "tocsin-rules-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(old)
	if err := checkOut(ctx, o.Dir, rev, old); err != nil {
		return err
	}
	was, err := o.compileRules(old, rev+":"+o.Dir)
	if err != nil {
		return err
	}
	changes := layers.Diff(layers.Side{Tree: was.tree, Groups: was.groups}, layers.Side{Tree: now.tree, Groups: now.groups})
	if o.JSON {
		if changes == nil {
			changes = []layers.Change{} // [] and not null
		}
		err = printJSON(w, changes)
	} else {
		err = layers.WriteChanges(w, changes)
	}
	if err == nil && o.ExitCode && len(changes) > 0 {
		err = ErrRulesDiffer
	}
	return err
}

// checkOut writes the files that a folder had at a revision into another one.
// Nothing of the work tree is touched.
func checkOut(ctx context.Context, dir, rev, into string) error {
	commit, err := commitOf(ctx, dir, rev)
	if err != nil {
		return err
	}
	data, err := git(ctx, dir, "archive", "--format=tar", commit, ".")
	if err != nil {
		return fmt.Errorf("read %s at %s: %w", dir, rev, err)
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s at %s: %w", dir, rev, err)
		}
		if !strings.HasSuffix(h.Name, ".yaml") {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			return fmt.Errorf("%s at %s is a link, which is not followed", h.Name, rev)
		}
		if err := unpack(root, h.Name, r); err != nil {
			return err
		}
	}
}

func unpack(root *os.Root, name string, r io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(r, config.MaxFile+1)) // of what is too long, the compiler will say so
	if err != nil {
		return err
	}
	return root.WriteFile(name, data, 0o600)
}

// git runs git in a folder and returns what it wrote; its complaint is the error.
func git(ctx context.Context, dir string, args ...string) ([]byte, error) {
	var out, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	cmd.Stdout, cmd.Stderr = &capped{w: &out, left: maxRevision}, &capped{w: &complaint, left: 4 << 10}
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(complaint.String()); text != "" {
			return nil, fmt.Errorf("git %s: %s", args[0], text)
		}
		return nil, fmt.Errorf("git %s: %w", args[0], err)
	}
	return out.Bytes(), nil
}

// capped is a writer that takes so many bytes.
type capped struct {
	w    io.Writer
	left int
}

// Write refuses what is beyond.
func (c *capped) Write(p []byte) (int, error) {
	if c.left -= len(p); c.left < 0 {
		return 0, errors.New("there is more than is read")
	}
	return c.w.Write(p)
}
