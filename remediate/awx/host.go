package awx

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	"github.com/tocsin/tocsin/remediate"
)

// Host finds the one enabled host of that name. A group of the same name would
// be meant by a limit as well, so such a host is none.
func (s *server) Host(ctx context.Context, inventory, name string) (remediate.Host, error) {
	if _, err := oneHost(name); err != nil {
		return remediate.Host{}, fmt.Errorf("%w: %w", remediate.ErrNoHost, err)
	}
	id, err := s.inventory(ctx, inventory)
	if err != nil {
		return remediate.Host{}, err
	}
	return s.hostOf(ctx, id, name)
}

func (s *server) inventory(ctx context.Context, name string) (int64, error) {
	q := url.Values{"name": {name}}
	if s.organization != "" {
		q.Set("organization__name", s.organization)
	}
	l, err := listing[struct {
		ID   int64  `json:"id"`
		Name string `json:"name"`
	}](ctx, s.api, "inventory", "inventories/", q)
	switch {
	case err != nil:
		return 0, err
	case *l.Count != 1 || len(l.Results) != 1 || l.Results[0].Name != name || name == "":
		return 0, fmt.Errorf("%w: the account sees %d inventories called %q", remediate.ErrNoHost, *l.Count, clean(name, 80))
	}
	return l.Results[0].ID, nil
}

func (s *server) hostOf(ctx context.Context, inventory int64, name string) (remediate.Host, error) {
	l, err := listing[struct {
		ID        int64  `json:"id"`
		Name      string `json:"name"`
		Inventory int64  `json:"inventory"`
		Enabled   *bool  `json:"enabled"`
	}](ctx, s.api, "host", pathTo("inventories", inventory, "hosts"), url.Values{"name": {name}})
	switch {
	case err != nil:
		return remediate.Host{}, err
	case *l.Count != 1 || len(l.Results) != 1:
		return remediate.Host{}, fmt.Errorf("%w: %d hosts are called %s", remediate.ErrNoHost, *l.Count, name)
	}
	h := l.Results[0]
	switch {
	case h.Name != name || h.Inventory != inventory || h.ID <= 0:
		return remediate.Host{}, fmt.Errorf("%w: the server names another, %q", remediate.ErrNoHost, clean(h.Name, 80))
	case h.Enabled == nil || !*h.Enabled:
		return remediate.Host{}, fmt.Errorf("%w: %s is disabled", remediate.ErrNoHost, name)
	}
	groups, err := listing[struct {
		ID int64 `json:"id"`
	}](ctx, s.api, "host", pathTo("inventories", inventory, "groups"), url.Values{"name": {name}, "page_size": {strconv.Itoa(1)}})
	switch {
	case err != nil:
		return remediate.Host{}, err
	case *groups.Count != 0:
		return remediate.Host{}, fmt.Errorf("%w: a group is called %s too, and a limit would mean all of it", remediate.ErrNoHost, name)
	}
	return remediate.Host{ID: h.ID, Name: h.Name, Inventory: h.Inventory}, nil
}
