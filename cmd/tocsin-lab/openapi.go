package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin/tocsin/dashboards"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/shop"
	"github.com/tocsin/tocsin/lab/world"
)

type openapiCmd struct {
	worldFlags
	Addresses int `default:"100000" help:"How many addresses that are nowhere a scanner asks for."`
}

// Help shows examples under the flags.
func (openapiCmd) Help() string {
	return `A shop with eight operations, openapi_exporter in front of it, and the rules that it generates from the
shop's document, with their times divided by ten. The exporter probes what may be asked, and an answer
has a price that becomes a metric. A scanner asks for addresses that are nowhere: no
series may come of it. Then createOrder fails and searchProducts is slow: exit 0 only if there are
two pages, each names its operation in its first message, and both resolve once it is mended.

  tocsin-lab openapi`
}

// Run is the command.
func (c *openapiCmd) Run(ctx context.Context, out *screen) error {
	o, err := c.options("openapi", out)
	if err != nil {
		return err
	}
	exporter, err := o.Finder.Find(ctx, "openapi_exporter")
	if err != nil {
		return err
	}
	out.line("  %-13s %s", "exporter", exporter)
	dir, err := os.MkdirTemp("", "tocsin-openapi-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	street, err := shop.Open(ctx, dir, exporter)
	if err != nil {
		return fmt.Errorf("open the shop: %w", err)
	}
	defer street.Close()
	shopping, home := context.WithCancel(ctx)
	var customers sync.WaitGroup
	defer customers.Wait()
	defer home()
	customers.Go(func() { shop.Customers(shopping, street.Front, 100*time.Millisecond) })
	if err := asked(ctx, street, out); err != nil {
		return err
	}

	o.Rules, o.Services, o.Targets, o.Native = map[string][]byte{}, []string{"cart"}, 6, true
	for name, rules := range street.Rules {
		o.Rules[name] = hasty(rules)
	}
	o.Guests = []world.Guest{{Addr: street.Metrics, Labels: map[string]string{"job": "openapi", "instance": "shop-1"}}}
	var scanned error
	var said strings.Builder
	scanning := sync.WaitGroup{}
	scanning.Go(func() { scanned = c.scan(shopping, street, &screen{out: &said, live: out.live}) })
	w, err := begin(ctx, o, out, 0)
	if err != nil {
		return err
	}
	defer w.Stop()
	scanning.Wait()
	fmt.Fprint(out, said.String())
	if scanned != nil {
		return scanned
	}
	if err := fail(ctx, w, street, out); err != nil {
		return err
	}
	street.Shop.Strike(map[string]shop.Fault{"getProduct": {Wrong: true}}) // so that the panels which tell of that have something to tell
	board, err := dashboards.Parse("shop.dashboard.json", street.Dashboard)
	if err != nil {
		return err
	}
	return look(ctx, w, out, "openapi", board)
}

// scan has a scanner come by, and counts series before and after.
func (c *openapiCmd) scan(ctx context.Context, street *shop.Street, out *screen) error {
	const unmatched = `openapi_unmatched_requests_total{reason="path"`
	before, _, err := street.Scrape(ctx, unmatched)
	if err != nil {
		return err
	}
	begun := time.Now()
	answered, err := shop.Scan(ctx, street.Front, c.Addresses)
	if err != nil {
		return fmt.Errorf("scan: %w", err)
	}
	after, counted, err := street.Scrape(ctx, unmatched)
	if err != nil {
		return err
	}
	ok := before == after && answered == c.Addresses && int(counted) == answered
	out.line("%s  a scanner's %d addresses in %s: %d series before, %d after, %.0f requests counted as unmatched",
		out.verdict(ok, "ok  ", "FAIL"), answered, seconds(time.Since(begun)), before, after, counted)
	if !ok {
		return errors.New("a scanner makes series, or was not counted")
	}
	return nil
}

// asked waits for the exporter's own probe of the shop: four of its reading
// operations answer, and one answer has a price.
func asked(ctx context.Context, street *shop.Street, out *screen) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the probe had a minute"))
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		_, answered, err := street.Scrape(ctx, "openapi_probe_operation_success{")
		if err != nil {
			return err
		}
		_, price, err := street.Scrape(ctx, "shop_price_euros{")
		if err != nil {
			return err
		}
		if answered == 4 && price == 12.5 {
			out.line("%s  a probe: %.0f operations answer as the document says, the price of a product is %v", out.verdict(true, "ok  ", ""), answered, price)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %.0f operations answer, the price is %v", context.Cause(ctx), answered, price)
		case <-tick.C:
		}
	}
}

// fail strikes two operations, judges the pages, and mends.
func fail(ctx context.Context, w *world.World, street *shop.Street, out *screen) error {
	out.title("createOrder fails, searchProducts is slow")
	street.Shop.Strike(map[string]shop.Fault{"createOrder": {Fails: true}, "searchProducts": {Late: 2500 * time.Millisecond}})
	tales := []tale{names("OpenAPIErrors", "createOrder"), names("OpenAPISlow", "searchProducts")}
	err := tell(ctx, w, out, "the fault", tales)
	for _, t := range tales {
		out.indent(t.first(w.FakeSlack.Ledger().Roots()))
	}
	if err != nil {
		return err
	}
	street.Shop.Strike(nil)
	mended := time.Now()
	over, err := until(ctx, w, 2*time.Minute, func() bool { return resolved(w) })
	if err != nil {
		return err
	}
	out.line("%s  both pages are resolved in Slack and PagerDuty %s after it was mended", out.verdict(over, "ok  ", "FAIL"), seconds(time.Since(mended)))
	if n := len(w.FakeSlack.Ledger().Roots()); !over || n != len(tales) {
		return fmt.Errorf("%d roots in Slack, resolved: %v; logs in %s/logs", n, over, w.Dir)
	}
	return nil
}

// names is what must be told of an operation.
func names(alert, operation string) tale {
	return tale{
		alert: alert, names: map[string]string{"operation": operation}, headline: []string{"operation=" + operation},
		says: []string{"operation=" + operation + " (0 % of healthy do)"},
	}
}

// resolved says whether every page is told to be over, in both places.
func resolved(w *world.World) bool {
	roots, incidents := w.FakeSlack.Ledger().Roots(), w.FakePD.Ledger().Incidents
	return len(roots) > 0 && len(incidents) > 0 &&
		!slices.ContainsFunc(roots, func(m fakeslack.Message) bool {
			return !strings.Contains(strings.ToLower(m.Current.Visible), "resolved")
		}) &&
		!slices.ContainsFunc(incidents, func(in fakepagerduty.Incident) bool { return in.Status != "resolved" })
}
