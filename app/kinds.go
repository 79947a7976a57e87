package app

import (
	"github.com/tocsin/tocsin/chart"
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/alertmanager"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/notify/slack"
	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remediate/awx"
)

// The menu: a new kind is its folder and one line here.

// Sources lists the kinds of source.
func Sources() []enrich.Kind {
	return []enrich.Kind{
		thanos.Kind(),
	}
}

// Notifiers lists the kinds of target.
func Notifiers() []notify.Kind {
	return []notify.Kind{
		alertmanager.Kind(),
		pagerduty.Kind(),
		slack.Kind(drawPNG),
	}
}

// Backends lists the kinds of backend that start playbooks.
func Backends() []remediate.Kind {
	return []remediate.Kind{
		awx.Kind(),
	}
}

// drawPNG draws a chart as a message shows it.
func drawPNG(c page.Chart) ([]byte, error) { return chart.PNG(c, chart.Options{}) }

// drawSVG draws a chart as the page's own page shows it.
func drawSVG(c page.Chart, dark bool) ([]byte, error) {
	return chart.SVG(c, chart.Options{Dark: dark})
}
