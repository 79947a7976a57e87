package chart_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image/png"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/chart"
	"github.com/tocsin/tocsin/page"
)

// element is one shape or text of an SVG.
type element struct {
	name, class, text string
	attr              map[string]string
}

// read parses an SVG and refuses all that does not belong into a drawing.
func read(t require.TestingT, svg []byte) []element {
	d := xml.NewDecoder(bytes.NewReader(svg))
	var out []element
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(t, err)
		switch v := token.(type) {
		case xml.StartElement:
			require.Contains(t, []string{"svg", "title", "path", "text"}, v.Name.Local)
			e := element{name: v.Name.Local, attr: map[string]string{}}
			for _, a := range v.Attr {
				e.attr[a.Name.Local] = a.Value
			}
			e.class = e.attr["class"]
			require.NotContains(t, e.attr["d"], "N", "no NaN, no Inf")
			require.NotContains(t, e.attr["d"], "I")
			out = append(out, e)
		case xml.CharData:
			if len(out) > 0 {
				out[len(out)-1].text += strings.TrimSpace(string(v))
			}
		}
	}
}

func count(list []element, name, class string) int {
	n := 0
	for _, e := range list {
		if e.name == name && e.class == class {
			n++
		}
	}
	return n
}

func texts(list []element, class string) []string {
	var out []string
	for _, e := range list {
		if e.name == "text" && e.class == class {
			out = append(out, e.text)
		}
	}
	return out
}

func svg(t *testing.T, c page.Chart) []element {
	t.Helper()
	b, err := chart.SVG(c, chart.Options{})
	require.NoError(t, err)
	return read(t, b)
}

func TestWhatIsDrawn(t *testing.T) {
	list := examples()
	got := svg(t, list["deploy"])
	require.Equal(t, "ErrorRatio · checkout · dc1-prod", got[1].text, "the name of the picture, for who cannot see it")
	require.Equal(t, []string{"ErrorRatio · checkout · dc1-prod"}, texts(got, "title"))
	require.Equal(t, []string{"fires above 2 %"}, texts(got, "threshold"))
	require.ElementsMatch(t, []string{"deploy v42", "began 12:04", "fired 12:07"}, texts(got, "marktext"))
	require.Equal(t, 3, count(got, "path", "mark"))
	require.Equal(t, 1, count(got, "path", "band"))
	names := strings.Join(texts(got, "name"), "\n")
	require.Contains(t, names, "%  deploy=v42")
	require.Contains(t, names, "%  3 healthy")
	require.Equal(t, []string{"0 %", "20 %", "40 %", "11:20", "11:40", "12:00 UTC"}, texts(got, "tick"))

	got = svg(t, list["hosts"])
	require.Equal(t, 4, count(got, "path", "failing"))
	names = strings.Join(texts(got, "name"), "\n")
	require.Contains(t, names, "  10.20.30.43:9100", "the label's name goes first where there is no room")
	require.Contains(t, names, "+ 9 more")

	require.Equal(t, []string{"fires below 10 GiB"}, texts(svg(t, list["disk"]), "threshold"))
	require.Contains(t, texts(svg(t, list["up"]), "name"), "gone  host=web-9", "its series ended")
}

func TestManyOfEverything(t *testing.T) {
	c := examples()["deploy"]
	for i := range 40 {
		c.Failing = append(c.Failing, page.Line{Name: "x", Values: course(func(float64) float64 { return float64(i) })})
		c.Marks = append(c.Marks, page.Mark{At: minute(float64(i)), Text: "deploy " + strings.Repeat("v", i), Kind: "change"})
	}
	got := svg(t, c)
	require.Equal(t, 5, count(got, "path", "failing"))
	require.Contains(t, texts(got, "name"), "+ 36 more")
	require.Equal(t, 6, count(got, "path", "mark"))
	said := texts(got, "marktext")
	require.Contains(t, said, "fired 12:07", "what is most telling stays")
	require.Contains(t, said, "began 12:04")

	c.Failing = []page.Line{{Name: "x", Values: make([]page.Sample, 500_000)}}
	b, err := chart.SVG(c, chart.Options{})
	require.NoError(t, err)
	require.Less(t, len(b), 100<<10)
}

// Texts of marks meet neither each other nor the edge.
func TestMarksDoNotOverlap(t *testing.T) {
	for name, c := range examples() {
		type span struct{ left, right, y float64 }
		var spans []span
		for _, e := range svg(t, c) {
			if e.class != "marktext" {
				continue
			}
			s := span{left: atof(t, e.attr["x"]), y: atof(t, e.attr["y"])}
			s.right = s.left + 17*float64(len([]rune(e.text))) // wider than it is
			for _, o := range spans {
				require.False(t, s.y == o.y && s.left < o.right && o.left < s.right, "%s: %s", name, e.text)
			}
			spans = append(spans, s)
		}
	}
}

func TestPNG(t *testing.T) {
	for _, o := range []chart.Options{{}, {Width: 600, Height: 300, Dark: true}, {Width: 1, Height: -1}, {Width: 1 << 30, Height: 1}, {Width: 1, Height: 1 << 30}} {
		b, err := chart.PNG(examples()["hosts"], o)
		require.NoError(t, err)
		im, err := png.Decode(bytes.NewReader(b))
		require.NoError(t, err)
		size := im.Bounds().Size()
		switch o.Width {
		case 0:
			require.Equal(t, []int{1200, 675}, []int{size.X, size.Y})
		case 600:
			require.Equal(t, []int{600, 300}, []int{size.X, size.Y})
		default:
			require.LessOrEqual(t, max(size.X, size.Y), 4000)
			require.GreaterOrEqual(t, min(size.X, size.Y), 200)
		}
		_, _, _, alpha := im.At(0, 0).RGBA()
		require.EqualValues(t, 0xffff, alpha, "it is read on any ground")
	}
}

