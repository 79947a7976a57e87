package page_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
)

func ExampleHeadline() {
	fmt.Println(page.Headline(page.Context{Traits: []page.Trait{{
		Labels:  page.Labels{"deploy": "v42"},
		Failing: page.Count{Matched: 38, Total: 40},
		Healthy: page.Count{Matched: 6, Total: 100},
	}}}))
	fmt.Println(page.Headline(page.Context{None: true, Failing: 40}))
	fmt.Println(page.Headline(page.Context{Pending: true}))
	// Output:
	// 38 of 40 failing share deploy=v42 (6 % of healthy do)
	// nothing in common: all 40 members fail
	// what they share is not known yet
}

func TestHeadlineSaysNoMoreThanIsKnown(t *testing.T) {
	for name, tc := range map[string]struct {
		c    page.Context
		want string
	}{
		"two literals":    {page.Context{Traits: []page.Trait{{Labels: page.Labels{"host": "w3", "deploy": "v42"}, Failing: page.Count{Matched: 3, Total: 3}, Healthy: page.Count{Total: 9}}}}, "3 of 3 failing share deploy=v42 AND host=w3 (0 % of healthy do)"},
		"no healthy":      {page.Context{Traits: []page.Trait{{Labels: page.Labels{"host": "w3"}, Failing: page.Count{Matched: 2, Total: 3}}}}, "2 of 3 failing share host=w3"},
		"none, some well": {page.Context{None: true, Failing: 4, Healthy: 6}, "nothing in common: 4 failing, 6 healthy, no label sets them apart"},
		"unknown":         {page.Context{}, "what they share is not known"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tc.want, page.Headline(tc.c)) })
	}
}

func TestPercentNeverRoundsToAbsolutes(t *testing.T) {
	for share, want := range map[float64]string{
		0: "0 %", 0.0001: "< 1 %", 0.01: "1 %", 0.064: "6 %", 0.5: "50 %", 0.99: "99 %", 0.999: "> 99 %", 1: "100 %",
	} {
		require.Equal(t, want, page.Percent(share), "%v", share)
	}
}

func TestLabelSetsThatDifferHaveDifferentIDs(t *testing.T) {
	sets := []page.Labels{
		{}, {"a": ""}, {"": "a"}, {"a": "b"}, {"a": "b", "c": "d"}, {"a": "bc", "": "d"}, {"ab": "c"}, {"a": "b\x00c\x00d"}, {"a": "b1cd"},
	}
	seen := map[string]int{}
	for i, s := range sets {
		if j, ok := seen[s.ID()]; ok {
			t.Errorf("%v and %v have one ID", sets[i], sets[j])
		}
		seen[s.ID()] = i
		require.Equal(t, s.ID(), s.Clone().ID())
	}
}

func TestProblemIDKeepsItsPartsApart(t *testing.T) {
	require.NotEqual(t, page.ProblemID("a", "bc", "d"), page.ProblemID("ab", "c", "d"))
	require.NotEqual(t, page.ProblemID("a", "b", "c"), page.Labels{"a": "b"}.ID())
}

func TestSeverityOfAnAlert(t *testing.T) {
	for label, want := range map[string]page.Severity{
		"critical": page.Critical, " critical\n": page.Critical, "PAGE": page.Critical, "error": page.Error, "warning": page.Warning,
		"info": page.Info, "": page.Warning, "banana": page.Warning, "none": page.Info,
	} {
		require.Equal(t, want, page.Alert{Labels: page.Labels{"severity": label}}.Severity(), label)
	}
}

func alert(name, severity, instance string) page.Alert {
	a := page.Alert{
		Status: page.Firing, Labels: page.Labels{"alertname": name, "severity": severity, "instance": instance},
		Annotations: page.Labels{"summary": name + " on " + instance, "runbook_url": "javascript:alert(1)", "dashboard": "https://grafana.example.org/d/1"},
	}
	a.ID = a.Labels.ID()
	return a
}

func problem(members ...page.Member) page.Problem {
	p := page.Problem{
		ID: "p1", State: page.Open, Episode: 1, Revision: 3, Opened: time.Unix(100, 0), Members: map[string]page.Member{},
		Group: page.Notification{GroupLabels: page.Labels{"alertname": "Down", "service": "checkout"}, ExternalURL: "http://am.example.org"},
	}
	for _, m := range members {
		p.Members[m.Alert.ID] = m
	}
	return p
}

func TestViewShowsTheWorstFirstAndOnlyThisEpisode(t *testing.T) {
	p := problem(
		page.Member{Alert: alert("Down", "warning", "a"), Open: true},
		page.Member{Alert: alert("Down", "critical", "b"), Open: true},
		page.Member{Alert: alert("Down", "critical", "gone"), Closed: time.Unix(50, 0)},
		page.Member{Alert: alert("Down", "critical", "over"), Closed: time.Unix(150, 0)},
	)
	v := p.View()
	require.Equal(t, "b", v.Alerts[0].Labels["instance"])
	require.Len(t, v.Alerts, 2)
	require.Len(t, v.Resolved, 1)
	require.Equal(t, "over", v.Resolved[0].Labels["instance"])
	require.Equal(t, page.Critical, v.Severity)
	require.Equal(t, "Down · service=checkout (2 alerts)", v.Title)
	require.Equal(t, "Down on b", v.Summary)
}

// What compiled the rule says where its threshold was set.
func TestThePageLinksToTheLineThatSetTheThreshold(t *testing.T) {
	a := alert("Down", "critical", "a")
	a.Annotations = page.Labels{page.AnnotationThreshold: "https://git.example.org/rules/blob/main/layers/app/a.yaml#L4"}
	require.Contains(t, problem(page.Member{Alert: a, Open: true}).View().Links,
		page.Link{Text: "threshold", URL: "https://git.example.org/rules/blob/main/layers/app/a.yaml#L4"})
}

func TestOnlyWebLinksPass(t *testing.T) {
	v := problem(page.Member{Alert: alert("Down", "critical", "a"), Open: true}).View()
	require.Equal(t, []page.Link{
		{Text: "dashboard", URL: "https://grafana.example.org/d/1"},
		{Text: "alertmanager", URL: "http://am.example.org"},
	}, v.Links)
	for _, bad := range []string{"javascript:alert(1)", "file:///etc/passwd", "//example.org", "http://", "https://user:secret@example.org", "http://a b/"} {
		_, ok := page.WebURL(bad)
		require.False(t, ok, bad)
	}
}

func TestATruncatedGroupSaysSo(t *testing.T) {
	p := problem(page.Member{Alert: alert("Down", "critical", "a"), Open: true})
	p.Group.Truncated = 12
	require.Contains(t, p.View().Notes[0].Text, "left 12 alerts out")
}

// The JSON form is a contract: these keys are always there.
func TestPageJSONHasItsKeys(t *testing.T) {
	raw, err := json.Marshal(problem(page.Member{Alert: alert("Down", "critical", "a"), Open: true}).View())
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal(raw, &got))
	for _, key := range []string{"headline", "title", "alerts", "traits", "notes", "clock", "state", "severity"} {
		require.Contains(t, got, key)
	}
	require.IsType(t, []any{}, got["traits"], "an empty list, not null")
	require.IsType(t, []any{}, got["notes"])
}

func TestMatchersAreAlertmanagers(t *testing.T) {
	require.Equal(t, []string{`alertname="A"`, `"k8s.io/app"="x"`, `path="a\"b\\\n"`},
		page.Labels{"path": "a\"b\\\n", "alertname": "A", "k8s.io/app": "x"}.Matchers())
	require.Empty(t, page.Labels{}.Matchers())
}
