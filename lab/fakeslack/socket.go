package fakeslack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

const (
	maxSockets = 10               // connections that an app may hold
	pingEvery  = 10 * time.Second // on each of them
)

// socket is one connection of Socket Mode.
type socket struct {
	conn *websocket.Conn

	mu   sync.Mutex // of writes, and of acks
	acks map[string]chan struct{}
}

func (s *socket) send(v any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conn.WriteJSON(v)
}

func (f *Fake) openConnection() reply {
	f.serial++
	ticket := fmt.Sprintf("ticket-%d", f.serial)
	f.tickets[ticket] = true
	return reply{"ok": true, "url": strings.Replace(f.base, "http", "ws", 1) + "/link/?ticket=" + ticket + "&app_id=" + appID}
}

func (f *Fake) serveSocket(w http.ResponseWriter, r *http.Request) {
	ticket := r.URL.Query().Get("ticket")
	f.mu.Lock()
	good := f.tickets[ticket]
	delete(f.tickets, ticket) // each opens one connection
	full := len(f.sockets) >= maxSockets
	f.mu.Unlock()
	if !good {
		http.Error(w, "bad ticket", http.StatusForbidden)
		return
	}
	up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return // it has been answered
	}
	defer conn.Close()
	s := &socket{conn: conn, acks: map[string]chan struct{}{}}
	if full {
		_ = s.send(reply{"type": "disconnect", "reason": "too_many_websockets"})
		return
	}
	f.mu.Lock()
	f.sockets[s] = true
	n := len(f.sockets)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.sockets, s)
	}()
	end := make(chan struct{})
	defer close(end)
	go s.ping(end)
	if s.send(reply{"type": "hello", "num_connections": n, "connection_info": reply{"app_id": appID}}) == nil {
		s.listen()
	}
}

// ping says every few seconds that the connection stands.
func (s *socket) ping(end <-chan struct{}) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-end:
			return
		case now := <-tick.C:
			_ = s.conn.WriteControl(websocket.PingMessage, nil, now.Add(pingEvery)) // a broken one ends in listen
		}
	}
}

// listen reads acknowledgements until the connection ends.
func (s *socket) listen() {
	for {
		_, raw, err := s.conn.ReadMessage()
		if err != nil {
			return
		}
		var in struct {
			ID string `json:"envelope_id"`
		}
		_ = json.Unmarshal(raw, &in)
		s.mu.Lock()
		if ack := s.acks[in.ID]; ack != nil {
			close(ack)
			delete(s.acks, in.ID)
		}
		s.mu.Unlock()
	}
}

// anySocket returns one of the app's connections; map order is Slack's lottery.
func (f *Fake) anySocket() *socket {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.sockets {
		return s
	}
	return nil
}

// deliver sends an interaction in an envelope and waits for its acknowledgement.
func (f *Fake) deliver(ctx context.Context, s *socket, payload []byte) error {
	f.mu.Lock()
	f.serial++
	id := fmt.Sprintf("envelope-%d", f.serial)
	f.mu.Unlock()
	ack := make(chan struct{})
	s.mu.Lock()
	s.acks[id] = ack
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := s.send(reply{
		"type": "interactive", "envelope_id": id, "accepts_response_payload": false, "payload": json.RawMessage(payload),
	})
	if err != nil {
		return err
	}
	select {
	case <-ack:
		return nil
	case <-ctx.Done():
		return errors.New("the envelope was not acknowledged in three seconds")
	}
}

// Connections is how many connections of Socket Mode are open.
func (f *Fake) Connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sockets)
}

// Refresh asks every connection to come back, as Slack does every few hours,
// and closes it.
func (f *Fake) Refresh() { f.cut(reply{"type": "disconnect", "reason": "refresh_requested"}) }

// Cut closes every connection without a word.
func (f *Fake) Cut() { f.cut(nil) }

func (f *Fake) cut(farewell any) {
	f.mu.Lock()
	var all []*socket
	for s := range f.sockets {
		all = append(all, s)
		delete(f.sockets, s)
	}
	f.mu.Unlock()
	for _, s := range all {
		if farewell != nil {
			_ = s.send(farewell)
		}
		_ = s.conn.Close()
	}
}
