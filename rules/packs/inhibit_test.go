package packs_test

import (
	"testing"
	"time"

	"github.com/prometheus/alertmanager/config"
	"github.com/prometheus/alertmanager/inhibit"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// TestOnePageForOneFault asks the shipped rules of inhibition which of two alerts
// is held back.
func TestOnePageForOneFault(t *testing.T) {
	am, err := config.LoadFile("../../deploy/examples/alertmanager.yml")
	require.NoError(t, err)
	require.NotEmpty(t, am.InhibitRules)
	byName := map[string]alert{}
	for _, a := range alerts(t) {
		byName[a.Alert] = a
	}
	set := func(name string, more model.LabelSet) model.LabelSet {
		a, ok := byName[name]
		require.True(t, ok, name)
		out := model.LabelSet{"alertname": model.LabelValue(name), "app": "checkout", "cluster": "main"}
		for k, v := range a.Labels {
			out[model.LabelName(k)] = model.LabelValue(v)
		}
		return out.Merge(more)
	}
	held := func(source, target model.LabelSet) bool {
		for _, r := range am.InhibitRules {
			rule := inhibit.NewInhibitRule(r)
			equal := true
			for l := range rule.Equal {
				equal = equal && source[l] == target[l]
			}
			if equal && rule.TargetMatchers.Matches(target) && rule.SourceMatchers.Matches(source) {
				return true
			}
		}
		return false
	}
	here := model.LabelSet{"instance": "a", "dc": "dc1", "deploy": "v2"}
	there := model.LabelSet{"instance": "b", "dc": "dc2", "deploy": "v1"}
	dc, deploy := model.LabelSet{"dc": "dc1"}, model.LabelSet{"deploy": "v2"}
	for _, c := range []struct {
		source, target string
		s, t           model.LabelSet
		held           bool
	}{
		{"HTTPErrorsFast", "HTTPErrors", here, here, true},
		{"HTTPErrors", "HTTPErrorsFast", here, here, false},
		{"HTTPErrorsFast", "HTTPErrors", here, there, false},
		{"HTTPErrorsFast", "HTTPSlow", here, here, false},
		{"HTTPSlowFast", "HTTPSlow", here, here, true},
		{"HTTPTrafficDropFast", "HTTPTrafficDrop", nil, nil, true},
		{"ThreadsExhaustedFast", "ThreadsNearLimit", here, here, true},
		{"PoolExhaustedFast", "PoolNearLimit", here, here.Merge(model.LabelSet{"pool": "other"}), false},
		{"KafkaConsumerStalledFast", "KafkaConsumerLate", nil, nil, true},
		{"DeployFailsFast", "HTTPErrorsFast", deploy, here, true},
		{"DeployFailsFast", "HTTPErrorsFast", deploy, there, false},
		{"DeployFails", "HTTPErrorsFast", deploy, here, false},
		{"DeployFails", "HTTPErrors", deploy, here, true},
		{"DeployFailsFast", "DatacentreFailsFast", deploy, dc, true},
		{"DatacentreFailsFast", "HTTPErrorsFast", dc, here, true},
		{"DatacentreFailsFast", "HTTPErrorsFast", dc, there, false},
		{"DatacentreFails", "HTTPErrorsFast", dc, here, false},
	} {
		require.Equal(t, c.held, held(set(c.source, c.s), set(c.target, c.t)), "%s holds %s back", c.source, c.target)
	}
}

// TestTheFastAlertIsFirst compares the conditions of alerts of one fault: who
// holds another back must be there before it, whatever the size of the fault, and
// by more than the time between two evaluations.
func TestTheFastAlertIsFirst(t *testing.T) {
	names := []string{
		"compiled/http.rules.yml", "compiled/http_latency.rules.yml", "compiled/datacentre.rules.yml", "compiled/deploy.rules.yml",
	}
	for _, level := range []float64{1, 0.9, 0.75, 0.6, 0.51} {
		best := map[string]time.Duration{}
		for _, name := range names {
			p := patient(t, name)
			p.Level = level
			predicted, err := p.Predict()
			require.NoError(t, err)
			for _, one := range predicted {
				best[one.Alert] = one.Best
			}
		}
		for _, pair := range [][2]string{
			{"HTTPErrorsFast", "HTTPErrors"},
			{"HTTPSlowFast", "HTTPSlow"},
			{"DeployFailsFast", "DeployFails"},
			{"DatacentreFailsFast", "DatacentreFails"},
			{"DeployFailsFast", "HTTPErrorsFast"},
			{"DeployFailsFast", "DatacentreFailsFast"},
			{"DatacentreFailsFast", "HTTPErrorsFast"},
			{"DeployFails", "HTTPErrors"},
			{"DatacentreFails", "HTTPErrors"},
		} {
			const evaluation = 5 * time.Second
			require.Greater(t, best[pair[1]]-best[pair[0]], evaluation, "%v at a fault of %v", pair, level)
		}
	}
}
