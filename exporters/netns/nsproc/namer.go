// Package nsproc finds the network namespaces of a machine and reads what the
// kernel counts in each, through the /proc of a process that lives in it.
package nsproc

// Labels say what people call a workload. Fields that are not known are empty.
type Labels struct {
	Namespace, Pod, Container, ContainerID, App string
}

// Namer knows what people call a workload. It is asked at each scrape, once per
// namespace and once per cgroup of the host's network, and answers from what it
// knows already: it must not wait for a runtime's API. A name that it learns
// later, or that changes, is taken up by the next scrape.
type Namer interface {
	// Name takes a process and the longest of the cgroup paths that
	// /proc/<pid>/cgroup has: seen from a container with a cgroup namespace of its
	// own it may begin with /../. The answer is the zero Labels where nobody knows.
	Name(pid int, cgroup string) Labels
}
