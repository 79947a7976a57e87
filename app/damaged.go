package app

import (
	"context"
	"fmt"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/webhook"
)

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
