package pipeline

import "time"

// Storms says when new problems are too many to tell of each: more than
// Problems of one receiver within Within. A storm is over once no problem was
// folded into it for Calm. Problems 0: there are no storms.
type Storms struct {
	Problems int
	Within   time.Duration
	Calm     time.Duration
}
