package shop_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/exporters/openapi/model"
	"github.com/tocsin/tocsin/lab/shop"
)

func document(t *testing.T) *model.API {
	t.Helper()
	o := model.Options{Location: filepath.Join(t.TempDir(), "shop.yaml")}
	require.NoError(t, os.WriteFile(o.Location, shop.Document, 0o600))
	api, err := model.Load(t.Context(), o)
	require.NoError(t, err)
	wrong, err := model.Validate(t.Context(), o)
	require.NoError(t, err)
	require.Empty(t, append(wrong, api.Problems...))
	return api
}

// tally counts what is answered, by operation and status; what is for no
// operation by status alone.
type tally struct {
	mu   sync.Mutex
	seen map[string]int
	api  *model.API
	next http.Handler
}

func (y *tally) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	y.next.ServeHTTP(rec, r)
	key := fmt.Sprint(rec.Code)
	if n, _ := y.api.Table.FindURL(r.Method, r.URL); n >= 0 {
		key = y.api.Operations[n].ID + " " + key
	}
	y.mu.Lock()
	y.seen[key]++
	y.mu.Unlock()
	w.WriteHeader(rec.Code)
}

func (y *tally) count(key string) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.seen[key]
}

func TestTheShopIsAsItsDocumentSays(t *testing.T) {
	s := shop.New()
	s.Strike(map[string]shop.Fault{"createOrder": {Fails: true}, "getCart": {Late: time.Millisecond}})
	y := &tally{seen: map[string]int{}, api: document(t), next: s}
	server := httptest.NewServer(y)
	defer server.Close()
	ctx, home := context.WithCancel(t.Context())
	defer home()
	go shop.Customers(ctx, server.URL, 8*time.Millisecond)
	for _, op := range y.api.Operations {
		status := map[string]string{"createOrder": "500"}[op.ID]
		if status == "" {
			status = "200"
		}
		require.Eventually(t, func() bool { return y.count(op.ID+" "+status) > 0 }, time.Minute, time.Millisecond, op.ID)
	}
	s.Strike(nil)
	require.Eventually(t, func() bool { return y.count("createOrder 201") > 0 }, time.Minute, time.Millisecond)
	require.Zero(t, y.count("404"))
}

func TestAScannerFindsNothing(t *testing.T) {
	y := &tally{seen: map[string]int{}, api: document(t), next: shop.New()}
	server := httptest.NewServer(y)
	defer server.Close()
	answered, err := shop.Scan(t.Context(), server.URL, 50)
	require.NoError(t, err)
	require.Equal(t, 50, answered)
	require.Equal(t, map[string]int{"404": 50}, y.seen)
	server.Close()
	answered, err = shop.Scan(t.Context(), server.URL, 50)
	require.Error(t, err)
	require.Zero(t, answered)
}

func TestAStreetNeedsItsExporter(t *testing.T) {
	_, err := shop.Open(t.Context(), t.TempDir(), filepath.Join(t.TempDir(), "none"))
	require.ErrorContains(t, err, "openapi_exporter generate")
}
