package remediate

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin/tocsin/config"
)

// maxPolicies bounds how many policies there can be, and how many files.
const maxPolicies = 1000

// policyFile is the shape of a file of policies.
type policyFile struct {
	Policies []config.Section `yaml:"policies"`
}

// LoadPolicies reads the policies of files, each a path or a pattern of paths
// (path/filepath.Match), in order of the files' names. A pattern that finds
// nothing is a mistake. All mistakes are returned together, joined, as
// *config.Mistake with file and line, beside the policies that have none.
func LoadPolicies(patterns ...string) ([]*Policy, error) {
	var files []string
	var errs []error
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			errs = append(errs, &config.Mistake{File: pattern, Text: "there is no such file of policies"})
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	files = slices.Compact(files)
	if len(files) > maxPolicies {
		return nil, &config.Mistake{File: files[maxPolicies], Text: fmt.Sprintf("more than %d files of policies", maxPolicies)}
	}
	var all []*Policy
	for _, f := range files {
		sec, err := config.Read(f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		ps, err := readPolicies(f, sec)
		all, errs = append(all, ps...), append(errs, err)
	}
	kept, err := distinct(all)
	return kept, errors.Join(append(errs, err)...)
}

// ParsePolicies is LoadPolicies for the bytes of one file at hand.
func ParsePolicies(path string, data []byte) ([]*Policy, error) {
	sec, err := config.Parse(path, data)
	if err != nil {
		return nil, err
	}
	ps, err := readPolicies(path, sec)
	kept, twice := distinct(ps)
	return kept, errors.Join(err, twice)
}

func readPolicies(path string, sec config.Section) ([]*Policy, error) {
	var f policyFile
	errs := []error{sec.Decode(&f)}
	if len(f.Policies) == 0 && errs[0] == nil {
		errs = append(errs, &config.Mistake{File: path, Text: "there are no policies in it: write policies: and a list of them"})
	}
	var out []*Policy
	for i, item := range f.Policies {
		if i >= maxPolicies {
			errs = append(errs, &config.Mistake{File: path, Line: item.Line(), Text: fmt.Sprintf("more than %d policies", maxPolicies)})
			break
		}
		p := &Policy{Mode: Observe, Guards: GuardRules{Silences: true}}
		if err := item.Decode(p); err != nil {
			errs = append(errs, err)
			continue
		}
		p = p.Filled()
		p.Place = fmt.Sprintf("%s:%d", path, item.Line())
		out = append(out, p)
	}
	return out, errors.Join(errs...)
}

// distinct keeps the first policy of each name.
func distinct(all []*Policy) ([]*Policy, error) {
	var errs []error
	first := map[string]string{}
	kept := slices.DeleteFunc(all, func(p *Policy) bool {
		at, twice := first[p.Name]
		if twice {
			file, line := p.place()
			errs = append(errs, &config.Mistake{File: file, Line: line, Text: fmt.Sprintf("policy %q stands at %s already", p.Name, at)})
			return true
		}
		first[p.Name] = p.Place
		return false
	})
	return kept, errors.Join(errs...)
}

// place is the file and the line that p was read from.
func (p *Policy) place() (file string, line int) {
	i := strings.LastIndexByte(p.Place, ':')
	if i < 0 {
		return p.Place, 0
	}
	line, err := strconv.Atoi(p.Place[i+1:])
	if err != nil {
		return p.Place, 0
	}
	return p.Place[:i], line
}
