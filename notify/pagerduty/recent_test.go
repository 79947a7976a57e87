package pagerduty

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRecentIsBounded(t *testing.T) {
	r := newRecent[int](3)
	add := func(n int) int { return n + 1 }
	for i := range 10 {
		r.change(strconv.Itoa(i), add)
		r.change(strconv.Itoa(i), add)
	}
	require.Len(t, r.at, 3)
	require.Len(t, r.order, 3)
	_, known := r.get("6")
	require.False(t, known)
	n, known := r.get("7")
	require.True(t, known)
	require.Equal(t, 2, n)
}
