package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

const (
	// callFor bounds every call: a cluster without quorum may not answer at all.
	callFor = 10 * time.Second
	// keepAlive is when a silent connection is asked whether it lives, and how
	// long it has to say so. grpc raises the first to 10 s, hence the pulse.
	keepAlive = 2 * time.Second
	// reconnect is the longest wait between two tries to reach a member: grpc's
	// own two minutes would be felt long after a cluster came back.
	reconnect = 2 * time.Second
)

// cluster is what the engine asks of etcd; its one implementation is members.
// The tests put one beneath that carries calls out of a synctest bubble.
type cluster interface {
	get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error)
	// txn does then if all of cmps hold, and els if not. An error leaves the outcome unknown.
	txn(ctx context.Context, cmps []clientv3.Cmp, then, els []clientv3.Op) (*clientv3.TxnResponse, error)
	// watch tells of all changes under prefix from revision rev on.
	watch(ctx context.Context, prefix string, rev int64) clientv3.WatchChan
	// grant makes an etcd lease and keeps it alive until it is revoked; lost is
	// closed when it could not be kept.
	grant(ctx context.Context, seconds int64) (id clientv3.LeaseID, lost <-chan struct{}, err error)
	// renew lets an etcd lease begin anew, at some time after the call.
	renew(ctx context.Context, id clientv3.LeaseID) error
	// revoke ends an etcd lease and deletes the keys on it.
	revoke(ctx context.Context, id clientv3.LeaseID) error
	close() error
}

// members is a cluster reached by its endpoints.
type members struct {
	client *clientv3.Client
	alive  context.Context // ends when it is closed
	stop   context.CancelFunc
	pulse  *pulse
}

var _ cluster = (*members)(nil)

// dial makes a client. It connects when it is first used.
func dial(c Config) (*members, error) {
	secure, err := c.client()
	if err != nil {
		return nil, err
	}
	var password string
	if c.PasswordFile != "" {
		secret, err := c.PasswordFile.Read()
		if err != nil {
			return nil, fmt.Errorf("read password_file: %w", err)
		}
		password = secret.Reveal()
	}
	alive, stop := context.WithCancel(context.Background())
	m := &members{alive: alive, stop: stop, pulse: newPulse()}
	m.client, err = clientv3.New(clientv3.Config{
		Context:              alive,
		Endpoints:            c.Endpoints,
		Username:             c.Username,
		Password:             password,
		TLS:                  secure,
		DialTimeout:          callFor,
		DialKeepAliveTime:    keepAlive,
		DialKeepAliveTimeout: keepAlive,
		PermitWithoutStream:  true,
		Logger:               zap.NewNop(), // what goes wrong comes back as an error
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(m.pulse.dial),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnect},
				MinConnectTimeout: reconnect,
			}),
		},
	})
	if err != nil {
		stop()
		return nil, err
	}
	if err := m.pulse.start(alive, m.client); err != nil {
		return nil, errors.Join(err, m.close())
	}
	return m, nil
}

func (m *members) get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	return m.client.Get(ctx, key, opts...)
}

func (m *members) txn(ctx context.Context, cmps []clientv3.Cmp, then, els []clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	return m.client.Txn(ctx).If(cmps...).Then(then...).Else(els...).Commit()
}

func (m *members) watch(ctx context.Context, prefix string, rev int64) clientv3.WatchChan {
	// a member that has lost the others ends the watch, so that another is asked
	return m.client.Watch(clientv3.WithRequireLeader(ctx), prefix, clientv3.WithPrefix(), clientv3.WithRev(rev))
}

func (m *members) grant(ctx context.Context, seconds int64) (clientv3.LeaseID, <-chan struct{}, error) {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	g, err := m.client.Grant(ctx, seconds)
	if err != nil {
		return 0, nil, err
	}
	alive, err := m.client.KeepAlive(m.alive, g.ID)
	if err != nil {
		return 0, nil, err
	}
	lost := make(chan struct{})
	go func() {
		for range alive { // what counts is its end
		}
		close(lost)
	}()
	return g.ID, lost, nil
}

func (m *members) renew(ctx context.Context, id clientv3.LeaseID) error {
	_, err := m.client.KeepAliveOnce(ctx, id)
	return err
}

func (m *members) revoke(ctx context.Context, id clientv3.LeaseID) error {
	ctx, cancel := context.WithTimeout(ctx, callFor)
	defer cancel()
	_, err := m.client.Revoke(ctx, id)
	return err
}

func (m *members) close() error {
	m.stop()
	err := m.client.Close()
	m.pulse.wait()
	if errors.Is(err, context.Canceled) { // by stop
		return nil
	}
	return err
}
