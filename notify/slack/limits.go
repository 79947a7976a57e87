package slack

import (
	"time"

	"github.com/tocsin/tocsin/notify"
)

var _ notify.Limited = (*target)(nil)

// Limits are Slack's rates as its documentation tells them: a message a second
// in a channel with short bursts, fifty edits a minute in a workspace, of which
// ten are left to others.
func (t *target) Limits() notify.Limits {
	post := notify.Rate{Key: "post " + t.channel, Every: t.posts, Burst: 4}
	edit := notify.Rate{Key: "edit", Every: t.edits, Burst: 8}
	return notify.Limits{
		notify.VerbOpen: post, notify.VerbFollow: post,
		notify.VerbUpdate: edit, notify.VerbResolve: edit,
		notify.VerbChart: {Key: "file", Every: 3 * time.Second, Burst: 4},
	}
}
