package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Check asks a cluster for one key of the prefix, through a quorum: that proves
// addresses, certificates, credentials and their permission to read. Nothing is
// written.
func Check(ctx context.Context, c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	m, err := dial(c)
	if err != nil {
		return fmt.Errorf("open etcd: %w", err)
	}
	if _, err = m.client.Get(ctx, c.Prefix+"/", clientv3.WithPrefix(), clientv3.WithLimit(1), clientv3.WithKeysOnly()); err != nil {
		err = fmt.Errorf("read from etcd at %s: %w", strings.Join(c.Endpoints, ", "), err)
	}
	return errors.Join(err, m.close())
}
