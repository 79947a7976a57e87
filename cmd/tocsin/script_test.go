package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tocsin/tocsin/enrich/enrichtest"
	"github.com/tocsin/tocsin/lab/etcdcluster"
	"github.com/tocsin/tocsin/lab/fakepagerduty"
	"github.com/tocsin/tocsin/lab/fakeslack"
	"github.com/tocsin/tocsin/lab/world"
)

func TestMain(m *testing.M) {
	if os.Getenv("TOCSIN_MAIN") != "" { // a test runs this binary as the program itself
		main()
	}
	testscript.Main(m, map[string]func(){"tocsin": main})
}

// TestStories runs testdata/script/*.txtar: the whole program against fakes
// that speak real HTTP. The commands beside testscript's own are in commands.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		Setup:               func(env *testscript.Env) error { return setUp(t, env) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"waitfor": waitFor,
			"post":    post,
			"get":     get,
			"fault":   setFault,
			"said":    said,
			"source":  setSource,
			"expand":  expand,
			"since":   since,
			"pages":   firstPage,
			"etcd":    startEtcd,
		},
	})
}

type fakesKey struct{}

// fakes are the outside world of one story.
type fakes struct {
	slack     *fakeslack.Fake
	pagerduty *fakepagerduty.Fake
	metrics   *enrichtest.Fake
}