func TestNamesAreData(t *testing.T) {
	c := examples()["deploy"]
	c.Title = "</text><script>alert(1)</script>\u202eevil\x00\x1b[31m"
	c.Expr = `up{job="<b>&amp;"}`
	c.Failing[0].Name = "a\u2066b<img src=x onerror=y>" + strings.Repeat("Z", 1<<20)
	c.Marks[0].Text = "\u202e\u0301\u0301\u0301\u0301<a href='javascript:x'>" + string([]byte{0xff, 0xfe})
	c.Unit = "\"><script>"
	got := svg(t, c) // refuses any other element
	require.Equal(t, []string{"</text><script>alert(1)</script>evil[31m"}, texts(got, "title"))
	for _, e := range got {
		require.NotContains(t, e.text, "\u202e")
		require.NotContains(t, e.text, "\u2066")
		require.Less(t, len(e.text), 400)
	}
	_, err := chart.PNG(c, chart.Options{})
	require.NoError(t, err)
}

func TestLittleToDraw(t *testing.T) {
	nan, inf := page.Sample(math.NaN()), page.Sample(math.Inf(1))
	line := func(vs ...page.Sample) page.Chart {
		return page.Chart{From: minute(0), Step: step, Failing: []page.Line{{Name: "a", Values: vs}}}
	}
	for name, c := range map[string]page.Chart{
		"nothing": {}, "one point": line(3), "only NaN": line(nan, nan), "only Inf": line(inf, -inf),
		"gaps": line(1, nan, 2, 3, nan, 4), "constant": line(7, 7, 7), "zeros": line(0, 0), "negative": line(-5, -4),
		"huge": line(1e29, -1e29), "tiny": line(1e-300, 2e-300), "beyond": line(1e308, -1e308),
		"band alone": {Healthy: page.Band{Low: []page.Sample{1, nan, 2}, High: []page.Sample{2, 3, 4}}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.Failing != nil {
				v := math.Inf(1)
				c.Threshold = &v
			}
			got := svg(t, c)
			require.Empty(t, texts(got, "threshold"), "no threshold is infinite")
			_, err := chart.PNG(c, chart.Options{Width: 300})
			require.NoError(t, err)
			if strings.HasPrefix(name, "only") || name == "beyond" {
				require.Equal(t, []string{"no data  a"}, texts(got, "name"))
			}
		})
	}
	require.Equal(t, 3, count(svg(t, line(1, nan, 2, 3, nan, 4)), "path", "failing"))
}

func TestUnits(t *testing.T) {
	for _, c := range []struct {
		unit string
		v    float64
		want string
	}{
		{"%", 40.41, "40.4 %"},
		{"%", .5, "0.5 %"},
		{"%", 100, "100 %"},
		{"%", .0123, "0.012 %"},
		{"s", .0123, "12.3 ms"},
		{"s", 90, "90 s"},
		{"s", 150, "2.5 min"},
		{"s", 7200, "2 h"},
		{"s", 0, "0 s"},
		{"B", 3 << 30, "3 GiB"},
		{"B/s", 2048, "2 KiB/s"},
		{"/s", 12345, "12.3 k/s"},
		{"/s", .25, "0.25/s"},
		{"", 1.5e6, "1.5 M"},
		{"", -2, "-2"},
		{"", 1e25, "1e+13 T"},
		{"°C", 95, "95 °C"},
	} {
		v := c.v
		got := svg(t, page.Chart{Unit: c.unit, Threshold: &v})
		require.Equal(t, []string{"fires above " + c.want}, texts(got, "threshold"), "%v %s", c.v, c.unit)
	}
}

func FuzzChart(f *testing.F) {
	f.Add("A", "host=a", "deploy v1", "%", 1.0, 2.0, 3.0, int64(1_700_000_000), int64(15*time.Second), uint16(9))
	f.Add("<svg>", "\xff\u202e", "", "s", math.NaN(), math.Inf(1), -1e308, int64(-1<<62), int64(-1), uint16(0))
	f.Add("", "a=b", "\u0301", "B", 0.0, 0.0, 0.0, int64(0), int64(math.MaxInt64), uint16(5000))
	f.Fuzz(func(t *testing.T, title, name, mark, unit string, a, b, c float64, from, step int64, n uint16) {
		at := time.Unix(from, 0)
		var vs []page.Sample
		for i := range int(n) {
			vs = append(vs, page.Sample([]float64{a, b, c}[i%3]*float64(i)))
		}
		p := page.Chart{
			Title: title, Expr: name, Unit: unit, From: at, Step: time.Duration(step), Threshold: &b, Below: n%2 == 0,
			Failing: []page.Line{{Name: name, Values: vs}, {Name: mark}}, Others: int(n),
			Healthy: page.Band{Members: int(n), Low: vs, Middle: vs[len(vs)/2:], High: vs[len(vs)/3:]},
			Marks:   []page.Mark{{At: at.Add(time.Duration(step)), Text: mark, Kind: name}, {At: at, Text: name, Kind: "fired"}, {At: time.Unix(int64(n), 0), Text: title}},
		}
		out, err := chart.SVG(p, chart.Options{Width: int(from), Height: int(step)})
		require.NoError(t, err)
		require.Less(t, len(out), 200<<10)
		read(t, out)
		_, err = chart.PNG(p, chart.Options{Width: 240, Height: 160})
		require.NoError(t, err)
	})
}

func BenchmarkPNG(b *testing.B) {
	c := examples()["hosts"]
	for b.Loop() {
		if _, err := chart.PNG(c, chart.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

func atof(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	require.NoError(t, err)
	return v
}
