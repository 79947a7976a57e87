package main

import (
	"context"
	"os/signal"
	"syscall"
	"time"

	"github.com/tocsin/tocsin/app"
)

type backupCmd struct {
	configFlag
	Out       string `placeholder:"FILE" help:"Where to write it; tocsin-TIME.db if not given."`
	URL       string `name:"url" placeholder:"URL" help:"The operators' listener; as the config has it if not given."`
	TokenFile string `placeholder:"FILE" help:"File with an operator's token (role: operator)."`
}

// Help shows examples under the flags.
func (backupCmd) Help() string {
	return `The gateway goes on meanwhile. The copy is checked whole, every record of it, before it
gets its name. It holds all that pages hold: keep it as safe as the file itself.

  tocsin backup --out /backup/tocsin.db
  tocsin backup --url http://127.0.0.1:9096 --token-file /run/secrets/alice`
}

// Run fetches a backup.
func (b *backupCmd) Run(std *streams) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if b.Out == "" {
		b.Out = "tocsin-" + time.Now().UTC().Format("20060102T150405Z") + ".db"
	}
	return app.Backup(ctx, std.out, app.BackupOptions{
		ConfigFile: b.ConfigFile, URL: b.URL, TokenFile: b.TokenFile, Out: b.Out,
	})
}

type restoreCmd struct {
	File string `arg:"" help:"The backup."`
	To   string `required:"" placeholder:"FILE" help:"store.bolt.path of the config."`
}

// Help shows examples under the flags.
func (restoreCmd) Help() string {
	return `Stop the gateway first: a file in use is refused. A file that is there is moved aside.

  tocsin restore /backup/tocsin.db --to data/tocsin.db`
}

// Run restores a backup.
func (r *restoreCmd) Run(std *streams) error {
	return app.Restore(std.out, app.RestoreOptions{File: r.File, To: r.To})
}
