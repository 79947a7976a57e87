package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/webhook"
)

// openStore opens the state. One that is damaged must not keep the pager silent:
// it is moved aside, and what can be read of it goes on. Salvaged is nil where
// all was well.
func openStore(c Store, log *slog.Logger, reg prometheus.Registerer) (store.Store, *bolt.Salvaged, error) {
	s, err := bolt.Open(c.Bolt, log, time.Now, reg)
	if !errors.Is(err, store.ErrDamaged) {
		return s, nil, err
	}
	log.Error("store is damaged: it is moved aside, and what can be read of it goes on", "err", err)
	s, saved, err := bolt.Recover(c.Bolt, log, time.Now, reg)
	if err != nil {
		return nil, nil, err
	}
	log.Warn("store was salvaged", "aside", saved.Aside, "records", saved.Records, "items", saved.Items, "lost", saved.Lost)
	return s, &saved, nil
}

// tellDamage raises the alarm about a store that was moved aside.
func (h *house) tellDamage(ctx context.Context, saved *bolt.Salvaged) {
	if saved == nil {
		return
	}
	h.metrics.salvaged.Inc()
	e := webhook.Alarm("TocsinStoreDamaged",
		fmt.Sprintf("Tocsin's store was damaged: %d records and %d items were saved, %d entries or pages were not", saved.Records, saved.Items, saved.Lost),
		"The damaged file is kept as "+saved.Aside+". Open alerts are read again from Alertmanager. A page may come twice, and one that was open may stay open where nobody resolves it. Look at the disk; a backup is put back with the file of the backup in its place.",
		page.Labels{"severity": string(page.Error)}, h.lent.now())
	if err := (&webhook.Door{Store: h.store}).Put(ctx, e); err != nil {
		h.options.Log.Error("raise alarm", "err", err)
	}
}
