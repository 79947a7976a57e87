package etcd

import (
	"net/url"
	"strings"
)

// The sections of the key space.
const (
	sectionRecord = "r/"
	sectionItem   = "i/"
	sectionLease  = "l/"
	sectionChunk  = "c/"
	sectionMarker = "o/"
)

func recordKey(key string) string { return sectionRecord + key }

// lanePath is an item's lane and ID as one path. A lane's own slashes are
// escaped, so that the first one ends it.
func lanePath(lane, id string) string { return url.PathEscape(lane) + "/" + id }

func itemKey(lane, id string) string  { return sectionItem + lanePath(lane, id) }
func leaseKey(lane, id string) string { return sectionLease + lanePath(lane, id) }

// splitLanePath turns lanePath back.
func splitLanePath(path string) (lane, id string, ok bool) {
	escaped, id, ok := strings.Cut(path, "/")
	lane, err := url.PathUnescape(escaped)
	return lane, id, ok && err == nil
}
