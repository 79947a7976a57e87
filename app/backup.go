package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/store/bolt"
)

// serveBackup streams a consistent copy of the store's file.
func (h *house) serveBackup(w http.ResponseWriter, r *http.Request) {
	if h.file == nil {
		http.Error(w, "the state lies in etcd: make a snapshot there (etcdctl snapshot save)", http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", `attachment; filename="tocsin.db"`)
	w.Header().Set("Trailer", backupDone)
	if err := h.file.Backup(r.Context(), w); err != nil {
		h.options.Log.Error("serve backup", "err", err)
		panic(http.ErrAbortHandler) // the reader must not take it for whole
	}
	w.Header().Set(backupDone, "true")
}

// backupDone is the trailer that says that a backup is whole.
const backupDone = "X-Tocsin-Backup-Complete"

// BackupOptions say where a backup comes from and where it goes.
type BackupOptions struct {
	ConfigFile string // names the operators' listener
	URL        string // of the operators' listener; "": as the config has it
	TokenFile  string // with an operator's token; "": none
	Out        string // file that must not exist
}

// Backup fetches a copy of the store from a running gateway, checks all of it,
// and only then gives it its name. What it found is written to w.
func Backup(ctx context.Context, w io.Writer, o BackupOptions) error {
	if _, err := os.Stat(o.Out); err == nil {
		return fmt.Errorf("%s is there already: name another file", o.Out)
	}
	if o.URL == "" {
		p, err := load(o.ConfigFile)
		if err != nil {
			return err
		}
		o.URL = "http://" + p.Operators.Listen
	}
	part := o.Out + ".part"
	defer os.Remove(part) // does nothing once it has its name
	if err := fetchBackup(ctx, o, part); err != nil {
		return fmt.Errorf("fetch backup: %w", err)
	}
	c, err := bolt.Check(part)
	if err != nil {
		return fmt.Errorf("check backup: %w", err)
	}
	if err := settleFile(part, o.Out); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: whole and checked: %d records, %d items of work, format %d, last change %d\n", o.Out, c.Records, c.Items, c.Format, c.Last)
	return nil
}

func fetchBackup(ctx context.Context, o BackupOptions, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.URL+"/api/v1/backup", nil)
	if err != nil {
		return err
	}
	if o.TokenFile != "" {
		token, err := config.SecretFile(o.TokenFile).Read()
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	res, err := (&http.Client{Transport: newTransport()}).Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("status %d: %s", res.StatusCode, text)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, res.Body)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if res.Trailer.Get(backupDone) != "true" {
		return errors.New("it was cut short: is there a proxy in between?")
	}
	return nil
}

// settleFile gives a file, which is on disk, its name, durably.
func settleFile(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// RestoreOptions say which backup goes where.
type RestoreOptions struct {
	File string
	To   string
	Now  func() time.Time // nil: the machine's
}

// Restore checks a backup and puts it where a gateway that does not run will
// find it. A file that is there is moved aside, never overwritten; one that a
// gateway has locked is an error.
func Restore(w io.Writer, o RestoreOptions) error {
	c, err := bolt.Check(o.File)
	if err != nil {
		return fmt.Errorf("check backup: %w", err)
	}
	if err := bolt.Unlocked(o.To); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.To), 0o700); err != nil {
		return err
	}
	part := o.To + ".part"
	defer os.Remove(part) // does nothing once it has its name
	if err := copyFile(o.File, part); err != nil {
		return fmt.Errorf("copy backup: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if _, err := os.Stat(o.To); err == nil {
		aside := o.To + "." + o.Now().UTC().Format("20060102T150405Z")
		if err := settleFile(o.To, aside); err != nil {
			return err
		}
		fmt.Fprintf(w, "moved what was there to %s\n", aside)
	}
	if err := settleFile(part, o.To); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: restored: %d records, %d items of work, format %d, last change %d\n", o.To, c.Records, c.Items, c.Format, c.Last)
	fmt.Fprintln(w, "Start tocsin now. What happened since the backup is not in it: what fires is read from Alertmanager at the start")
	fmt.Fprintln(w, "(without a url in alertmanagers: it comes within its repeat_interval). PagerDuty folds it into incidents that are open, Slack may show a message twice.")
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
