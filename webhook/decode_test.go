package webhook_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/webhook"
)

// sent reads a body as Alertmanager really sent it.
func sent(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", "alertmanager", name+".json"))
	require.NoError(t, err)
	return b
}

func decode(t testing.TB, body []byte) page.Notification {
	t.Helper()
	n, err := webhook.Decode("dc1", body, webhook.DefaultLimits())
	require.NoError(t, err)
	return n
}

// TestDecodeKeepsEverything compares what was decoded, field for field, with
// what the body says under Alertmanager's names.
func TestDecodeKeepsEverything(t *testing.T) {
	for _, name := range []string{
		"0.25-firing", "0.25-resolved", "0.27-truncated", "0.31-firing",
		"0.31-partly-resolved", "0.31-regexp-receiver", "0.34-route-labels",
	} {
		t.Run(name, func(t *testing.T) {
			body := sent(t, name)
			var want map[string]any
			require.NoError(t, json.Unmarshal(body, &want))
			n := decode(t, body)
			require.Equal(t, "dc1", n.Cluster)
			for field, got := range map[string]any{
				"receiver": n.Receiver, "status": string(n.Status), "groupKey": n.GroupKey, "externalURL": n.ExternalURL,
				"groupLabels": n.GroupLabels, "commonLabels": n.CommonLabels, "commonAnnotations": n.CommonAnnotations,
				"routeLabels": n.RouteLabels, "notification_reason": n.Reason, "truncatedAlerts": n.Truncated,
			} {
				sameJSON(t, field, want[field], got)
			}
			alerts := want["alerts"].([]any)
			require.Len(t, n.Alerts, len(alerts))
			for i, a := range n.Alerts {
				alert := alerts[i].(map[string]any)
				for field, got := range map[string]any{
					"status": string(a.Status), "labels": a.Labels, "annotations": a.Annotations,
					"generatorURL": a.GeneratorURL, "fingerprint": a.Fingerprint,
				} {
					sameJSON(t, field, alert[field], got)
				}
				require.Equal(t, a.Labels.ID(), a.ID)
				sameTime(t, alert["startsAt"], a.StartsAt)
				sameTime(t, alert["endsAt"], a.EndsAt)
			}
		})
	}
}

func sameJSON(t *testing.T, field string, want, got any) {
	t.Helper()
	if want == nil { // older Alertmanagers do not send it
		require.Empty(t, got, field)
		return
	}
	b, err := json.Marshal(got)
	require.NoError(t, err)
	w, err := json.Marshal(want)
	require.NoError(t, err)
	require.JSONEq(t, string(w), string(b), field)
}

func sameTime(t *testing.T, want any, got time.Time) {
	t.Helper()
	w, err := time.Parse(time.RFC3339, want.(string))
	require.NoError(t, err)
	require.True(t, w.Equal(got), "%v is not %v", got, w)
	require.Equal(t, want == "0001-01-01T00:00:00Z", got.IsZero())
}

func TestDecodeReceiverAsSent(t *testing.T) {
	require.Equal(t, `infra \(eu\|us\)\.\*`, decode(t, sent(t, "0.31-regexp-receiver")).Receiver)
	require.Equal(t, `shop/oncall/web\.hook`, decode(t, sent(t, "0.27-truncated")).Receiver)
}

func TestProblem(t *testing.T) {
	firing, resolved := decode(t, sent(t, "0.25-firing")), decode(t, sent(t, "0.25-resolved"))
	require.Equal(t, firing.ProblemID(), resolved.ProblemID())
	other, err := webhook.Decode("dc2", sent(t, "0.25-firing"), webhook.DefaultLimits())
	require.NoError(t, err)
	require.NotEqual(t, firing.ProblemID(), other.ProblemID(), "the cluster tells problems apart")
}

func TestDecodeTolerates(t *testing.T) {
	for name, edit := range map[string][2]string{
		"unknown fields":       {`"version"`, `"new":{"a":[1,{"b":null}],"c":-1.5e9,"d":true},"version"`},
		"unknown alert fields": {`"fingerprint"`, `"new":[[]],"fingerprint"`},
		"null label sets":      {`"commonAnnotations":{`, `"routeLabels":null,"commonAnnotations":{`},
		"white space":          {`{`, " \n\t{ "},
		"a null endsAt":        {`"endsAt":"0001-01-01T00:00:00Z"`, `"endsAt":null`},
		"no annotations":       {`"annotations"`, `"notes"`},
	} {
		t.Run(name, func(t *testing.T) {
			body := strings.Replace(string(sent(t, "0.31-firing")), edit[0], edit[1], 1)
			require.NotEqual(t, string(sent(t, "0.31-firing")), body)
			n := decode(t, []byte(body))
			require.Len(t, n.Alerts, 2)
			require.True(t, n.Alerts[0].EndsAt.IsZero())
		})
	}
}

