package prometheus

import (
	"context"
	"net/url"
	"time"
)

// LabelValues lists the values that a label has between from and to, sorted by
// the server: of the series that match, or of all for "".
func (c *Client) LabelValues(ctx context.Context, label, match string, from, to time.Time) ([]string, error) {
	query := url.Values{"start": {seconds(from)}, "end": {seconds(to)}}
	if match != "" {
		query.Set("match[]", match)
	}
	var body struct {
		Data []string `json:"data"`
	}
	err := c.list(ctx, "list values of a label", "api/v1/label/"+url.PathEscape(label)+"/values?"+query.Encode(), &body)
	return body.Data, err
}
