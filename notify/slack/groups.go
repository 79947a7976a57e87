package slack

import (
	"context"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/tocsin/tocsin/remote"
)

const (
	groupsFor  = 5 * time.Minute         // who is in which group may be so old
	groupsWait = 1200 * time.Millisecond // of the three seconds that Slack waits for us
	groupsRest = 30 * time.Second        // after a question that failed
)

// groups knows which user groups people are in. Without the scope
// usergroups:read nobody is in any.
type groups struct {
	api api
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	next time.Time // when to ask again
	of   map[string][]string
}

// ids returns the groups of a user, as far as they are known in time.
func (g *groups) ids(ctx context.Context, user string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := g.now(); now.After(g.next) {
		g.ask(ctx, now)
	}
	return g.of[user]
}

func (g *groups) ask(ctx context.Context, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, groupsWait)
	defer cancel()
	a, err := g.api.call(ctx, "usergroups.list", url.Values{"include_users": {"true"}})
	if err != nil {
		g.next = now.Add(groupsRest)
		if remote.ClassOf(err) == remote.Config {
			g.next = now.Add(groupsFor)
		}
		g.log.Warn("user groups are not known: only roles of users count", "err", err)
		return
	}
	g.next, g.of = now.Add(groupsFor), map[string][]string{}
	for _, group := range a.Groups {
		for _, user := range group.Users {
			g.of[user] = append(g.of[user], group.ID)
		}
	}
}
