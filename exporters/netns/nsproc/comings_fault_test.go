//go:build linux && faults

package nsproc_test

func comings() int { return 1000 }
