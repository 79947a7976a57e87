package expressions_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/expr"
	"github.com/tocsin/tocsin/lab/expressions"
	"github.com/tocsin/tocsin/lab/scenario"
)

func TestCatalogue(t *testing.T) {
	all, err := expressions.All()
	require.NoError(t, err)
	fires := map[scenario.Kind]int{}
	seen := map[string]bool{}
	for _, e := range all {
		require.False(t, seen[e.Name], "two expressions are named %s", e.Name)
		seen[e.Name] = true
		require.NotEmpty(t, e.On, e.Name)
		_, err := expr.Parse(e.Expr)
		require.NoError(t, err, e.Name)
		for kind := range e.Blind {
			require.Contains(t, scenario.Kinds(), kind, e.Name)
			require.False(t, e.Fires(kind))
		}
		for _, kind := range scenario.Kinds() {
			if e.Fires(kind) {
				fires[kind]++
			}
		}
	}
	for _, kind := range scenario.Kinds() {
		require.GreaterOrEqual(t, fires[kind], 30, kind)
	}
}

func TestNamed(t *testing.T) {
	got, err := expressions.Named("ErrorRatio", "Down")
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.True(t, got[0].Fires(scenario.NoisyUser))
	require.False(t, got[0].Fires(scenario.TargetDown))
	require.True(t, got[1].Fires(scenario.TargetDown))
	require.False(t, got[1].Fires(scenario.BadHost))
	_, err = expressions.Named("Nope")
	require.ErrorContains(t, err, `expression "Nope" is not known`)
}

func TestRulesAreRules(t *testing.T) {
	all, err := expressions.All()
	require.NoError(t, err)
	raw, err := expressions.Rules(all, []string{"cart", "search"}, 5*time.Second, 10*time.Second)
	require.NoError(t, err)
	groups, errs := rulefmt.Parse(raw, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	require.Empty(t, errs)
	require.Len(t, groups.Groups, len(all))
	held := map[model.Duration]int{}
	for _, g := range groups.Groups {
		last := g.Rules[len(g.Rules)-1]
		require.Equal(t, g.Name, last.Alert)
		require.GreaterOrEqual(t, last.For, model.Duration(10*time.Second))
		require.LessOrEqual(t, last.For, model.Duration(time.Minute))
		held[last.For]++
		require.NotContains(t, last.Expr, "$")
	}
	require.Len(t, held, 6, "pages come one after the other")
}
