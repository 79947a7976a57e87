package pagerduty

import "sync"

// recent remembers the last values by key, up to a number of keys; the key that
// came first goes first.
type recent[V any] struct {
	mu    sync.Mutex
	at    map[string]V
	order []string
	limit int
}

func newRecent[V any](limit int) *recent[V] {
	return &recent[V]{at: map[string]V{}, limit: limit}
}

func (r *recent[V]) get(key string) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.at[key]
	return v, ok
}

// change replaces what is remembered under key by what f makes of it.
func (r *recent[V]) change(key string, f func(V) V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.at[key]; !known {
		if len(r.order) == r.limit {
			delete(r.at, r.order[0])
			r.order = r.order[1:]
		}
		r.order = append(r.order, key)
	}
	r.at[key] = f(r.at[key])
}
