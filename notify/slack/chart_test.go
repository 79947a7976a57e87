package slack_test

import (
	"bytes"
	"errors"
	"image"
	"image/color" //nolint:misspell // the package
	"image/png"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fault"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/notifytest"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
)

// dot draws a chart as one pixel for each failing line.
func dot(c page.Chart) ([]byte, error) {
	m := image.NewRGBA(image.Rect(0, 0, len(c.Failing), 1))
	m.Set(0, 0, color.Black) //nolint:misspell // the package
	var b bytes.Buffer
	err := png.Encode(&b, m)
	return b.Bytes(), err
}

func chart() page.Chart {
	from, limit := time.Date(2026, 3, 1, 11, 5, 0, 0, time.UTC), .05
	return page.Chart{
		Title: "CheckoutErrors <!channel>", Unit: "errors/s", From: from, Step: time.Minute, Threshold: &limit,
		Failing: []page.Line{{Name: "web-1", Values: make([]page.Sample, 61)}}, Others: 2,
		Healthy: page.Band{Members: 117}, Marks: []page.Mark{{At: from.Add(57 * time.Minute), Text: "deploy v42"}},
	}
}

func (s *scene) charter(draw func(page.Chart) ([]byte, error)) notify.Charter {
	s.t.Helper()
	n, err := slack.Kind(draw).New(s.cfg, s.deps())
	require.NoError(s.t, err)
	return n.(notify.Charter)
}

func (s *scene) chartMessage() notify.Message {
	r := s.sent
	r.Marker, r.At = "chart-1", time.Now().Add(-time.Minute)
	return notifytest.Message(s.desk.page, notify.VerbChart, r)
}

func TestTheChartComesIntoTheThread(t *testing.T) {
	t.Parallel()
	s := play(t, true, nil)
	require.NoError(t, s.charter(dot).Chart(t.Context(), s.chartMessage(), chart()))
	replies := s.fake.Ledger().Replies(s.sent.Ref)
	require.Len(t, replies, 1)
	f := replies[0].Files[0]
	want, err := dot(chart())
	require.NoError(t, err)
	require.Equal(t, len(want), f.Size)
	require.Equal(t, "CheckoutErrors <!channel>", f.Title, "a title is no markup")
	require.Equal(t, "Chart of CheckoutErrors <!channel>: 3 failing against 117 healthy, from 11:05 to 12:05 UTC, threshold 0.05 errors/s; deploy v42 at 12:02", f.Alt)
	require.Empty(t, replies[0].Current.Mentions)
	require.Empty(t, replies[0].Current.Text)
	r, found, err := s.target.(notify.Finder).Find(t.Context(), s.chartMessage())
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, s.sent.Ref, r.Ref)
	other := s.chartMessage()
	other.Receipt.Marker = "chart-2"
	_, found, err = s.target.(notify.Finder).Find(t.Context(), other)
	require.NoError(t, err)
	require.False(t, found)
}

func TestWithoutAPenThereAreNoCharts(t *testing.T) {
	s := play(t, true, nil)
	_, offers := s.target.(notify.Charter)
	require.False(t, offers)
}

// Until the last step nobody has seen anything: what fails before it may be
// done again, and what is lost at it must be looked for.
func TestChartsThatFail(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault fault.Fault
		want  remote.Class
	}{
		{"first step lost", fault.Fault{Kind: fault.Drop, Accept: true, Path: "getUploadURLExternal"}, remote.NotSent},
		{"bytes lost", fault.Fault{Kind: fault.Drop, Accept: true, Path: "/upload/"}, remote.NotSent},
		{"bytes refused", fault.Fault{Kind: fault.Status, Status: 500, Path: "/upload/"}, remote.NotSent},
		{"too large", fault.Fault{Kind: fault.Status, Status: 413, Path: "/upload/"}, remote.Content},
		{"address expired", fault.Fault{Kind: fault.Status, Status: 410, Path: "/upload/"}, remote.NotSent},
		{"last step lost", fault.Fault{Kind: fault.Drop, Accept: true, Path: "completeUploadExternal"}, remote.Unknown},
		{"limited", fault.Fault{Kind: fault.RateLimit, RetryAfter: 3, Path: "getUploadURLExternal"}, remote.NotSent},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := play(t, true, nil)
			tc.fault.Count = 1
			require.NoError(t, s.fake.Faults.Set(1, tc.fault))
			c := s.charter(dot)
			err := c.Chart(t.Context(), s.chartMessage(), chart())
			require.Error(t, err)
			require.Equal(t, tc.want, remote.ClassOf(err), err)
			if tc.want != remote.NotSent {
				return
			}
			require.NoError(t, c.Chart(t.Context(), s.chartMessage(), chart()))
			require.Len(t, s.fake.Ledger().Replies(s.sent.Ref), 1)
		})
	}
	s := play(t, true, nil)
	s.fake.SetScopes("chat:write")
	err := s.charter(dot).Chart(t.Context(), s.chartMessage(), chart())
	require.Equal(t, remote.Config, remote.ClassOf(err))
	require.ErrorContains(t, err, "missing_scope")
	for _, draw := range []func(page.Chart) ([]byte, error){
		func(page.Chart) ([]byte, error) { return nil, errors.New("nothing to draw") },
		func(page.Chart) ([]byte, error) { return nil, nil },
	} {
		err := s.charter(draw).Chart(t.Context(), s.chartMessage(), chart())
		require.Equal(t, remote.Content, remote.ClassOf(err))
	}
}
