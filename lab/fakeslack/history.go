package fakeslack

import (
	"cmp"
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"
)

// history answers the roots of a channel, newest first.
func (f *Fake) history(a args) reply {
	return f.page(a, true, func(m *message) bool { return m.thread == 0 || m.broadcast })
}

// replies answers a thread, its root first, oldest first.
func (f *Fake) replies(a args) reply {
	root := parseTS(a["ts"])
	if f.channels[a["channel"]] != nil && f.find(a["channel"], a["ts"]) == nil {
		return fail("thread_not_found")
	}
	return f.page(a, false, func(m *message) bool { return m.ts == root || m.thread == root })
}

const cursorPrefix = "next_ts:"

func (f *Fake) page(a args, newestFirst bool, want func(*message) bool) reply {
	c := f.channels[a["channel"]]
	switch {
	case c == nil:
		return fail("channel_not_found")
	case c.NotMember:
		return fail("not_in_channel")
	}
	limit, bad := pageSize(a)
	if bad != nil {
		return bad
	}
	in, bad := window(a, newestFirst)
	if bad != nil {
		return bad
	}
	settled := f.opts.Now().Add(-f.opts.ReadLag)
	var found []*message
	for _, m := range c.messages {
		if !m.deleted && want(m) && in(m.ts) && !m.versions[0].at.After(settled) {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(x, y *message) int {
		if newestFirst {
			x, y = y, x
		}
		return cmp.Compare(x.ts, y.ts)
	})
	out := reply{"ok": true, "has_more": len(found) > limit}
	if len(found) > limit {
		found = found[:limit]
		next := cursorPrefix + strconv.FormatInt(found[limit-1].ts, 10)
		out["response_metadata"] = reply{"next_cursor": base64.StdEncoding.EncodeToString([]byte(next))}
	}
	messages := make([]reply, 0, len(found))
	for _, m := range found {
		messages = append(messages, m.wire(a.flag("include_all_metadata")))
	}
	out["messages"] = messages
	return out
}

func pageSize(a args) (int, reply) {
	if a["limit"] == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(a["limit"])
	if err != nil || n < 1 || n > 999 {
		return 0, fail("invalid_limit")
	}
	return n, nil
}

// window returns whether a ts is inside oldest, latest and behind the cursor.
func window(a args, newestFirst bool) (func(int64) bool, reply) {
	oldest, latest := int64(-1), int64(math.MaxInt64)
	if v := a["oldest"]; v != "" && v != "0" {
		if oldest = parseTS(v); oldest == 0 {
			return nil, fail("invalid_ts_oldest")
		}
	}
	if v := a["latest"]; v != "" {
		if latest = parseTS(v); latest == 0 {
			return nil, fail("invalid_ts_latest")
		}
	}
	after := int64(0)
	if v := a["cursor"]; v != "" {
		b, err := base64.StdEncoding.DecodeString(v)
		n, nerr := strconv.ParseInt(strings.TrimPrefix(string(b), cursorPrefix), 10, 64)
		if err != nil || nerr != nil {
			return nil, fail("invalid_cursor")
		}
		after = n
	}
	return func(ts int64) bool {
		if ts < oldest || ts > latest || (!a.flag("inclusive") && (ts == oldest || ts == latest)) {
			return false
		}
		return after == 0 || (newestFirst && ts < after) || (!newestFirst && ts > after)
	}, nil
}
