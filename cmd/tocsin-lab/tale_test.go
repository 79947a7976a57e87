package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fakeslack"
)

func TestTalesAreJudged(t *testing.T) {
	root := func(text string) []fakeslack.Message {
		return []fakeslack.Message{{First: fakeslack.Version{Visible: text}}}
	}
	right := map[string]string{"operation": "createOrder"}
	const good = "1 of 1 failing share operation=createOrder (0 % of healthy do)\nOpenAPIErrors · service=shop"
	for name, c := range map[string]struct {
		named map[string]string
		roots []fakeslack.Message
		says  string
	}{
		"right":            {right, root(good), ""},
		"no page":          {nil, nil, "does not name operation=createOrder"},
		"another trait":    {map[string]string{"operation": "getCart"}, root(good), "but map[operation:getCart]"},
		"another headline": {right, root("nothing in common\nOpenAPIErrors " + good), "Slack's first line"},
		"healthy too":      {right, root("2 of 3 failing share operation=createOrder (40 % of healthy do)\nOpenAPIErrors"), "the first Slack post does not say"},
	} {
		err := names("OpenAPIErrors", "createOrder").judge(&screen{out: io.Discard}, c.named, c.roots)
		if c.says == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, c.says, name)
	}
}
