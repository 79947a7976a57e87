package webhook_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/webhook"
)

// group is a body with many alerts, some 1 KB each.
func group(alerts int) []byte {
	var list []string
	for i := range alerts {
		list = append(list, fmt.Sprintf(`{"status":"firing","labels":{"alertname":"HighErrors","cluster":"eu1","instance":"10.%d.%d.%d:8080","pod":"checkout-6d4cf56db6-%05d","namespace":"shop","service":"checkout","severity":"critical","version":"v42","zone":"eu1-a"},"annotations":{"description":"%s","runbook_url":"https://runbooks.example.org/HighErrors","summary":"5 %% of \u003ccheckout\u003e fail"},"startsAt":"2026-11-22T13:33:42.123Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://prometheus.example.org:9090/graph?g0.expr=rate%%28errors%%5B5m%%5D%%29\u0026g0.tab=1","fingerprint":"%016x"}`,
			i>>16, i>>8&255, i&255, i, strings.Repeat("What happened and why it matters. ", 10), i))
	}
	return fmt.Appendf(nil, `{"receiver":"team-payments","status":"firing","alerts":[%s],"groupLabels":{"alertname":"HighErrors"},"commonLabels":{"alertname":"HighErrors","severity":"critical"},"commonAnnotations":{},"externalURL":"http://alertmanager:9093","version":"4","groupKey":"{}:{alertname=\"HighErrors\"}","truncatedAlerts":0}`, strings.Join(list, ","))
}

// BenchmarkDecode compares with decoding the whole body without knowing it.
func BenchmarkDecode(b *testing.B) {
	for _, alerts := range []int{1, 40, 10_000} {
		body := group(alerts)
		b.Run(fmt.Sprintf("ours/%d_alerts", alerts), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := webhook.Decode("dc1", body, webhook.DefaultLimits()); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("naive/%d_alerts", alerts), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				var m map[string]any
				if err := json.Unmarshal(body, &m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHandler is the whole way from a request to its answer, the sync to
// disk included.
func BenchmarkHandler(b *testing.B) {
	for _, tc := range []struct{ alerts, senders int }{{1, 1}, {1, 64}, {40, 64}, {10_000, 1}} {
		b.Run(fmt.Sprintf("%d_alerts/%d_senders", tc.alerts, tc.senders), func(b *testing.B) {
			s := openStore(b)
			defer func() { require.NoError(b, s.Close()) }()
			h := newHandler(s)
			body := string(group(tc.alerts))
			var n atomic.Int64
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			b.SetParallelism((tc.senders + 1) / 2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					own := strings.Replace(body, `\"HighErrors\"}`, fmt.Sprintf(`\"HighErrors%d\"}`, n.Add(1)), 1)
					w := httptest.NewRecorder()
					h.ServeHTTP(w, request([]byte(own)))
					if w.Code != 202 {
						b.Error(w.Code, w.Body)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "webhooks/s")
		})
	}
}
