package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/store"
	"github.com/tocsin/tocsin/store/bolt"
	"github.com/tocsin/tocsin/store/etcd"
)

// shared reports whether the state lies in an etcd cluster.
func (p *plan) shared() bool { return p.root.Has("store.etcd") }

// minRetention is the least that can be meant: what has just closed may still
// be shown.
const minRetention = time.Hour

// oneStore refuses two engines, and what is wrong with the one that is chosen.
func (p *plan) oneStore() error {
	switch c := p.Store; {
	case c.Retention != 0 && c.Retention.D() < minRetention:
		return config.Bad("store.retention", "%s is too short: write at least %s", c.Retention, config.Duration(minRetention))
	case c.History != "" && c.History == c.Bolt.Path:
		return config.Bad("store.history", "is the file of the state itself: write another")
	case p.shared() && p.root.Has("store.bolt"):
		return config.Bad("store.etcd", "store.bolt is written too: write one of them")
	case p.shared():
		return config.Under("store.etcd", p.Store.Etcd.Validate())
	default:
		return config.Under("store.bolt", p.Store.Bolt.Validate())
	}
}

// engine is what keeps the state.
type engine struct {
	store.Store
	file  *bolt.Store    // the same, where the state is a file; else nil
	saved *bolt.Salvaged // what came of a damaged file, if it was one
}

// openStore opens the engine that the config chooses. A file that is damaged must
// not keep the pager silent: it is moved aside, and what can be read of it goes on.
func (p *plan) openStore(ctx context.Context, log *slog.Logger, now func() time.Time, reg prometheus.Registerer) (engine, error) {
	if p.shared() {
		s, err := etcd.Open(ctx, p.Store.Etcd, log, now, reg)
		return engine{Store: s}, err
	}
	s, err := bolt.Open(p.Store.Bolt, log, now, reg)
	if !errors.Is(err, store.ErrDamaged) {
		return engine{Store: s, file: s}, err
	}
	log.Error("store is damaged: it is moved aside, and what can be read of it goes on", "err", err)
	s, saved, err := bolt.Recover(p.Store.Bolt, log, now, reg)
	if err != nil {
		return engine{}, err
	}
	log.Warn("store was salvaged", "aside", saved.Aside, "records", saved.Records, "items", saved.Items, "lost", saved.Lost)
	return engine{Store: s, file: s, saved: &saved}, nil
}

// storeName says which state it is: only a restart can change that.
func (p *plan) storeName() string {
	if p.shared() {
		return fmt.Sprintf("etcd %+v", p.Store.Etcd)
	}
	return "bolt " + p.Store.Bolt.Path
}
