package slack

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// charting is a target that can draw.
type charting struct {
	*target
	draw func(page.Chart) ([]byte, error)
}

var _ notify.Charter = (*charting)(nil)

const (
	maxChart = 5 << 20 // bytes of a picture
	maxAlt   = 900     // runes of its description
	maxTitle = 150
)

// Chart puts the picture into the thread, in Slack's three steps (docs.slack.dev,
// files.completeUploadExternal). Nobody sees anything before the last of them,
// so what fails before it was not sent.
func (t *charting) Chart(ctx context.Context, m notify.Message, c page.Chart) error {
	png, err := t.draw(c)
	if err == nil && (len(png) == 0 || len(png) > maxChart) {
		err = fmt.Errorf("a picture of %d bytes", len(png))
	}
	if err != nil {
		return &remote.Error{Op: "draw chart", Class: remote.Content, Err: err}
	}
	ticket, err := t.api.call(ctx, "files.getUploadURLExternal", url.Values{
		"filename": {chartName(m.Receipt)}, "length": {strconv.Itoa(len(png))}, "alt_txt": {describe(c)},
	})
	if err != nil {
		return unseen(err)
	}
	if err := t.web.upload(ctx, ticket.UploadURL, png); err != nil {
		return unseen(err)
	}
	files, err := encode([]map[string]string{{"id": ticket.FileID, "title": notify.Clean(c.Title, maxTitle)}})
	if err != nil {
		return &remote.Error{Op: "files.completeUploadExternal", Class: remote.Content, Err: err}
	}
	_, err = t.api.call(ctx, "files.completeUploadExternal", url.Values{
		"files": {string(files)}, "channel_id": {m.Receipt.Channel}, "thread_ts": {m.Receipt.Ref},
	})
	return err
}

// unseen is err of a step after which there is nothing to see yet.
func unseen(err error) error {
	if e, ok := errors.AsType[*remote.Error](err); ok && e.Class == remote.Unknown {
		again := *e
		again.Class = remote.NotSent
		return &again
	}
	return err
}

// chartName is the file's name, by which it is found again.
func chartName(r page.Receipt) string {
	sum := sha256.Sum256([]byte("chart\x00" + marker(r)))
	return "tocsin-" + hex.EncodeToString(sum[:8]) + ".png"
}

// describe says in words what the picture shows.
func describe(c page.Chart) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Chart of %s: %d failing", notify.Clean(c.Title, maxTitle), len(c.Failing)+c.Others)
	if c.Healthy.Members > 0 {
		fmt.Fprintf(&b, " against %d healthy", c.Healthy.Members)
	}
	steps := 0
	for _, l := range c.Failing {
		steps = max(steps, len(l.Values)-1)
	}
	if from := c.From.UTC(); !from.IsZero() {
		fmt.Fprintf(&b, ", from %s to %s UTC", from.Format(clock), from.Add(time.Duration(steps)*c.Step).Format(clock))
	}
	if c.Threshold != nil {
		fmt.Fprintf(&b, ", threshold %g %s", *c.Threshold, notify.Clean(c.Unit, maxName))
	}
	for _, mark := range c.Marks {
		fmt.Fprintf(&b, "; %s at %s", notify.Clean(mark.Text, maxName), mark.At.UTC().Format(clock))
	}
	return notify.Clean(b.String(), maxAlt)
}
