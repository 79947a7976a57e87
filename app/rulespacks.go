package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/tocsin/tocsin/rules/layers"
	"github.com/tocsin/tocsin/rules/packs"
)

// RulesPacks lists the packs that are shipped.
func RulesPacks(w io.Writer, o RulesOptions) error {
	all, err := packs.All()
	if err != nil {
		return err
	}
	if o.JSON {
		return printJSON(w, all)
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "PACK\tALERTS\tABOUT")
	for _, p := range all {
		fmt.Fprintf(tab, "%s\t%d\t%s\n", p.Name, len(p.Alerts), p.Doc)
	}
	return tab.Flush()
}

// What a new tree says beside its templates.
const (
	firstApps = `# Your apps, and the layers that they are in: write them in place of the example.
# Those that are not named here get what the templates and layers/global.yaml say.
apps:
  - {name: checkout}
#  - {name: cart, cluster: dc1, phase: live, app-type: api, app-group: shop}
`
	firstGlobal = `# What is different for all apps. What is so for some of them stands in
# layers/cluster/, phase/, app-type/, app-group/ and app/; the later are the stronger.
templates: {}
#  http:
#    params: {floor: 1}
`
)

// RulesInit writes a tree of the packs that are named, or of all, into a folder
// in which nothing is.
func RulesInit(w io.Writer, dir string, names []string) error {
	tree, err := firstTree(names)
	if err != nil {
		return err
	}
	there, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(there) > 0 {
		return fmt.Errorf("%s is not empty: choose another folder; nothing was written", dir)
	}
	for _, f := range tree {
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := writeNew(path, f.Data); err != nil {
			return err
		}
		fmt.Fprintf(w, "wrote %s\n", path)
	}
	_, err = fmt.Fprintf(w, "\nName your apps in %s. Then: tocsin rules build --dir %s --out DIR\n", filepath.Join(dir, "apps.yaml"), dir)
	return err
}

// firstTree is all files of a new tree.
func firstTree(names []string) ([]layers.File, error) {
	all := packs.Names()
	if len(names) == 0 {
		names = all
	}
	out := []layers.File{
		{Name: "apps.yaml", Data: []byte(firstApps)},
		{Name: filepath.Join("layers", "global.yaml"), Data: []byte(firstGlobal)},
	}
	names = slices.Clone(names)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("there is no pack %q: there are %s", name, strings.Join(all, ", "))
		}
		data, err := packs.Tree.ReadFile(packs.File(name))
		if err != nil {
			return nil, err
		}
		out = append(out, layers.File{Name: filepath.FromSlash(packs.File(name)), Data: data})
	}
	return out, nil
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
