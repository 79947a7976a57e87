package shop

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Customers ask for every operation as often as every says, until ctx ends. They
// do not wait for an answer before they ask again, and hang up after 10 s.
func Customers(ctx context.Context, url string, every time.Duration) {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	ops := operations()
	tick := time.NewTicker(every / time.Duration(len(ops)))
	defer tick.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asking.Go(func() { ask(ctx, client, url, ops[i%len(ops)]) })
	}
}

// ask is one request. How it ends is for the exporter to say.
func ask(ctx context.Context, client *http.Client, url string, op operation) {
	req, err := http.NewRequestWithContext(ctx, op.method, url+op.path, strings.NewReader(op.request))
	if err != nil {
		return
	}
	if op.request == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
}

// Scan asks n times for addresses that are nowhere, as a scanner of the internet
// does, and returns how many were answered. All of them are different.
func Scan(ctx context.Context, url string, n int) (answered int, err error) {
	const workers = 4
	transport := &http.Transport{MaxIdleConnsPerHost: workers}
	defer transport.CloseIdleConnections()
	var scanning sync.WaitGroup
	counts, errs := make([]int, workers), make([]error, workers)
	for worker := range workers {
		scanning.Go(func() {
			random := rand.New(rand.NewPCG(8, uint64(worker)))
			for i := worker; i < n && errs[worker] == nil; i += workers {
				errs[worker] = probe(ctx, transport, fmt.Sprintf("%s/%x/%x-%d.php?%x", url, random.Uint32(), random.Uint64(), i, random.Uint32()))
				if errs[worker] == nil {
					counts[worker]++
				}
			}
		})
	}
	scanning.Wait()
	for i, c := range counts {
		answered += c
		if errs[i] != nil {
			err = errs[i]
		}
	}
	return answered, err
}

func probe(ctx context.Context, transport *http.Transport, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
