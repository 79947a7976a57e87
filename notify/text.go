package notify

// Text is what a message says, in order.
type Text struct{}
