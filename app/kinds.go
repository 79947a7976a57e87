package app

import (
	"github.com/tocsin/tocsin/enrich"
	"github.com/tocsin/tocsin/enrich/thanos"
	"github.com/tocsin/tocsin/notify"
	"github.com/tocsin/tocsin/notify/alertmanager"
	"github.com/tocsin/tocsin/notify/pagerduty"
	"github.com/tocsin/tocsin/notify/slack"
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
		slack.Kind(nil),
	}
}
