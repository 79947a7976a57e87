package nsproc

import (
	"bytes"
	"path"
	"strconv"
	"strings"
)

// mount is a bind mount that keeps a network namespace.
type mount struct {
	inode uint64
	id    uint64 // of the mount; used again after it is gone
	point string // where, in the mount namespace of process 1
}

// name is what people call the namespace: blue of /run/netns/blue.
func (m mount) name() string { return path.Base(m.point) }

// parseMounts picks the network namespaces out of /proc/<pid>/mountinfo (proc(5)):
//
//	id parent major:minor root point options [optional…] - type source options
func parseMounts(b []byte) (found []mount) {
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		if !bytes.Contains(line, []byte(" net:[")) {
			continue
		}
		before, after, ok := bytes.Cut(line, []byte(" - "))
		if !ok {
			continue
		}
		if kind, _ := cutWord(after); string(kind) != "nsfs" {
			continue
		}
		words := bytes.Fields(before)
		if len(words) < 6 {
			continue
		}
		inode, ok := bracketed(words[3])
		id, fine := decimal(words[0])
		if ok && fine {
			found = append(found, mount{inode, id, unescape(string(words[4]))})
		}
	}
	return found
}

// bracketed reads the number of net:[4026531840].
func bracketed(b []byte) (uint64, bool) {
	b, ok := bytes.CutPrefix(b, []byte("net:["))
	if !ok {
		return 0, false
	}
	b, ok = bytes.CutSuffix(b, []byte("]"))
	if !ok {
		return 0, false
	}
	return decimal(b)
}

// unescape undoes the \040 that the kernel writes for blanks in paths.
func unescape(s string) string {
	var out strings.Builder
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 || i+4 > len(s) {
			out.WriteString(s)
			return out.String()
		}
		out.WriteString(s[:i])
		if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
			out.WriteByte(byte(c))
		} else {
			out.WriteString(s[i : i+4])
		}
		s = s[i+4:]
	}
}

// parseCgroup finds the cgroup of /proc/<pid>/cgroup that says most about the
// workload: the longest path. v1 has a line for each hierarchy, some of them at
// the root; v2 has one; hosts with both have the v2 one beside them.
func parseCgroup(b []byte) (cgroup []byte) {
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		_, line, _ = bytes.Cut(line, []byte(":"))
		if _, p, ok := bytes.Cut(line, []byte(":")); ok && len(p) > len(cgroup) {
			cgroup = p
		}
	}
	return cgroup
}

// parseStart finds the start time of /proc/<pid>/stat, in ticks since boot: the
// 22nd field. The second, the command, may hold blanks and brackets.
func parseStart(b []byte) (uint64, bool) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return 0, false
	}
	b = b[i+1:]
	var word []byte
	for range 20 {
		word, b = cutWord(b)
	}
	return decimal(word)
}