func TestDecodeFoldsDuplicates(t *testing.T) {
	at := func(i int, status string) string {
		return fmt.Sprintf(`{"status":%q,"labels":{"a":"1","b":"2"},"startsAt":"2026-01-01T00:00:0%dZ"}`, status, i)
	}
	for name, tc := range map[string]struct {
		alerts string
		want   page.Status
		second int
	}{
		"same":              {at(1, "firing") + "," + at(2, "firing"), page.Firing, 1},
		"firing comes late": {at(1, "resolved") + "," + at(2, "firing"), page.Firing, 2},
		"firing came early": {at(1, "firing") + "," + at(2, "resolved"), page.Firing, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n := decode(t, fmt.Appendf(nil, `{"version":"4","receiver":"r","groupKey":"g","status":"firing","alerts":[%s]}`, tc.alerts))
			require.Len(t, n.Alerts, 1)
			require.Equal(t, tc.want, n.Alerts[0].Status)
			require.Equal(t, tc.second, n.Alerts[0].StartsAt.Second())
		})
	}
}

// hostile are bodies that must be refused, by what the error must say.
func hostile(good string) map[string]struct{ body, reason, says string } {
	edit := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	type c = struct{ body, reason, says string }
	return map[string]c{
		"nothing":             {"", webhook.ReasonPayload, "empty"},
		"white space":         {" \n", webhook.ReasonPayload, "empty"},
		"not JSON":            {"version=4", webhook.ReasonSyntax, "not JSON"},
		"torn":                {good[:len(good)/2], webhook.ReasonSyntax, "not JSON"},
		"two bodies":          {good + good, webhook.ReasonSyntax, "not JSON"},
		"not UTF-8":           {edit("HighErrors", "High\xffErrors"), webhook.ReasonSyntax, "UTF-8"},
		"an array":            {"[" + good + "]", webhook.ReasonPayload, "payload:"},
		"a text":              {`"alert"`, webhook.ReasonPayload, "payload:"},
		"null":                {"null", webhook.ReasonPayload, "payload:"},
		"a payload of theirs": {`{"text":"HighErrors","status":"firing","alerts":3}`, webhook.ReasonPayload, "remove `payload:`"},
		"no version":          {edit(`"version":"4",`, ``), webhook.ReasonPayload, "version: it is missing"},
		"a newer version":     {edit(`"version":"4"`, `"version":"5"`), webhook.ReasonVersion, `"5" where "4"`},
		"version as a number": {edit(`"version":"4"`, `"version":4`), webhook.ReasonField, "version: it holds a number where a text"},
		"no groupKey":         {edit(`"groupKey"`, `"group"`), webhook.ReasonField, "groupKey: it is missing"},
		"no receiver":         {edit(`"receiver"`, `"to"`), webhook.ReasonField, "receiver: it is missing"},
		"no alerts":           {edit(`"alerts"`, `"alarms"`), webhook.ReasonField, "alerts: there is none"},
		"alerts as an object": {edit(`"alerts":[`, `"alerts":{"x":[`) + "}", webhook.ReasonPayload, "alerts: this is not"},
		"alerts as a text":    {edit(`"alerts"`, `"alerts":"x","alarms"`), webhook.ReasonField, "alerts: it holds a string where an array"},
		"zero alerts":         {edit(`"alerts":[`, `"alerts":[],"x":[`), webhook.ReasonField, "alerts: there is none"},
		"a null alert":        {edit(`"alerts":[`, `"alerts":[null,`), webhook.ReasonField, "alerts[0].status"},
		"a number as a label": {edit(`"severity":"critical"`, `"severity":1`), webhook.ReasonField, "where a text is expected"},
		"labels as an array":  {edit(`"labels":{`, `"labels":[],"x":{`), webhook.ReasonField, "where an object is expected"},
		"status of the group": {edit(`"status":"firing"`, `"status":"pending"`), webhook.ReasonField, `status: it is "pending"`},
		"status of an alert":  {edit(`[{"status":"firing"`, `[{"status":"on"`), webhook.ReasonField, `alerts[0].status: it is "on"`},
		"no startsAt":         {edit(`"startsAt"`, `"began"`), webhook.ReasonField, "alerts[0].startsAt"},
		"startsAt in words":   {edit(`"startsAt":"2`, `"startsAt":"today 2`), webhook.ReasonField, "alerts[0].startsAt"},
		"endsAt in words":     {edit(`"endsAt":"0`, `"endsAt":"today 0`), webhook.ReasonField, "alerts[0].endsAt"},
		"a negative count":    {edit(`"truncatedAlerts":0`, `"truncatedAlerts":-1`), webhook.ReasonField, "where a count is expected"},
		"deep":                {edit(`"version"`, `"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`,"version"`), webhook.ReasonSize, "deeper than 32"},
		"deep and torn":       {strings.Repeat("[", 1<<20), webhook.ReasonSize, "deeper than 32"},
		"deep objects":        {strings.Repeat(`{"a":`, 1<<20), webhook.ReasonSize, "deeper than 32"},
		"many alerts":         {edit(`"alerts":[`, `"alerts":[`+strings.Repeat(`{},`, 20_000)), webhook.ReasonSize, "max_alerts"},
		"many nulls":          {edit(`"alerts":[`, `"alerts":[`+strings.Repeat(`null,`, 20_000)), webhook.ReasonSize, "max_alerts"},
		"many names":          {edit(`"labels":{`, `"labels":{`+names(1024)), webhook.ReasonSize, "label_limit"},
		"a long label":        {edit(`"severity":"critical"`, `"severity":"`+strings.Repeat("x", 64<<10)+`"`), webhook.ReasonSize, "alerts[0].labels: its"},
		"long annotations":    {edit(`"summary":"`, `"summary":"`+strings.Repeat("x", 64<<10)), webhook.ReasonSize, "alerts[0].annotations: its"},
		"long group labels":   {edit(`"groupLabels":{`, `"groupLabels":{"x":"`+strings.Repeat("x", 64<<10)+`",`), webhook.ReasonSize, "groupLabels: its"},
		"a large body":        {good + strings.Repeat(" ", 32<<20), webhook.ReasonSize, "max_alerts"},
	}
}

func names(n int) string {
	var s strings.Builder
	for i := range n {
		fmt.Fprintf(&s, `"n%d":"",`, i)
	}
	return s.String()
}

func TestDecodeRefuses(t *testing.T) {
	good := strings.TrimSpace(string(sent(t, "0.31-firing")))
	for name, tc := range hostile(good) {
		t.Run(name, func(t *testing.T) {
			_, err := webhook.Decode("dc1", []byte(tc.body), webhook.DefaultLimits())
			bad, ok := errors.AsType[*webhook.Unreadable](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, tc.reason, bad.Reason, "%v", err)
			require.ErrorContains(t, err, tc.says)
			require.Less(t, len(err.Error()), 500)
		})
	}
}

// TestScanAllocates: what bounds a body must not itself be a way to fill the memory.
func TestScanAllocates(t *testing.T) {
	for name, body := range map[string]string{
		"deep":        strings.Repeat("[", 8<<20),
		"many nulls":  `{"alerts":[` + strings.Repeat("null,", 2<<20),
		"many names":  `{"alerts":[{"labels":{` + strings.Repeat(`"":"",`, 1<<20),
		"a long text": `{"alerts":["` + strings.Repeat(`\"`, 4<<20),
	} {
		t.Run(name, func(t *testing.T) {
			b := []byte(body)
			perRun := testing.AllocsPerRun(1, func() {
				_, err := webhook.Decode("dc1", b, webhook.DefaultLimits())
				require.Error(t, err)
			})
			require.Less(t, perRun, 200.0)
		})
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("../testdata/alertmanager/*.json")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	for _, name := range files {
		body, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(body)
		for _, tc := range hostile(strings.TrimSpace(string(body))) {
			if len(tc.body) < 4096 {
				f.Add([]byte(tc.body))
			}
		}
	}
	limits := webhook.Limits{Body: 64 << 10, Depth: 8, Alerts: 10, Names: 12, LabelBytes: 512}
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := webhook.Decode("dc1", body, limits)
		again, err2 := webhook.Decode("dc1", body, limits)
		require.Equal(t, n, again)
		require.Equal(t, err, err2)
		if err != nil {
			_, ok := errors.AsType[*webhook.Unreadable](err)
			require.True(t, ok, "%v", err)
			return
		}
		checkDecoded(t, n, limits)
		// Its parts in another order are the same problem and the same alerts.
		var m map[string]any
		require.NoError(t, json.Unmarshal(body, &m))
		if alerts, ok := m["alerts"].([]any); ok && len(alerts) == len(n.Alerts) {
			rand.Shuffle(len(alerts), func(i, j int) { alerts[i], alerts[j] = alerts[j], alerts[i] })
			other, err := json.Marshal(m)
			require.NoError(t, err)
			shuffled, err := webhook.Decode("dc1", other, webhook.DefaultLimits())
			if err != nil { // encoding/json takes names in any case, a map keeps one of each
				return
			}
			require.Equal(t, n.ProblemID(), shuffled.ProblemID())
		}
	})
}

// checkDecoded makes sure that what was accepted keeps the limits.
func checkDecoded(t *testing.T, n page.Notification, limits webhook.Limits) {
	t.Helper()
	require.NotEmpty(t, n.Receiver)
	require.NotEmpty(t, n.GroupKey)
	require.NotEmpty(t, n.Alerts)
	require.LessOrEqual(t, len(n.Alerts), limits.Alerts)
	ids := map[string]bool{}
	sets := []page.Labels{n.GroupLabels, n.CommonLabels, n.CommonAnnotations, n.RouteLabels}
	for _, a := range n.Alerts {
		require.False(t, ids[a.ID], "twice")
		ids[a.ID] = true
		require.Contains(t, []page.Status{page.Firing, page.Resolved}, a.Status)
		sets = append(sets, a.Labels, a.Annotations)
	}
	for _, set := range sets {
		size := 0
		for k, v := range set {
			size += len(k) + len(v)
		}
		require.LessOrEqual(t, size, limits.LabelBytes)
		require.LessOrEqual(t, len(set), limits.Names)
	}
}