// setUp gives a story its world: $SLACK, $PAGERDUTY, $PROMETHEUS (addresses),
// $THANOS (gRPC), $LISTEN, $OPERATORS, the same with a 2, and $NOBODY (free ports),
// secrets in files.
func setUp(t *testing.T, env *testscript.Env) error {
	f := &fakes{
		metrics:   enrichtest.New(t),
		slack:     fakeslack.New(fakeslack.Options{NoRateLimits: true}),
		pagerduty: fakepagerduty.New(fakepagerduty.Options{}),
	}
	env.Values[fakesKey{}] = f
	for name, h := range map[string]http.Handler{"SLACK": f.slack, "PAGERDUTY": f.pagerduty} {
		s := httptest.NewServer(h)
		env.Defer(s.Close)
		env.Setenv(name, s.URL)
	}
	env.Setenv("PROMETHEUS", f.metrics.URL)
	env.Setenv("THANOS", f.metrics.GRPC)
	names := []string{"LISTEN", "OPERATORS", "LISTEN2", "OPERATORS2", "NOBODY"}
	ports, err := world.Ports(context.Background(), len(names))
	if err != nil {
		return err
	}
	for i, name := range names {
		env.Setenv(name, ports[i])
	}
	for name, secret := range map[string]string{
		"slack.token": fakeslack.DefaultToken, "pagerduty.key": fakepagerduty.DefaultKey, "am.token": "am-secret",
	} {
		if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(secret), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// waitFor URL: until it answers 200; at most a minute.
func waitFor(ts *testscript.TestScript, _ bool, args []string) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) { //nolint:forbidigo // polls another process
		if res, err := http.Get(args[0]); err == nil { //nolint:forbidigo // to a loopback fake
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
	}
	ts.Fatalf("%s does not answer", args[0])
}

// post STATUS TOKEN URL FILE: sends the file; TOKEN - sends none. The answer goes to stdout.
func post(ts *testscript.TestScript, _ bool, args []string) {
	body := []byte(nil)
	if args[3] != "-" {
		body = []byte(ts.ReadFile(args[3]))
	}
	req, err := http.NewRequest(http.MethodPost, args[2], bytes.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	if args[1] != "-" {
		req.Header.Set("Authorization", "Bearer "+args[1])
	}
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	ts.Check(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s", answer)
	if strconv.Itoa(res.StatusCode) != args[0] {
		ts.Fatalf("POST %s: status %d, want %s: %s", args[2], res.StatusCode, args[0], answer)
	}
}

// get URL: the answer goes to stdout; it must be 200.
func get(ts *testscript.TestScript, _ bool, args []string) {
	res, err := http.Get(args[0]) //nolint:forbidigo // to a loopback server
	ts.Check(err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s", answer)
	if res.StatusCode != http.StatusOK {
		ts.Fatalf("GET %s: status %d: %s", args[0], res.StatusCode, answer)
	}
}

// fault slack|pagerduty JSON: sets a fault, see lab/fault.
func setFault(ts *testscript.TestScript, _ bool, args []string) {
	addr := ts.Getenv(strings.ToUpper(args[0]))
	res, err := http.Post(addr+"/_fault", "application/json", strings.NewReader(args[1])) //nolint:forbidigo // to a loopback fake
	ts.Check(err)
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		answer, _ := io.ReadAll(res.Body)
		ts.Fatalf("set fault: status %d: %s", res.StatusCode, answer)
	}
}

// said slack|pagerduty REGEXP [COUNT]: waits until the ledger, as indented
// JSON, matches (COUNT times exactly); with ! it must not match now.
func said(ts *testscript.TestScript, neg bool, args []string) {
	re := regexp.MustCompile("(?m)" + args[1])
	want := -1
	if len(args) > 2 {
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		want = n
	}
	var last string
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(50 * time.Millisecond) { //nolint:forbidigo // polls another process
		last = ledger(ts, args[0])
		n := len(re.FindAllString(last, -1))
		if neg {
			if n > 0 {
				ts.Fatalf("%s says %q:\n%s", args[0], args[1], last)
			}
			return
		}
		if n == want || want < 0 && n > 0 {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s does not say %q (%s times, it is %d):\n%s", args[0], args[1], strings.Join(args[2:], ""), n, last)
		}
	}
}

// source WORD: what the metrics say from now on, and how: `healthy`, a label as
// `deploy=v42` (its requests fail), `everything` (all fail), or how the source
// misbehaves: `hangs`, `refuses`, `endless`, `partial`, `answers`.
func setSource(ts *testscript.TestScript, _ bool, args []string) {
	f := fakesOf(ts).metrics
	switch word := args[0]; word {
	case "hangs":
		f.Misbehave(enrichtest.Trouble{Hang: true})
	case "refuses":
		f.Misbehave(enrichtest.Trouble{Status: http.StatusInternalServerError})
	case "endless":
		f.Misbehave(enrichtest.Trouble{Endless: true})
	case "partial":
		f.Misbehave(enrichtest.Trouble{Warning: "store dc2 did not answer"})
	case "answers":
		f.Misbehave(enrichtest.Trouble{})
	default:
		name, value, labelled := strings.Cut(word, "=")
		fault := enrichtest.Fault{Errors: func(ls labels.Labels) bool {
			return word == "everything" || labelled && ls.Get(name) == value
		}}
		fault.Slow = fault.Errors
		f.Set(enrichtest.Fleet{Now: time.Now(), Since: 50 * time.Second, Seed: 7, Fault: fault, Traced: true}.Series()...)
	}
}

func ledger(ts *testscript.TestScript, who string) string {
	var v any = fakesOf(ts).slack.Ledger()
	if who == "pagerduty" {
		v = fakesOf(ts).pagerduty.Ledger()
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	ts.Check(enc.Encode(v))
	return b.String()
}

func fakesOf(ts *testscript.TestScript) *fakes {
	f, ok := ts.Value(fakesKey{}).(*fakes)
	if !ok {
		ts.Fatalf("no fakes")
	}
	return f
}

// expand FILE…: replaces $NAME of the story's environment in files.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// since FILE AGO: replaces $AT in the file by the time so long ago.
func since(ts *testscript.TestScript, _ bool, args []string) {
	ago, err := time.ParseDuration(args[1])
	ts.Check(err)
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "$AT", time.Now().Add(-ago).UTC().Format(time.RFC3339))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// pages URL PATH: gets PATH under the first page that the list at URL has.
func firstPage(ts *testscript.TestScript, _ bool, args []string) {
	res, err := http.Get(args[0]) //nolint:forbidigo // to a loopback server
	ts.Check(err)
	defer res.Body.Close()
	var list []struct {
		Problem string `json:"problem"`
	}
	ts.Check(json.NewDecoder(res.Body).Decode(&list))
	if len(list) == 0 {
		ts.Fatalf("no page")
	}
	get(ts, false, []string{args[0] + "/" + list[0].Problem + "/" + args[1]})
}

// etcd: starts a real etcd of one member, $ETCD.
func startEtcd(ts *testscript.TestScript, _ bool, _ []string) {
	dir := ts.MkAbs("etcd")
	ts.Check(os.MkdirAll(dir, 0o700))
	c, err := etcdcluster.Start(context.Background(), etcdcluster.Options{Dir: dir, Members: 1, Out: os.Stderr})
	ts.Check(err)
	ts.Defer(func() { _ = c.Close() })
	ts.Setenv("ETCD", c.Endpoints()[0])
}
