package awx_test

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/config"
	"github.com/tocsin/tocsin/lab/fakeawx"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remediate/awx"
	"github.com/tocsin/tocsin/remediate/remediatetest"
)

func TestBackendOnAWX(t *testing.T) {
	t.Parallel()
	remediatetest.Run(t, suite(fakeawx.AWX, "restart", "job", false))
}

func TestBackendOnAAP(t *testing.T) {
	t.Parallel()
	remediatetest.Run(t, suite(fakeawx.AAP, "restart", "job", true))
}

// A workflow keeps the same rules as a job, but that it has no check mode.
func TestBackendOnAWXWorkflows(t *testing.T) {
	t.Parallel()
	remediatetest.Run(t, suite(fakeawx.AWX, "repair", "workflow", false))
}

func TestBackendOnAAPWorkflows(t *testing.T) {
	t.Parallel()
	remediatetest.Run(t, suite(fakeawx.AAP, "repair", "workflow", true))
}

// suite is the conformance suite at a fake of either product.
func suite(prefix, template, kind string, basic bool) remediatetest.Suite {
	return remediatetest.Suite{Kind: awx.Kind(), Start: func(t *testing.T) remediatetest.Service {
		f, url := serve(t, fakeawx.Options{Prefix: prefix})
		secret := fakeawx.DefaultToken
		if basic {
			secret = fakeawx.DefaultPassword
		}
		section := func(url, secret string) *awx.Config {
			if basic {
				return &awx.Config{
					URL: url, Username: fakeawx.DefaultUser, PasswordFile: file(t, secret),
					Timeout: config.Duration(30 * time.Second), Settle: config.Duration(3 * time.Minute),
				}
			}
			return plain(t, url, secret)
		}
		return remediatetest.Service{
			Config: section(url, secret), Wrong: section(url, "wrong"), Down: section("http://127.0.0.1:1", secret),
			Secret: secret, Faults: f.Faults, Launch: "/launch/",
			Step:      remediate.Step{Template: template, Organization: "Infra", Kind: kind},
			Target:    remediate.Target{Kind: remediate.HostTarget, Name: "web01"},
			Inventory: "prod",
			NoCheck:   kind == "workflow", Refuses: kind == "workflow",
			Started: func() []remediatetest.Started { return started(f) },
			Advance: f.Advance,
			Late:    func(d time.Duration) { f.Switch(fakeawx.Switches{CommitDelay: fakeawx.Duration(d)}) },
			Loosen: func() {
				require.NoError(t, f.Edit(template, func(t *fakeawx.Template) { t.Ask = []string{"variables", "job_type"} }))
			},
			Hold:   func() { f.Switch(fakeawx.Switches{NoCapacity: true}) },
			Forget: f.Forget,
		}
	}}
}

// started are the jobs and workflows that were asked for, a workflow with the
// hosts that its jobs touched.
func started(f *fakeawx.Fake) []remediatetest.Started {
	var out []remediatetest.Started
	touched := map[int64][]string{}
	jobs := f.Ledger().Jobs
	for _, j := range jobs {
		touched[cmp.Or(j.Parent, j.ID)] = append(touched[cmp.Or(j.Parent, j.ID)], j.Hosts...)
	}
	for _, j := range jobs {
		if j.Parent == 0 {
			out = append(out, remediatetest.Started{ID: j.ID, Limit: j.Limit, Check: j.JobType == "check", Vars: j.Vars, Hosts: touched[j.ID], Status: j.Status})
		}
	}
	return out
}

func serve(t *testing.T, o fakeawx.Options) (*fakeawx.Fake, string) {
	t.Helper()
	f := fakeawx.New(o)
	s := httptest.NewServer(f)
	t.Cleanup(func() { f.Faults.Clear(); s.Close(); f.Close() })
	return f, s.URL
}

func file(t *testing.T, text string) config.SecretFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(text+"\n"), 0o600))
	return config.SecretFile(path)
}

func plain(t *testing.T, url, token string) *awx.Config {
	t.Helper()
	c := awx.Kind().Config().(*awx.Config)
	c.URL, c.TokenFile = url, file(t, token)
	require.NoError(t, c.Validate())
	return c
}

func open(t *testing.T, c *awx.Config) remediate.Backend {
	t.Helper()
	b, err := awx.Kind().New(c, remediate.Deps{Name: "test", Transport: &http.Transport{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	require.NoError(t, err)
	return b
}
