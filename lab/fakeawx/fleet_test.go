package fakeawx_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/lab/fleet"
	"github.com/tocsin/tocsin/lab/scenario"
)

// A job repairs the fleet: what struck it is gone, by playbook and by stand-in.
func TestJobsRepairTheFleet(t *testing.T) {
	for name, playbooks := range map[string]string{"by playbook": "playbooks", "by stand-in": ""} {
		t.Run(name, func(t *testing.T) {
			if playbooks != "" && fakeawx.Ansible() == "" {
				t.Log("ansible-playbook is not installed: the stand-ins play")
			}
			fl, err := fleet.New(fleet.Options{Seed: 1})
			require.NoError(t, err)
			board := scenario.NewBoard(fl, 1)
			srv := httptest.NewServer(board)
			defer srv.Close()
			host, err := board.Strike(scenario.BadHost, "cart", 0)
			require.NoError(t, err)
			deploy, err := board.Strike(scenario.BadDeploy, "checkout", 0)
			require.NoError(t, err)
			sick := host.Trait["host"]
			require.NotEmpty(t, sick)
			w, actions := fakeawx.FleetWorld([]string{sick, "cart-99"}, srv.URL)
			l := start(t, fakeawx.Options{World: w, Actions: actions, Playbooks: playbooks, Now: time.Now})
			claim := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{}`)) }))
			defer claim.Close()
			id := 0
			run := func(template, limit string, vars object) {
				id++
				own := object{"dispatch_id": "D-1", "claim_url": claim.URL, "claim_token": "t"}
				body := object{"extra_vars": object{"tocsin": own}}
				maps.Copy(body["extra_vars"].(object), vars)
				if limit != "" {
					body["limit"], own["target"] = limit, limit
				}
				l.post(template+"launch/", body).is(http.StatusCreated)
				require.Eventually(t, func() bool {
					return !slices.Contains([]string{"pending", "waiting", "running"}, l.Ledger().Jobs[id-1].Status)
				}, 5*time.Minute, 20*time.Millisecond)
				require.Equal(t, "successful", l.Ledger().Jobs[id-1].Status, l.Ledger().Jobs[id-1].Output)
			}
			active := func() []string {
				var out []string
				for _, f := range board.Active() {
					out = append(out, f.ID)
				}
				return out
			}
			run("job_templates/8/", sick, nil)
			require.Contains(t, l.Ledger().Jobs[0].Output, host.Summary, "inspect says what is there")
			run("job_templates/7/", "cart-99", nil)
			require.Len(t, active(), 2, "another host is not it")
			run("job_templates/7/", sick, nil)
			require.Equal(t, []string{deploy.ID}, active())
			bad := slices.Collect(maps.Values(deploy.Trait))[0]
			run("job_templates/9/", "", object{"deploy": bad})
			require.Empty(t, active())
		})
	}
}
