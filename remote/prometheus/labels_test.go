package prometheus_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLabelValues(t *testing.T) {
	var asked *http.Request
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r
		_, _ = w.Write([]byte(`{"status":"success","data":["a","b"]}`))
	})
	from := time.Unix(1000, 0)
	values, err := c.LabelValues(t.Context(), "job", `up{job!=""}`, from, from.Add(1500*time.Millisecond))
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, values)
	require.Equal(t, "/prom/api/v1/label/job/values", asked.URL.Path)
	require.Equal(t, `end=1001.500&match%5B%5D=up%7Bjob%21%3D%22%22%7D&start=1000`, asked.URL.RawQuery)

	_, err = c.LabelValues(t.Context(), "job", "", from, from)
	require.NoError(t, err)
	require.NotContains(t, asked.URL.Query(), "match[]")

	_, err = serve(t, body("<html>")).LabelValues(t.Context(), "job", "", from, from)
	require.ErrorContains(t, err, "list values of a label: ")
}
