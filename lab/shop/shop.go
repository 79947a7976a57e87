// Package shop is a web API with an OpenAPI document, an openapi_exporter in
// front of it, customers, and a scanner that asks for what is not there. What is
// wrong with an operation is really wrong: it answers 500, or late.
package shop

import (
	_ "embed"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Document is the OpenAPI document of the shop.
//
//go:embed shop.yaml
var Document []byte

// Fault is what is wrong with an operation.
type Fault struct {
	Fails bool          // every request is answered with a 500
	Late  time.Duration // every answer is that late
	Wrong bool          // every answer is none that the document allows
}

// operation is one of the document, and how a customer asks for it.
type operation struct {
	id, method, pattern string // of net/http.ServeMux
	path, request       string
	status              int
	answer              string
}

const (
	product = `{"id": "p1", "price": 12.5}`
	order   = `{"id": "o1", "state": "open"}`
)

func operations() []operation {
	products := "[" + product + "]"
	return []operation{
		{"listProducts", "GET", "/v1/products", "/v1/products", "", 200, products},
		{"getProduct", "GET", "/v1/products/{id}", "/v1/products/p1", "", 200, product},
		{"searchProducts", "GET", "/v1/search", "/v1/search?q=shoe", "", 200, products},
		{"getCart", "GET", "/v1/cart", "/v1/cart", "", 200, products},
		{"fillCart", "PUT", "/v1/cart", "/v1/cart", products, 200, products},
		{"createOrder", "POST", "/v1/orders", "/v1/orders", `{"products": ["p1"]}`, 201, order},
		{"getOrder", "GET", "/v1/orders/{id}", "/v1/orders/o1", "", 200, order},
		{"cancelOrder", "DELETE", "/v1/orders/{id}", "/v1/orders/o1", "", 200, `{"id": "o1", "state": "cancelled"}`},
	}
}

// Shop serves the API. It is safe for concurrent use.
type Shop struct {
	mux    *http.ServeMux
	mu     sync.Mutex
	faults map[string]Fault
}

// New makes a shop in which nothing is wrong.
func New() *Shop {
	s := &Shop{mux: http.NewServeMux(), faults: map[string]Fault{}}
	for _, op := range operations() {
		s.mux.HandleFunc(op.method+" "+op.pattern, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, op) })
	}
	return s
}

// ServeHTTP implements http.Handler.
func (s *Shop) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func (s *Shop) answer(w http.ResponseWriter, r *http.Request, op operation) {
	s.mu.Lock()
	fault := s.faults[op.id]
	s.mu.Unlock()
	if fault.Late > 0 {
		select {
		case <-time.After(fault.Late):
		case <-r.Context().Done():
			return
		}
	}
	if fault.Fails {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprint(w, `{"title": "the database is gone"}`)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(op.status)
	if fault.Wrong {
		fmt.Fprint(w, `{"price": "ask us"}`)
		return
	}
	fmt.Fprint(w, op.answer)
}

// Strike makes something wrong with operations. What was wrong before is not any more.
func (s *Shop) Strike(faults map[string]Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults
}
