package notify_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/page"
)

func TestWhoOwnsAPage(t *testing.T) {
	payments, search := notify.Owner{Name: "payments", Slack: "S0PAY"}, notify.Owner{Name: "search", Slack: "U0ANN"}
	owners := notify.Owners{
		{Match: page.Labels{"service": "checkout", "cluster": "eu"}, Owner: payments},
		{Match: page.Labels{"service": "search"}, Owner: search},
		{Owner: notify.Owner{Name: "nobody", Slack: "S0NO"}},
	}
	alerts := func(sets ...page.Labels) page.Page {
		var p page.Page
		for _, ls := range sets {
			p.Alerts = append(p.Alerts, page.Alert{Labels: ls})
		}
		return p
	}
	for name, tc := range map[string]struct {
		p    page.Page
		want notify.Owner
	}{
		"all labels match":         {alerts(page.Labels{"service": "checkout", "cluster": "eu"}), payments},
		"one of two does not":      {alerts(page.Labels{"service": "checkout", "cluster": "us"}), notify.Owner{}},
		"one alert of two":         {alerts(page.Labels{"service": "search"}, page.Labels{"service": "cart"}), notify.Owner{}},
		"by label":                 {alerts(page.Labels{"team": "payments"}), payments},
		"by a label nobody knows":  {alerts(page.Labels{"owner": "<!channel>"}), notify.Owner{Name: "<!channel>"}},
		"a label with a handle":    {alerts(page.Labels{"owner": "S0PAY"}), notify.Owner{Name: "S0PAY"}},
		"the config before labels": {alerts(page.Labels{"service": "search", "owner": "payments"}), search},
		"no alert":                 {page.Page{}, notify.Owner{}},
	} {
		require.Equal(t, tc.want, owners.Of(tc.p), name)
	}
	text := notify.Compose(notify.Message{Owner: notify.Owner{Name: "pay\u202ements\n"}}, time.Now())
	require.Equal(t, "payments", text.Owner)
}
