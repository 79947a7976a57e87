package awx

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tocsin/tocsin/remediate"
	"github.com/tocsin/tocsin/remote"
)

func TestALimitThatIsNoneIsNotWritten(t *testing.T) {
	_, err := json.Marshal(order{Limit: &hostLimit{}})
	require.ErrorContains(t, err, "would be every host")
}

// A launch that waits behind others leaves within its time, or not at all: what
// settle means is counted from before it waited.
func TestALaunchLeavesInTimeOrNotAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &client{
			base: &url.URL{Scheme: "https", Host: "awx.example.org"}, http: remote.New(answered{}, maxAnswer), auth: func(*http.Request) error { return nil },
			timeout: 30 * time.Second, slots: make(chan struct{}, 1), now: time.Now, prefix: "/api/v2/",
		}
		c.slots <- struct{}{} // somebody holds the last one
		s := &server{api: c}
		began := time.Now()
		_, err := s.Launch(t.Context(), remediate.Launch{
			Template: remediate.Template{ID: 7, Kind: "job", AskLimit: true, AskVariables: true}, Limit: "web01", Dispatch: "D-1",
		})
		_, rejected := errors.AsType[*remediate.Rejected](err)
		require.True(t, rejected, "%v", err)
		require.Equal(t, 30*time.Second, time.Since(began))
	})
}
