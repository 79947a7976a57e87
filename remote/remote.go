// Package remote makes one HTTP round trip to a service that is not ours and
// says what came of it: accepted, surely not accepted, or nobody can know.
package remote

import (
	"errors"
	"fmt"
	"time"
)

// Class is what a caller may conclude from a failed call.
type Class string

// The outcome classes. Only NotSent may simply be tried again; Unknown must be
// reconciled with the service first, or it doubles what was said.
const (
	NotSent Class = "not_sent" // surely not accepted, by a passing cause: try again
	Unknown Class = "unknown"  // the request left, and no answer tells what became of it
	Content Class = "content"  // refused for what it says: the same bytes will never pass
	Config  Class = "config"   // refused for who asks or where: a human must mend it
	Gone    Class = "gone"     // the thing to change is not there (any more)
)

// Error is a failed call. Its text holds neither secrets nor query strings.
type Error struct {
	Op         string        // the act: "post message"
	Class      Class         //
	Status     int           // HTTP status, 0 when there was no answer
	Reason     string        // the service's own word: "invalid_auth"
	RetryAfter time.Duration // as the service asked; 0 when it did not
	Err        error         // the cause, if any
}

// Error says the act, the status and the reason.
func (e *Error) Error() string {
	s := e.Op
	if e.Status != 0 {
		s += fmt.Sprintf(": status %d", e.Status)
	}
	if e.Reason != "" {
		s += ": " + e.Reason
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of err; an error of another making is Unknown,
// for nothing says that the request did not arrive.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Unknown
}

// Deferred reports whether a service answered that it is to be asked again: it
// is there, and takes no more for now.
func Deferred(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Class == NotSent && e.Status != 0
}

// RetryAfter returns how long the service asked to be left alone, 0 if it did not say.
func RetryAfter(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}
