// Package nsproc finds the network namespaces of a machine and reads what the
// kernel counts in each, through the /proc of a process that lives in it.
package nsproc

// Labels say what people call a workload. Fields that are not known are empty.
type Labels struct {
	Namespace, Pod, Container, ContainerID, App string
}

// Namer knows what people call a workload. It is asked once per process and
// cgroup that are new, not once per scrape, and it answers from what it knows
// already: it must not wait for a runtime's API.
type Namer interface {
	// Name takes a process and the path of its cgroup below the cgroup root, as
	// /proc/<pid>/cgroup has it. The answer is the zero Labels where nobody knows.
	Name(pid int, cgroup string) Labels
}
