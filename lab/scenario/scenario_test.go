package scenario_test

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/lab/fleet"
	"github.com/tocsin/tocsin/lab/scenario"
	"github.com/tocsin/tocsin/lab/ttn"
)

func newFleet(t *testing.T) *fleet.Fleet {
	t.Helper()
	f, err := fleet.New(fleet.Options{Seed: 11})
	require.NoError(t, err)
	return f
}

// Whatever is drawn, the lab's rules must fire for it, within a minute in the
// fast lane and at all in the stock one.
func TestDrawnFaultsFire(t *testing.T) {
	f := newFleet(t)
	rng := rand.New(rand.NewPCG(1, 1))
	for _, kind := range scenario.Kinds() {
		for i := range 40 {
			for _, service := range f.Services() {
				got, err := scenario.Draw(f, kind, service, i, rng)
				require.NoError(t, err)
				chain, ok := ttn.Fast().Chain(got.Symptom, got.Level)
				require.True(t, ok, "%s level %.3f", got.ID, got.Level)
				require.LessOrEqual(t, chain.Total().Worst, 45*time.Second, "%s level %.3f", got.ID, got.Level)
				_, ok = ttn.Stock().Chain(got.Symptom, got.Level)
				require.True(t, ok, got.ID)
				require.NotEmpty(t, got.Instances)
				require.NotContains(t, got.Summary, "%!")
			}
		}
	}
}

func TestDrawRefuses(t *testing.T) {
	f := newFleet(t)
	_, err := scenario.Draw(f, "flood", "checkout", 1, rand.New(rand.NewPCG(1, 1)))
	require.EqualError(t, err, `fault "flood" is not known: write one of bad-deploy, bad-host, noisy-user, slow-dc, target-down, everything-bad`)
	_, err = scenario.Draw(f, scenario.BadHost, "shop", 1, rand.New(rand.NewPCG(1, 1)))
	require.EqualError(t, err, `service "shop" is not known: write one of checkout, cart, payments, search, catalog`)
}

func TestSays(t *testing.T) {
	host := scenario.Fault{Trait: map[string]string{"host": "web-1"}}
	for text, want := range map[string]bool{
		"6 of 6 failing share host=web-1 (0 % of healthy do)": true,
		"share host=web-1":                     true,
		"share host=web-1. It began":           true,
		"share host=web-1.example.org":         false,
		"share host=web-10, share host=web-1!": true,
		"share host=web-10":                    false,
		"share host=web-1 AND method=GET":      false,
		"share dc=ams AND host=web-1":          false,
		"firing: host=web-1":                   false,
		"nothing in common":                    false,
	} {
		require.Equal(t, want, host.Says(text), text)
	}
	none := scenario.Fault{}
	require.True(t, none.Says("nothing in common: 60 failing, 0 healthy"))
	require.False(t, none.Says("1 of 60 failing share host=web-1"))
	require.Equal(t, "host=web-1", host.Expected())
	require.Equal(t, "nothing in common", none.Expected())
}

func TestParse(t *testing.T) {
	steps, err := scenario.Parse("s.yml", []byte("- {at: 1m, fault: slow-dc, service: cart, for: 2m}\n- {at: 5s, fault: bad-deploy}\n"))
	require.NoError(t, err)
	require.Len(t, steps, 2)
	require.Equal(t, scenario.BadDeploy, steps[0].Fault, "in the order of their times")
	require.Equal(t, 2*time.Minute, steps[1].For.D())
}

func TestParseMistakes(t *testing.T) {
	for name, tt := range map[string]struct{ file, want string }{
		"unknown fault": {"- {at: 1s, fault: bad-host}\n- at: 2s\n  fault: flood\n", "s.yml:3: "},
		"unknown key":   {"- {at: 1s, fault: bad-host}\n- {at: 2s, falt: bad-host}\n", "s.yml:2: "},
		"bad duration":  {"- at: soon\n  fault: bad-host\n", "s.yml:1: "},
		"no list":       {"at: 1s\n", "s.yml:1: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := scenario.Parse("s.yml", []byte(tt.file))
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("- {at: 1m, fault: slow-dc, service: cart, for: 2m}\n"))
	f.Add([]byte("- at: soon\n"))
	f.Add([]byte("[[]]"))
	f.Add([]byte("&a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		steps, err := scenario.Parse("s.yml", data)
		if err != nil {
			return
		}
		for i := 1; i < len(steps); i++ {
			require.LessOrEqual(t, steps[i-1].At, steps[i].At)
		}
		require.NoError(t, steps.Validate())
	})
}

func TestBoardOverHTTP(t *testing.T) {
	f := newFleet(t)
	b := scenario.NewBoard(f, 3)
	call := func(method, path, body string) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		b.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
		return rec
	}
	rec := call(http.MethodPost, "/fault", `{"fault":"bad-host","service":"cart"}`)
	require.Equal(t, http.StatusCreated, rec.Code, rec.Body)
	var got scenario.Fault
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &got))
	require.Equal(t, "cart", got.Service)
	require.Len(t, got.Instances, 6)
	require.Len(t, f.Effects(), 1)
	require.Len(t, b.Active(), 1)

	for body, want := range map[string]string{
		`{"fault":"flood"}`:                   "is not known",
		`{"fault":"bad-host","for":"soon"}`:   "is not a duration",
		`{"fault":"bad-host","forr":"2m"}`:    "forr",
		`{"fault":"bad-host","service":"xx"}`: "is not known",
	} {
		rec = call(http.MethodPost, "/fault", body)
		require.Equal(t, http.StatusBadRequest, rec.Code)
		require.Contains(t, rec.Body.String(), want)
	}

	require.Equal(t, http.StatusNotFound, call(http.MethodDelete, "/fault/nope", "").Code)
	require.Equal(t, http.StatusNoContent, call(http.MethodDelete, "/fault/"+got.ID, "").Code)
	require.Empty(t, f.Effects())
	require.Equal(t, http.StatusCreated, call(http.MethodPost, "/fault", `{"fault":"everything-bad"}`).Code)
	require.Equal(t, http.StatusNoContent, call(http.MethodDelete, "/fault", "").Code)
	require.Empty(t, b.Active())
}

func TestRunPlaysTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		b := scenario.NewBoard(f, 3)
		begin := time.Now()
		steps, err := scenario.Parse("s.yml", []byte("- {at: 10s, fault: bad-host, for: 20s}\n- {at: 15s, fault: slow-dc, service: cart}\n"))
		require.NoError(t, err)
		var told []scenario.Fault
		require.NoError(t, b.Run(t.Context(), steps, func(f scenario.Fault) { told = append(told, f) }))
		require.Len(t, told, 2)
		require.Equal(t, 10*time.Second, told[0].At.Sub(begin))
		require.Equal(t, 15*time.Second, told[1].At.Sub(begin))
		require.Len(t, b.Active(), 2)
		<-time.After(16 * time.Second)
		synctest.Wait()
		require.Len(t, b.Active(), 1, "the first healed by itself")
	})
}
