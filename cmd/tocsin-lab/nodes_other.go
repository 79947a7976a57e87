//go:build !linux

package main

// machine are the commands that take a Linux machine.
type machine struct{}

func insideANode([]string) (bool, error) { return false, nil }

func pressure() bool { return false }
