package pagerduty

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/tocsin/tocsin/notify"
)

var _ notify.Limited = (*target)(nil)

// Limits are the Events API's: about 120 events a minute and integration key
// , of which some are left to what else a call
// sends. Targets that share a key share it.
func (t *target) Limits() notify.Limits {
	sum := sha256.Sum256([]byte(t.events.key.Reveal()))
	events := notify.Rate{Key: "events " + hex.EncodeToString(sum[:8]), Every: t.every, Burst: 20}
	return notify.Limits{notify.VerbOpen: events, notify.VerbResolve: events, notify.VerbFollow: events}
}
