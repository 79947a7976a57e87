package remediate

import (
	"fmt"
	"strings"
)

// Error lists every reason.
func (e *NotReady) Error() string { return "not ready: " + strings.Join(e.Reasons, "; ") }

// Error says what the server answered.
func (e *Rejected) Error() string {
	if e.Status == 0 {
		return "launch was not sent: " + e.Reason
	}
	return fmt.Sprintf("launch was rejected: status %d: %s", e.Status, e.Reason)
}

// Error says in what the job differs from what was asked for.
func (e *Unsafe) Error() string { return "job is not as it was asked for: " + e.Reason }
