//go:build linux && !faults

package nsproc_test

// comings is how many namespaces come and go; make faults has a thousand.
func comings() int { return 100 }
