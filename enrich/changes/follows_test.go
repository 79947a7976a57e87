package changes_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/changes"
	"github.com/tocsin/tocsin/page"
)

func TestWhichChangeIsBlamed(t *testing.T) {
	at := now()
	o := page.Onset{At: at, From: at.Add(-12 * time.Second), To: at.Add(6 * time.Second)}
	trait := func(pairs ...string) page.Context {
		ls := page.Labels{}
		for i := 0; i < len(pairs); i += 2 {
			ls[pairs[i]] = pairs[i+1]
		}
		return page.Context{Traits: []page.Trait{{Labels: ls}}}
	}
	change := func(id, kind, title string, ago time.Duration, pairs ...string) page.Change {
		c := page.Change{ID: id, Kind: kind, Title: title, At: at.Add(-ago), Labels: page.Labels{}}
		for i := 0; i < len(pairs); i += 2 {
			c.Labels[pairs[i]] = pairs[i+1]
		}
		return c
	}
	v42 := change("v42", "deploy", "v42", 35*time.Second, "service", "checkout", "dc", "dc1")
	where := page.Labels{"alertname": "A", "service": "checkout", "cluster": "dc1-prod"}
	for name, tc := range map[string]struct {
		c     page.Context
		known []page.Change
		want  string // id, "" for none
		near  int
	}{
		"the deploy before it": {trait("deploy", "v42"), []page.Change{v42}, "v42", 1},
		"an innocent deploy ten minutes earlier": {
			trait("deploy", "v42"), []page.Change{change("old", "deploy", "v42", 10*time.Minute, "service", "checkout")}, "", 1,
		},
		"the later of two": {
			trait("host", "h1"), []page.Change{change("a", "deploy", "v1", 4*time.Minute, "service", "checkout"), change("b", "config", "x", time.Minute, "service", "checkout")}, "b", 2,
		},
		"that which names the trait, not the later": {
			trait("host", "h1"), []page.Change{change("a", "node", "reboot", 2*time.Minute, "host", "h1"), change("b", "config", "x", time.Minute, "service", "checkout")}, "a", 2,
		},
		"after it":                           {trait("host", "h1"), []page.Change{change("a", "deploy", "v1", -time.Minute, "service", "checkout")}, "", 1},
		"within the doubt":                   {trait("host", "h1"), []page.Change{change("a", "deploy", "v1", -4*time.Second, "service", "checkout")}, "a", 1},
		"another service":                    {trait("host", "h1"), []page.Change{change("a", "deploy", "v1", time.Minute, "service", "search")}, "", 0},
		"another app, as it is called there": {trait("host", "h1"), []page.Change{change("a", "deploy", "v1", time.Minute, "app", "search")}, "", 0},
		"another host":                       {trait("host", "h1"), []page.Change{change("a", "node", "reboot", time.Minute, "host", "h2")}, "", 0},
		"another release":                    {trait("deploy", "v42"), []page.Change{change("a", "deploy", "v43", time.Minute, "service", "checkout", "version", "v43")}, "", 1},
		"nobody knows where":                 {trait("host", "h1"), []page.Change{change("a", "deploy", "v1", time.Minute)}, "", 1},
		"its title is the trait":             {trait("version", "v42"), []page.Change{change("a", "deploy", "v42", time.Minute)}, "a", 1},
		"everything fails":                   {page.Context{None: true}, []page.Change{v42}, "v42", 1},
		"long ago":                           {trait("host", "h1"), []page.Change{change("a", "deploy", "v1", time.Hour, "service", "checkout")}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			near, cause := changes.New().Follows(o, tc.c, where, tc.known)
			require.Len(t, near, tc.near)
			if tc.want == "" {
				require.Nil(t, cause)
				return
			}
			require.NotNil(t, cause)
			require.Equal(t, tc.want, cause.ID)
		})
	}
}

// A version that is new in the data is a deploy, and dates its own trait.
func TestAVersionThatAppearsIsADeploy(t *testing.T) {
	c := page.Course{Window: time.Minute, Step: 5 * time.Second, By: "version"}
	since := func(value string, ago time.Duration) enrich.Series {
		s := enrich.Series{Labels: []page.Label{{Name: "version", Value: value}}}
		for at := -ago; at <= 0; at += c.Step {
			s.Points = append(s.Points, enrich.Point{At: now().Add(at), Value: 3})
		}
		return s
	}
	var course []enrich.Point // it fails from the start
	for at := -80 * time.Second; at <= 0; at += c.Step {
		course = append(course, enrich.Point{At: now().Add(at), Value: .4})
	}
	seen := []enrich.Series{since("v41", time.Hour), since("v42", 95*time.Second)}
	o, appeared, ok := changes.New().Date(c, course, seen, "v42")
	require.True(t, ok)
	require.True(t, o.First)
	require.Equal(t, now().Add(-100*time.Second), o.At)
	require.InDelta(t, .4, o.Since, 1e-9)
	require.Len(t, appeared, 1)
	require.Equal(t, "deploy v42", appeared[0].Words())
	ctx := page.Context{Traits: []page.Trait{{Labels: page.Labels{"version": "v42"}}}}
	_, cause := changes.New().Follows(o, ctx, nil, appeared)
	require.NotNil(t, cause)

	_, appeared, _ = changes.New().Date(c, course, []enrich.Series{since("v42", 95*time.Second)}, "v42")
	require.Empty(t, appeared, "all data is as young: a server that was started, not a deploy")

	// it was well for twenty minutes before it failed: the deploy is innocent
	course = nil
	for at := -20 * time.Minute; at <= 0; at += c.Step {
		v := .002
		if at > -2*time.Minute {
			v = .002 + .4*min(1, (at+2*time.Minute).Minutes())
		}
		course = append(course, enrich.Point{At: now().Add(at), Value: v})
	}
	o, appeared, ok = changes.New().Date(c, course, []enrich.Series{since("v41", time.Hour), since("v42", 20*time.Minute)}, "v42")
	require.True(t, ok)
	require.False(t, o.First)
	require.WithinDuration(t, now().Add(-2*time.Minute), o.At, 10*time.Second)
	_, cause = changes.New().Follows(o, ctx, nil, appeared)
	require.Nil(t, cause)
}

// Courses of all sorts have an answer, or none, and never a panic.
func FuzzDate(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 9, 9, 9}, uint8(60), false)
	f.Add([]byte{255, 254, 253, 0, 0, 9}, uint8(0), true)
	f.Fuzz(func(t *testing.T, values []byte, window uint8, falling bool) {
		c := page.Course{Window: time.Duration(window) * time.Second, Falling: falling}
		c.Step = enrich.Step(c.Window)
		var points []enrich.Point
		for i, v := range values[:min(len(values), 800)] {
			p := enrich.Point{At: now().Add(time.Duration(i) * c.Step), Value: float64(v)}
			switch v {
			case 255:
				p.Value = nan()
			case 254:
				continue
			}
			points = append(points, p)
		}
		o, _, ok := changes.New().Date(c, points, nil, "")
		if ok {
			require.False(t, o.From.After(o.At))
			require.False(t, o.To.Before(o.At))
			require.Equal(t, falling, o.Since < o.Before)
		}
	})
}
