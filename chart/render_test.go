package chart_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/chart"
	"github.com/tocsin/tocsin/page"
)

// epoch is 12:19:30 UTC.
func epoch() time.Time { return time.Date(2026, 3, 14, 12, 19, 30, 0, time.UTC) }

const step = 15 * time.Second

// course makes 241 values, one for each step of an hour; at counts minutes.
func course(of func(minute float64) float64) []page.Sample {
	var out []page.Sample
	for i := range 241 {
		out = append(out, page.Sample(of(float64(i)/4)))
	}
	return out
}

func minute(m float64) time.Time {
	return epoch().Add(-time.Hour).Add(time.Duration(m * float64(time.Minute)))
}

// examples are charts as pages have them.
func examples() map[string]page.Chart {
	r := rand.New(rand.NewPCG(7, 7))
	noisy := func(v, spread float64) float64 { return math.Max(0, v+spread*r.NormFloat64()) }
	ramp := func(m, from, to, lo, hi float64) float64 { return lo + (hi-lo)*min(max((m-from)/(to-from), 0), 1) }
	base := func() page.Chart { return page.Chart{From: minute(0), Step: step, At: epoch()} }

	deploy := base()
	deploy.Title, deploy.Expr, deploy.Unit = "ErrorRatio · checkout · dc1-prod", `sum(rate(http_requests_total{code=~"5.."}[1m])) / sum(rate(http_requests_total[1m])) by deploy`, "%"
	deploy.Threshold = new(float64(2))
	deploy.Failing = []page.Line{{Name: "deploy=v42", Values: course(func(m float64) float64 {
		if m < 44 {
			return math.NaN()
		}
		return noisy(ramp(m, 45, 47, .5, 38), 2)
	})}}
	deploy.Healthy = page.Band{Members: 3, Low: course(func(float64) float64 { return noisy(.3, .05) }), Middle: course(func(float64) float64 { return noisy(.5, .05) }), High: course(func(float64) float64 { return noisy(.9, .1) })}
	deploy.Marks = []page.Mark{{At: minute(44), Text: "deploy v42", Kind: "change"}, {At: minute(45), Text: "began 12:04", Kind: "onset"}, {At: minute(48), Text: "fired 12:07", Kind: "fired"}}

	hosts := base()
	hosts.Title, hosts.Expr, hosts.Unit = "LatencyHigh · search", `histogram_quantile(0.99, sum by (le, instance) (rate(http_request_duration_seconds_bucket[1m])))`, "s"
	hosts.Threshold = new(float64(.5))
	for i := range 4 {
		hosts.Failing = append(hosts.Failing, page.Line{Name: fmt.Sprintf("instance=10.20.30.%d:9100", 40+i), Values: course(func(m float64) float64 { return noisy(ramp(m, 30, 34, .1, 1.2-.15*float64(i)), .05) })})
	}
	hosts.Others = 9
	hosts.Healthy = page.Band{Members: 96, Low: course(func(float64) float64 { return noisy(.06, .01) }), Middle: course(func(float64) float64 { return noisy(.1, .01) }), High: course(func(float64) float64 { return noisy(.19, .02) })}
	hosts.Marks = []page.Mark{{At: minute(12), Text: "config dns", Kind: "change"}, {At: minute(30), Text: "began", Kind: "onset"}, {At: minute(35.5), Text: "fired", Kind: "fired"}}

	disk := base()
	disk.Title, disk.Expr, disk.Unit, disk.Below = "DiskWillFill", `filesystem_avail_bytes{device="sda1"}`, "B", true
	disk.Threshold = new(float64(10 << 30))
	disk.Failing = []page.Line{{Name: "host=h3", Values: course(func(m float64) float64 { return ramp(m, 20, 60, 60<<30, 3<<30) })}}
	disk.Healthy = page.Band{Members: 35, Low: course(func(float64) float64 { return 52 << 30 }), Middle: course(func(float64) float64 { return noisy(60<<30, 1e8) }), High: course(func(float64) float64 { return 71 << 30 })}
	disk.Marks = []page.Mark{{At: minute(55), Text: "fired", Kind: "fired"}}

	avail := base()
	avail.Title, avail.Expr, avail.Unit, avail.Below = "Availability · payments · a very long title that does not fit on a telephone at all", `sum(up) / count(up)`, "%", true
	avail.Threshold = new(float64(99))
	avail.Failing = []page.Line{{Name: "service=payments", Values: course(func(m float64) float64 { return min(100, ramp(m, 40, 41, 99.95, 93)+.1*r.NormFloat64()) })}}
	avail.Marks = []page.Mark{
		{At: minute(39), Text: "deploy 2026.03.14-rc1-build-77123-hotfix", Kind: "change"},
		{At: minute(39.5), Text: "deploy v7", Kind: "change"},
		{At: minute(40), Text: "began", Kind: "onset"},
		{At: minute(41), Text: "fired", Kind: "fired"},
		{At: minute(58), Text: "rollback v6", Kind: "change"},
	}

	up := base()
	up.Title, up.Expr = "TargetDown · cart", "up"
	up.Threshold, up.Below = new(float64(1)), true
	up.Failing = []page.Line{{Name: "host=web-3", Values: course(func(m float64) float64 {
		if m > 50 {
			return 0
		}
		return 1
	})}, {Name: "host=web-9", Values: course(func(m float64) float64 {
		if m > 51 {
			return math.NaN()
		}
		return 1
	})}}
	up.Healthy = page.Band{Members: 34, Middle: course(func(float64) float64 { return 1 })}
	up.Marks = []page.Mark{{At: minute(51), Text: "fired", Kind: "fired"}}

	rate := base()
	rate.Title, rate.Expr, rate.Unit = "RequestsFlood", `sum by (user) (rate(http_requests_total[1m]))`, "/s"
	rate.Threshold = new(float64(5000))
	rate.Failing = []page.Line{{Name: "user=u5", Values: course(func(m float64) float64 { return noisy(ramp(m, 52, 53, 120, 12400), 300) })}}
	rate.Healthy = page.Band{Members: 480, Low: course(func(float64) float64 { return 5 }), Middle: course(func(float64) float64 { return 60 }), High: course(func(float64) float64 { return 240 })}
	rate.Marks = []page.Mark{{At: minute(52), Text: "began", Kind: "onset"}, {At: minute(55), Text: "fired", Kind: "fired"}}

	return map[string]page.Chart{"deploy": deploy, "hosts": hosts, "disk": disk, "availability": avail, "up": up, "rate": rate}
}

// TestPicturesToLookAt writes the examples to the folder that CHARTS names.
func TestPicturesToLookAt(t *testing.T) {
	dir := os.Getenv("CHARTS")
	if dir == "" {
		dir = t.TempDir()
	}
	for name, c := range examples() {
		for _, dark := range []bool{false, true} {
			b, err := chart.PNG(c, chart.Options{Dark: dark})
			require.NoError(t, err)
			require.Less(t, len(b), 200<<10, "a message carries it")
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%t.png", name, dark)), b, 0o600))
			b, err = chart.SVG(c, chart.Options{Dark: dark})
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%t.svg", name, dark)), b, 0o600))
		}
	}
}
